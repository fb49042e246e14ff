"""Which clothes the items of an index wear: labels of the data, groups of descriptors, or nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reidclip.artifacts.artifact import Artifact
from reidclip.errors import UserError
from reidclip.gallery.about import ClothesGroups
from reidclip.gallery.clusters import CLUSTERS, agreement, learn_centroids, nearest_centroid
from reidclip.gallery.items import Item
from reidclip.gallery.vectors import VectorSet

MODES = ("labels", "clusters", "none")


@dataclass(frozen=True)
class ClothesChoice:
    """What --clothes says: a mode, and how many groups. ``mode`` None: labels where there are any, else groups where described."""

    mode: str | None = None
    count: int = CLUSTERS

    @classmethod
    def parse(cls, told: str | None) -> ClothesChoice:
        """``labels``, ``clusters``, ``clusters:60``, ``none``.

        Raises:
            UserError: anything else.
        """
        if told is None:
            return cls()
        mode, colon, number = told.partition(":")
        if mode not in MODES or (colon and (mode != "clusters" or not number.isdecimal() or int(number) < 2)):
            raise UserError(f"--clothes {told} is not known.", "Write labels, clusters, clusters:60 (2 or more) or none.")
        return cls(mode, int(number)) if colon else cls(mode)

    def resolved(self, sets: Sequence[VectorSet]) -> str:
        """The mode for these vectors."""
        if self.mode is not None:
            return self.mode
        if any(i.clothes_id >= 0 for s in sets for i in s.items):
            return "labels"
        return "clusters" if all(s.clothes is not None for s in sets) else "none"


def check_described(sets: Sequence[VectorSet], vectors: Sequence[Artifact]) -> None:
    """All have descriptors of clothes.

    Raises:
        UserError: one has none.
    """
    for found, artifact in zip(sets, vectors, strict=True):
        if found.clothes is None:
            raise UserError(
                f"Vectors {artifact.ref} hold no descriptors of clothes, which groups are made of.", "Extract them again with --clothes."
            )


def left_unknown(sets: Sequence[VectorSet], vectors: Sequence[Artifact], choice: ClothesChoice, mode: str) -> list[str]:
    """Whose clothes an index of this mode does not know, though it knows, or could know, others'."""
    if mode == "labels":
        bare = [a.ref for s, a in zip(sets, vectors, strict=True) if all(i.clothes_id < 0 for i in s.items)]
        return [f"vectors {', '.join(bare)} have no labels of clothes: nobody knows what their items wear"] if bare else []
    bare = [a.ref for s, a in zip(sets, vectors, strict=True) if s.clothes is None]
    if mode == "none" and choice.mode is None and 0 < len(bare) < len(sets):
        return [f"clothes are left out of the index: vectors {', '.join(bare)} do not describe them (extract them again with --clothes)"]
    return []


def grouped(
    items: Sequence[Item], sets: Sequence[VectorSet], fresh: Sequence[Sequence[int]], count: int, seed: int
) -> tuple[tuple[Item, ...], ClothesGroups, np.ndarray]:
    """Items of a new index with numbers of groups in place of labels, how well the two agree, and the groups' centroids (K, C)."""
    rows = descriptors(sets, fresh)
    centroids = learn_centroids(rows, count, seed)
    groups = nearest_centroid(rows, centroids)
    labels = np.array([i.clothes_id for i in items])
    match = agreement(groups, labels, _people(items)) or None
    return with_groups(items, groups), ClothesGroups("clusters", len(centroids), match), centroids


def _people(items: Sequence[Item]) -> np.ndarray:
    """(N,) a number per person, -1 where unknown: data sets number theirs apart."""
    numbers: dict[tuple[str, int], int] = {}
    return np.array([numbers.setdefault((i.domain, i.pid), len(numbers)) if i.pid >= 0 else -1 for i in items])


def descriptors(sets: Sequence[VectorSet], fresh: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, C) of the rows that are new."""
    return np.concatenate([s.clothes[list(rows)] for s, rows in zip(sets, fresh, strict=True) if s.clothes is not None])


def with_groups(items: Sequence[Item], groups: np.ndarray) -> tuple[Item, ...]:
    """The items, wearing their groups."""
    return tuple(replace(i, clothes_id=int(g)) for i, g in zip(items, groups, strict=True))


def of_labels(items: Sequence[Item], mode: str) -> tuple[tuple[Item, ...], ClothesGroups]:
    """Items as the data labels them, or with no clothes at all ("none")."""
    if mode == "none":
        return tuple(replace(i, clothes_id=-1) for i in items), ClothesGroups()
    return tuple(items), ClothesGroups("labels", len({i.clothes_id for i in items if i.clothes_id >= 0}))
