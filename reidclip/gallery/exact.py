"""Exact nearest neighbours over vectors that need not fit into memory, by faiss' blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from reidclip.gallery.segments import Segments

Measure = Literal["similarity", "distance"]
_BLOCK = 65_536  # rows that are gathered at once where a filter leaves some out


def nearest(
    segments: Segments, queries: np.ndarray, count: int, measure: Measure, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of each query.

    Args:
        segments: N rows.
        queries: (Q, D) float32.
        count: answers per query.
        measure: "similarity": by inner product; "distance": Euclidean.
        allowed: (N,) bool, rows that may answer.

    Returns:
        distances (Q, count) float32, ascending, ties by row, and rows (Q, count) int64; infinite and -1 where there were no more.
    """
    import faiss

    metric = faiss.METRIC_INNER_PRODUCT if measure == "similarity" else faiss.METRIC_L2
    best = np.full((len(queries), 0), -1, dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for block, places in _allowed_blocks(segments, allowed):
        found, index = faiss.knn(queries, block, min(count, len(block)), metric=metric)
        scores = np.concatenate([scores, -found if measure == "similarity" else found], axis=1)
        best = np.concatenate([best, places[index]], axis=1)
        if scores.shape[1] > count:
            keep = np.argpartition(scores, count - 1, axis=1)[:, :count]
            scores, best = np.take_along_axis(scores, keep, 1), np.take_along_axis(best, keep, 1)
    return ordered(segments, queries, best, count, measure)


def ordered(segments: Segments, queries: np.ndarray, places: np.ndarray, count: int, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Places (Q, any) that were found, -1 for none -> what `nearest` returns, with distances computed anew.

    Libraries compute Euclidean distances of many queries as a sum of squares and a product, which loses the digits of near ones.
    """
    rows = np.full((len(queries), count), -1, dtype=np.int64)
    distances = np.full((len(queries), count), np.inf, dtype=np.float32)
    for number, (query, found) in enumerate(zip(queries, places, strict=True)):
        found = found[found >= 0]
        far = distances_of(query, segments.at(found), measure)
        mine = segments.numbers(found)
        order = np.lexsort((mine, far))[:count]
        rows[number, : len(order)], distances[number, : len(order)] = mine[order], far[order]
    return distances, rows


def distances_of(query: np.ndarray, vectors: np.ndarray, measure: Measure) -> np.ndarray:
    """(D,), (R, D) -> (R,) float32: 1 - cosine (of unit vectors) or Euclidean; in float64, so that equal vectors are at 0."""
    one, many = query.astype(np.float64), vectors.astype(np.float64)
    far = 1.0 - many @ one if measure == "similarity" else np.sqrt(((many - one) ** 2).sum(axis=1))
    result: np.ndarray = np.maximum(far, 0.0).astype(np.float32)
    return result


def _allowed_blocks(segments: Segments, allowed: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces (B, D) of vectors and their places; pieces that are let through whole are not copied."""
    keep = None
    if allowed is not None or segments.live is not None:
        keep = np.zeros(segments.total, dtype=bool)
        rows = np.arange(segments.count) if allowed is None else np.flatnonzero(allowed)
        keep[segments.places(rows)] = True
    begin = 0
    for block in segments.blocks:
        for start in range(0, len(block), _BLOCK):
            piece = block[start : start + _BLOCK]
            first = begin + start
            here = None if keep is None else np.flatnonzero(keep[first : first + len(piece)])
            if here is None or len(here) == len(piece):
                yield piece, np.arange(first, first + len(piece))
            elif len(here):
                yield piece[here], first + here
        begin += len(block)
