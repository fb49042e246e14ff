"""Two samples of distances side by side, counted in bins: how far apart they are, and how much they overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BINS = 100  # of what is drawn
_FINE = 10  # parts of a bin in which the probability is counted
_OVERLAP_BINS = (10, 20, 25, 40, 50, 100)


@dataclass(frozen=True)
class TwoHistograms:
    """Counts of two samples in the same bins.

    Attributes:
        edges: (BINS + 1,), from the smallest to the largest value of both.
        first, second: (BINS,) counts.
        means, deviations: of the first and of the second sample.
        overlap: sum over bins of the smaller share (the overlapping coefficient): 0 apart, 1 alike.
        overlap_bins: how many bins that was, by Rice's rule 2 n^(1/3) for the smaller sample: in too many bins samples of one
            distribution seem apart.
        below: probability that a value of the first sample is smaller than one of the second, ties half (the area under the ROC curve);
            values in one of 1000 bins count as ties.
    """

    edges: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    means: tuple[float, float]
    deviations: tuple[float, float]
    overlap: float
    overlap_bins: int
    below: float

    def to_json(self, first: str, second: str) -> dict[str, Any]:
        """Plain values; the samples get the names given."""
        return {
            "edges": [round(float(e), 6) for e in self.edges],
            first: {"mean": self.means[0], "std": self.deviations[0], "pairs": int(self.first.sum()), "counts": self.first.tolist()},
            second: {"mean": self.means[1], "std": self.deviations[1], "pairs": int(self.second.sum()), "counts": self.second.tolist()},
            "overlap": self.overlap,
            "overlap_bins": self.overlap_bins,
            "auc": self.below,
        }


def two_histograms(blocks: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> TwoHistograms | None:
    """Count two samples that come in blocks; the blocks are asked for twice, so that the bins fit.

    Args:
        blocks: gives pairs of 1-D tensors, values of the first and of the second sample.

    Returns:
        None when one of the samples is empty.
    """
    low, high = np.inf, -np.inf
    for pair in blocks():
        for values in pair:
            if len(values):
                least, most = torch.aminmax(values)
                low, high = min(low, float(least)), max(high, float(most))
    if not np.isfinite(low):
        return None
    high = high if high > low else low + 1e-6
    counts, sums, squares = np.zeros((2, BINS * _FINE), np.int64), np.zeros(2), np.zeros(2)
    for pair in blocks():
        for side, values in enumerate(pair):
            places = ((values - low) * (BINS * _FINE / (high - low))).long().clamp_(0, BINS * _FINE - 1)
            counts[side] += torch.bincount(places, minlength=BINS * _FINE).cpu().numpy()
            shifted = values.double() - low  # squares of small numbers: nothing is lost in their difference
            sums[side] += float(shifted.sum())
            squares[side] += float(shifted.square().sum())
    total = counts.sum(axis=1)
    if (total == 0).any():
        return None
    means = sums / total
    deviations = np.sqrt(np.maximum(squares / total - means**2, 0))
    coarse = _merged(counts, BINS)
    bins = max(b for b in _OVERLAP_BINS if b <= max(_OVERLAP_BINS[0], 2 * int(total.min()) ** (1 / 3)))
    return TwoHistograms(
        np.linspace(low, high, BINS + 1),
        coarse[0],
        coarse[1],
        (float(means[0] + low), float(means[1] + low)),
        (float(deviations[0]), float(deviations[1])),
        float(np.minimum(*_merged(counts / total[:, None], bins)).sum()),
        bins,
        _below(counts / total[:, None]),
    )


def _merged(counts: NDArray[Any], bins: int) -> NDArray[Any]:
    merged: NDArray[Any] = counts.reshape(2, bins, -1).sum(axis=2)
    return merged


def _below(shares: NDArray[np.float64]) -> float:
    """P(first < second) + P(equal) / 2 from shares per bin."""
    above = 1 - np.cumsum(shares[1])
    return float((shares[0] * (above + shares[1] / 2)).sum())
