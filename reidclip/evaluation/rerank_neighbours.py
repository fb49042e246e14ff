"""Nearest neighbours of every picture among all, block by block: what re-ranking and expansion begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PAIR_ELEMENTS = 1 << 23  # numbers gathered at once for distances of single pairs: 32 MiB a side
Progress = Callable[[int, int], None]


class SquaredDistances:
    """|x_i - x_j|^2 among rows (N, D), computed as they are asked for; never all of them at once.

    Rows are moved by their mean first: distances stay, and the cancellation in |x|^2 + |y|^2 - 2 x.y shrinks.
    """

    def __init__(self, rows: Tensor) -> None:
        moved = rows.float()
        self._rows = moved - moved.mean(dim=0, keepdim=True)
        self._squares = self._rows.square().sum(dim=1)

    def __len__(self) -> int:
        return len(self._rows)

    def block(self, rows: slice, columns: slice = slice(None)) -> Tensor:
        """(b, c) float32, at least 0, on the rows' device."""
        asked, others = self._rows[rows], self._rows[columns]
        inner = torch.addmm(self._squares[columns], asked, others.T, alpha=-2)
        return inner.add_(self._squares[rows, None]).clamp_(min=0)

    def pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        """(P,) float32 of pairs of row numbers."""
        found = np.empty(len(first), np.float32)
        step = max(1, _PAIR_ELEMENTS // self._rows.shape[1])
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            a, b = (torch.from_numpy(rows[part]).to(self._rows.device) for rows in (first, second))
            found[part] = (self._rows[a] - self._rows[b]).square_().sum(dim=1).cpu().numpy()
        return found


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each of N rows.

    Attributes:
        nearest: (N, k) int64, nearest first, the row itself among them (first, unless others lie in the same place); of rows equally
            near the one of the lower number is ahead.
        furthest: (N,) float32, the largest squared distance of each row to any; 1 where all rows lie in one place.
    """

    nearest: NDArray[np.int64]
    furthest: NDArray[np.float32]


def find_neighbours(distances: SquaredDistances, count: int, block_elements: int, progress: Progress | None = None) -> Neighbours:
    """The ``count`` nearest of every row, at most N of them; memory: ``block_elements`` distances, and the result."""
    rows = len(distances)
    nearest = np.empty((rows, min(count, rows)), np.int64)
    furthest = np.empty(rows, np.float32)
    step = max(1, block_elements // rows)
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        block = distances.block(part)
        own = torch.arange(len(block), device=block.device)
        block[own, own + start] = 0  # rounding must not put a row away from itself
        nearest[part] = smallest(block, nearest.shape[1]).cpu().numpy()
        furthest[part] = block.amax(dim=1).cpu().numpy()
        if progress:
            progress(part.stop, rows)
    furthest[furthest == 0] = 1
    return Neighbours(nearest, furthest)


def smallest(block: Tensor, count: int) -> Tensor:
    """Columns (b, count) of the smallest entries of each row of (b, N), ascending; of equal ones the lower column is ahead."""
    values, columns = torch.topk(block, min(count + 1, block.shape[1]), dim=1, largest=False, sorted=True)
    cut = torch.nonzero(values[:, count] == values[:, count - 1]).flatten() if values.shape[1] > count else ()
    order = columns[:, :count].argsort(dim=1)
    order = order.gather(1, values.gather(1, order).argsort(dim=1, stable=True))
    found = columns.gather(1, order)
    for row in cut:  # equal entries on both sides of the cut: topk may have taken any of them
        found[row] = torch.sort(block[row], stable=True).indices[:count]
    return found
