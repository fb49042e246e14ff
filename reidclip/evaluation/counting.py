"""How many gallery items stand ahead of a match."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MANY = 32  # matches in one row above which sorting its values (numpy's vector sort) is cheaper than a pass over the row for each
_CHUNK_ELEMENTS = 1 << 26  # comparisons held at once on an accelerator


def count_ahead(block: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every (row, column) the number of entries of that row that are larger, or equal and further left.

    Args:
        block: (b, G) closeness; entries that do not count are -inf. The given entries themselves are finite.
        rows, columns: (K,) the matches, rows ascending.

    Returns:
        (K,) counts.
    """
    if block.device.type == "cpu":
        return _by_row(block.numpy(), rows, columns)
    return count_ahead_batched(block, rows, columns)


def _by_row(block: NDArray[np.floating], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One row at a time, which stays in the processor's cache while each of its few matches is counted."""
    ahead = np.empty(len(rows), np.int64)
    bounds = np.searchsorted(rows, np.arange(len(block) + 1))
    for row, start, stop in zip(block, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        wanted = columns[start:stop]
        ahead[start:stop] = _bisections(row, wanted) if stop - start > _MANY else _passes(row, wanted)
    return ahead


def _passes(row: NDArray[np.floating], columns: NDArray[np.int64]) -> list[int]:
    # An equal entry counts when it is further left: >= before the column, > after it, and no second pass for the ties.
    return [
        np.count_nonzero(row[:column] >= score) + np.count_nonzero(row[column + 1 :] > score)
        for column, score in zip(columns.tolist(), row[columns], strict=True)
    ]


def _bisections(row: NDArray[np.floating], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    score, ascending = row[columns], np.sort(row)
    right = np.searchsorted(ascending, score, side="right")
    ahead = len(row) - right
    for k in np.flatnonzero(right - np.searchsorted(ascending, score, side="left") > 1):
        ahead[k] += np.count_nonzero(row[: columns[k]] == score[k])
    return ahead


def count_ahead_batched(block: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same counts in few large operations, for devices where each operation has a fixed cost."""
    position = torch.arange(block.shape[1], device=block.device)
    row, column = (torch.from_numpy(index).to(block.device) for index in (rows, columns))
    step = max(1, _CHUNK_ELEMENTS // block.shape[1])
    counts = [torch.zeros(0, dtype=torch.int64, device=block.device)]
    for r, c in zip(torch.split(row, step), torch.split(column, step), strict=True):
        entries, score = block[r], block[r, c][:, None]
        counts.append(((entries > score) | ((entries == score) & (position < c[:, None]))).sum(dim=1))
    return torch.cat(counts).cpu().numpy()
