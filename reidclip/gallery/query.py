"""What is asked of a gallery, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from reidclip.gallery.items import Item


@dataclass(frozen=True)
class Filter:
    """Which items may answer; None or an empty tuple lets all through.

    Attributes:
        cameras, not_cameras: camera numbers that may, or may not, answer.
        domains: names of data sets.
        clothes, not_clothes: classes of clothes that may, or may not, answer. Items of unknown clothes (-1) answer to ``not_clothes``
            only where ``unknown_clothes`` is set.
        after, before: seconds, inclusive; items of unknown time do not answer where one is given.
        not_items: keys that do not answer: the query itself.
        unlike: (C,) descriptor of clothes (`reidclip.gallery.clothes`): items whose own is about the same do not answer, where the index
            keeps descriptors.
    """

    cameras: tuple[int, ...] = ()
    not_cameras: tuple[int, ...] = ()
    domains: tuple[str, ...] = ()
    clothes: tuple[int, ...] = ()
    not_clothes: tuple[int, ...] = ()
    unknown_clothes: bool = False
    after: float | None = None
    before: float | None = None
    not_items: tuple[str, ...] = ()
    unlike: tuple[float, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether everything answers."""
        return self == Filter(unknown_clothes=self.unknown_clothes)


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        rank: from 1.
        row: number of the item in the gallery.
        distance: smaller is closer: 1 - cosine, or Euclidean distance; after re-ranking that one's distance.
        item: what it is.
    """

    rank: int
    row: int
    distance: float
    item: Item
