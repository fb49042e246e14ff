"""Each picture as the weights of its k-reciprocal neighbours: Zhong et al., CVPR 2017, Sec. 3.2 to 3.4, sparse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.evaluation.rerank_neighbours import Neighbours, SquaredDistances

_CHUNK_ELEMENTS = 1 << 22  # entries of the tables that one step fills
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SparseRows:
    """A matrix (N, M) by its entries that are not 0, row after row: entries ``start[i]`` to ``start[i + 1]`` are row i's.

    Attributes:
        start: (N + 1,) int64.
        columns: (E,) int32, ascending in each row.
        values: (E,) float32.
    """

    start: Integers
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    def row(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Columns and values of one row."""
        part = slice(int(self.start[number]), int(self.start[number + 1]))
        return self.columns[part], self.values[part]

    def of(self, rows: Integers) -> tuple[Integers, NDArray[np.int32], NDArray[np.float32]]:
        """Entries of some rows, one row after the other: position in ``rows``, column, value."""
        count = self.start[rows + 1] - self.start[rows]
        position = np.repeat(np.arange(len(rows)), count)
        entry = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(self.start[rows], count)
        return position, self.columns[entry], self.values[entry]

    def inverted(self, width: int, first_row: int) -> SparseRows:
        """The transposed matrix (width, N - first_row), of the rows from ``first_row`` on, which are numbered from 0."""
        begin = int(self.start[first_row])
        columns, rows = self.columns[begin:], np.repeat(np.arange(len(self.start) - 1 - first_row), np.diff(self.start[first_row:]))
        order = np.argsort(columns, kind="stable")
        start = np.searchsorted(columns[order], np.arange(width + 1))
        return SparseRows(start, rows[order].astype(np.int32), self.values[begin:][order])


def encode(distances: SquaredDistances, neighbours: Neighbours, k1: int, k2: int) -> SparseRows:
    """V: (N, N), each row the weights of a picture's neighbours, Eq. (7), averaged over its k2 nearest, Eq. (11).

    Rows sum to 1, as in the authors' program (the paper's Eq. (7) does not divide by the sum). Distances are divided by the furthest of
    the row before the exponential, as there.
    """
    encoded = _weights(distances, neighbours, k1)
    return encoded if k2 == 1 else _averaged(encoded, neighbours.nearest[:, :k2])


def reciprocal(nearest: Integers, count: int) -> NDArray[np.bool_]:
    """(N, count), Eq. (3): of the first ``count`` neighbours (N, k) of each row, which have it among their own first ``count``."""
    own = nearest[:, :count]
    found = np.empty(own.shape, np.bool_)
    step = max(1, _CHUNK_ELEMENTS // own.shape[1] ** 2)
    for start in range(0, len(own), step):
        part = own[start : start + step]
        found[start : start + step] = (own[part] == np.arange(start, start + len(part))[:, None, None]).any(axis=2)
    return found


def _weights(distances: SquaredDistances, neighbours: Neighbours, k1: int) -> SparseRows:
    nearest, rows = neighbours.nearest, len(neighbours.nearest)
    half = round(k1 / 2) + 1  # half to even, as the authors' np.around
    found, found_half = reciprocal(nearest, k1 + 1), reciprocal(nearest, half)
    parts: list[tuple[Integers, Integers]] = []
    step = max(1, _CHUNK_ELEMENTS // max(rows, (k1 + 1) * half))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        inside = _expanded(nearest[part, : k1 + 1], found[part], nearest[:, :half], found_half)
        row, column = np.nonzero(inside)
        parts.append((row + start, column))
    row, column = (np.concatenate(side) for side in zip(*parts, strict=True))
    value = np.exp(-distances.pairs(row, column) / neighbours.furthest[row])
    total = np.bincount(row, weights=value, minlength=rows)
    start_of = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=rows))))
    return SparseRows(start_of, column.astype(np.int32), (value / total[row]).astype(np.float32))


def _expanded(nearest: Integers, found: NDArray[np.bool_], half: Integers, found_half: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """R*, Eq. (5): the reciprocal neighbours, and those of each of them within k1 / 2, where two thirds of these are among the former.

    Args:
        nearest, found: (b, k1 + 1), of the rows asked about.
        half, found_half: (N, k1 / 2 + 1), of all rows.

    Returns:
        (b, N), which rows are in each one's set.
    """
    inside = np.zeros((len(nearest), len(half)), np.bool_)
    row, at = np.nonzero(found)
    member = nearest[row, at]
    inside[row, member] = True
    theirs, real = half[member], found_half[member]  # (P, h): candidates that each member brings
    common = (inside[row[:, None], theirs] & real).sum(axis=1)
    brings = real & (common > 2 / 3 * real.sum(axis=1))[:, None]
    pair, place = np.nonzero(brings)
    inside[row[pair], theirs[pair, place]] = True
    return inside


def _averaged(encoded: SparseRows, nearest: Integers) -> SparseRows:
    """Eq. (11), local query expansion: each row the mean of those of its k2 nearest (N, k2)."""
    rows, k2 = nearest.shape
    entries = max(1, len(encoded.values) // rows) * k2
    columns, values, counts = [], [], []
    step = max(1, _CHUNK_ELEMENTS // entries)
    for start in range(0, rows, step):
        part = nearest[start : start + step]
        position, column, value = encoded.of(part.ravel())
        key, where = np.unique(position // k2 * rows + column, return_inverse=True)
        values.append((np.bincount(where, weights=value) / k2).astype(np.float32))
        columns.append((key % rows).astype(np.int32))
        counts.append(np.bincount(key // rows, minlength=len(part)))
    start_of = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
    return SparseRows(start_of, np.concatenate(columns), np.concatenate(values))
