"""One vector per track: the mean of its crops', and the crop that shows it best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from reidclip.gallery.blocks import Block

Measure = Literal["similarity", "distance"]


def track_means(blocks: Callable[[], Iterable[Block]], tracks: np.ndarray, measure: Measure) -> tuple[np.ndarray, Block]:
    """Mean vectors of tracks; what has no track stays by itself.

    Of unit vectors ("similarity") the mean is divided by its length again. Descriptors of clothes are averaged too. Memory grows with the
    number of tracks, not with that of crops.

    Args:
        blocks: gives all blocks anew: they are gone through twice.
        tracks: (N,) int64 of all items, equal numbers for equal tracks; -1 for items without one.

    Returns:
        (T,) how many crops each mean is of, and a `Block` whose ``rows`` name, in ascending order, the crop nearest to each mean: the item
        that the vector is of.
    """
    groups = np.concatenate([_groups(tracks, block.rows) for block in blocks()])
    found, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place, minlength=len(found))
    vectors, clothes = _means(blocks(), place, counts)
    if measure == "similarity":
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows = _nearest(blocks(), place, vectors)
    order = np.argsort(rows)
    return counts[order], Block(
        rows[order], vectors[order].astype(np.float32), None if clothes is None else clothes[order].astype(np.float32)
    )


def _groups(tracks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A number per row, equal for one track; below zero for items without."""
    return np.where(tracks[rows] >= 0, tracks[rows], -1 - rows)


def _means(blocks: Iterable[Block], place: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    vectors: np.ndarray | None = None
    clothes: np.ndarray | None = None
    start = 0
    for block in blocks:
        own = place[start : start + len(block.rows)]
        start += len(block.rows)
        vectors = _added(vectors, own, block.vectors, len(counts))
        clothes = None if block.clothes is None else _added(clothes, own, block.clothes, len(counts))
    assert vectors is not None
    return vectors / counts[:, None], None if clothes is None else clothes / counts[:, None]


def _added(total: np.ndarray | None, place: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros((count, values.shape[1])) if total is None else total
    np.add.at(total, place, values.astype(np.float64))
    return total


def _nearest(blocks: Iterable[Block], place: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Place of the crop nearest to each mean; the first of equals."""
    rows = np.full(len(means), -1, np.int64)
    best = np.full(len(means), np.inf)
    start = 0
    for block in blocks:
        own = place[start : start + len(block.rows)]
        start += len(block.rows)
        distances = np.linalg.norm(block.vectors - means[own], axis=1)
        for row, group, distance in zip(block.rows, own, distances, strict=True):
            if distance < best[group]:
                best[group], rows[group] = distance, row
    return rows
