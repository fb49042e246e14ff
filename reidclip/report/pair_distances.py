"""Distances of the pairs that a protocol compares, in three groups: what clothes do to a feature is the gap between the first two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.formulas.distances import euclidean_distances
from reidclip.report.answers import Compared

GROUPS = ("same person, same clothes", "same person, other clothes", "two people")
BINS = 60
_BLOCK_ELEMENTS = 1 << 23


@dataclass(frozen=True)
class PairDistances:
    """Counts in bins.

    Attributes:
        edges: (BINS + 1,).
        counts: (3, BINS), in the order of `GROUPS`; a person's pairs with unknown clothes count as the same clothes where the data knows
            none at all (`clothes_known` is then False).
        means: of each group; None where it is empty.
        clothes_known: whether the first two groups are told apart.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    means: tuple[float | None, ...]
    clothes_known: bool


def count_pairs(compared: Compared) -> PairDistances | None:
    """Distances, 1 - cosine or Euclidean, of all pairs that are compared; pairs that the rule ignores are left out.

    Returns:
        None when no pair is of one person, or none of two.
    """
    low, high = np.inf, -np.inf
    for groups in _groups(compared):
        for values in groups:
            if len(values):
                least, most = torch.aminmax(values)
                low, high = min(low, float(least)), max(high, float(most))
    if not np.isfinite(low):
        return None
    high = high if high > low else low + 1e-6
    counts, sums = np.zeros((3, BINS), np.int64), np.zeros(3)
    for groups in _groups(compared):
        for group, values in enumerate(groups):
            places = ((values - low) * (BINS / (high - low))).long().clamp_(0, BINS - 1)
            counts[group] += torch.bincount(places, minlength=BINS).numpy()
            sums[group] += float(values.double().sum())
    total = counts.sum(axis=1)
    if not total[:2].sum() or not total[2]:
        return None
    means = tuple(float(s / n) if n else None for s, n in zip(sums, total, strict=True))
    return PairDistances(np.linspace(low, high, BINS + 1), counts, means, _knows_clothes(compared))


def _knows_clothes(compared: Compared) -> bool:
    return all(sample.clothes_id >= 0 for side in (compared.query, compared.gallery) for sample in side if sample.pid >= 0)


def _groups(compared: Compared) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Distances of each group, block by block over the queries."""
    queries, gallery = (compared.features.of(side).float() for side in (compared.query, compared.gallery))
    labels, items = Labels.of(compared.query), Labels.of(compared.gallery)
    index, pids = GalleryIndex(items), torch.from_numpy(items.pids)
    known = _knows_clothes(compared)
    size = max(1, _BLOCK_ELEMENTS // len(gallery))
    for start in range(0, len(queries), size):
        rows = slice(start, start + size)
        part, block = labels.rows(rows), queries[rows]
        distances = 1 - block @ gallery.T if compared.features.measure == "similarity" else euclidean_distances(block, gallery)
        pairs, _ = index.pairs(part, compared.rule)
        other = torch.from_numpy((part.clothes[pairs.query] != items.clothes[pairs.gallery]) & known)
        positive = distances[torch.from_numpy(pairs.query), torch.from_numpy(pairs.gallery)]
        mine = torch.from_numpy(part.pids)[:, None]
        yield positive[~other], positive[other], distances[(mine != pids) & (mine >= 0)]
