"""Exact nearest neighbours over vectors that need not fit into memory, by faiss' blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from reidclip.gallery.segments import Segments

Measure = Literal["similarity", "distance"]
_BLOCK = 65_536  # rows that are gathered at once where a filter leaves some out
_SPARE = 16  # candidates beyond those asked for: products in float32 are rounded otherwise than distances
_TOGETHER = 64  # queries that are looked at once more in one pass
_AT_ONCE = 4096  # rows whose distances are computed at once in float64


def nearest(
    segments: Segments, queries: np.ndarray, count: int, measure: Measure, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of each query.

    A blocked product in float32 finds candidates, a few more than are asked for, and their distances computed in float64 decide. Where
    rounding could have left one out, as among frames that are all alike, everything that near is looked at once more.

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
    most, seen = count + _SPARE, 0
    for block, places in _allowed_blocks(segments, allowed):
        seen += len(block)
        found, index = faiss.knn(queries, block, min(most, len(block)), metric=metric)
        scores = np.concatenate([scores, -found if measure == "similarity" else found], axis=1)
        best = np.concatenate([best, places[index]], axis=1)
        if scores.shape[1] > most:
            keep = np.argpartition(scores, most - 1, axis=1)[:, :most]
            scores, best = np.take_along_axis(scores, keep, 1), np.take_along_axis(best, keep, 1)
    distances, rows = ordered(segments, queries, best, count, measure)
    if seen > most:
        reach = _reach(queries, distances[:, -1], measure)
        unsure = np.flatnonzero(~(scores.max(axis=1) > reach))
        for start in range(0, len(unsure), _TOGETHER):
            some = unsure[start : start + _TOGETHER]
            near = _within(segments, queries[some], reach[some], count, measure, allowed)
            distances[some], rows[some] = ordered(segments, queries[some], near, count, measure)
    return distances, rows


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
    """(D,), (R, D) -> (R,) float32: 1 - cosine (of unit vectors) or Euclidean; in float64, so that equal vectors are at 0.

    Sums go along each row by itself: a matrix product would round equal vectors otherwise by where they stand.
    """
    one, many = query.astype(np.float64), vectors.astype(np.float64)
    far = 1.0 - (many * one).sum(axis=1) if measure == "similarity" else np.sqrt(((many - one) ** 2).sum(axis=1))
    result: np.ndarray = np.maximum(far, 0.0).astype(np.float32)
    return result


def _reach(queries: np.ndarray, last: np.ndarray, measure: Measure) -> np.ndarray:
    """(Q, D), distances (Q,) of the last answers -> (Q,) scores in float32 that a row at least as near may have been given.

    A sum of D products is off by D half units in the last place of the product of both lengths at most (Higham, Accuracy and Stability of
    Numerical Algorithms, 2002, eq. 3.5), whatever its order.
    """
    half_unit = (queries.shape[1] + 8) * 2.0**-24  # 8: for the few roundings around the sum
    lengths, far = np.linalg.norm(queries.astype(np.float64), axis=1), last.astype(np.float64)
    if measure == "similarity":
        reach: np.ndarray = far - 1.0 + half_unit * np.maximum(lengths, 1.0)
    else:
        reach = far**2 + half_unit * (2 * lengths + far) ** 2  # nobody nearer is longer than lengths + far
    return reach


def _within(
    segments: Segments, queries: np.ndarray, limits: np.ndarray, count: int, measure: Measure, allowed: np.ndarray | None
) -> np.ndarray:
    """(U, count) places of the nearest, of all whose score in float32 is within each query's limit; -1 where there were no more."""
    best = np.full((len(queries), count), -1, dtype=np.int64)
    far = np.full((len(queries), count), np.inf, dtype=np.float32)
    for block, places in _allowed_blocks(segments, allowed):
        scores = -(block @ queries.T)
        if measure == "distance":
            scores = np.einsum("nd,nd->n", block, block)[:, None] + np.einsum("nd,nd->n", queries, queries) + 2 * scores
        for number, query in enumerate(queries):
            near = np.flatnonzero(scores[:, number] <= limits[number])
            for start in range(0, len(near), _AT_ONCE):
                some = near[start : start + _AT_ONCE]
                mine = np.append(best[number], places[some])
                distances = np.append(far[number], distances_of(query, block[some], measure))
                order = np.lexsort((mine, distances))[:count]
                best[number], far[number] = mine[order], distances[order]
    return best


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
