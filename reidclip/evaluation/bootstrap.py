"""Bootstrap intervals over queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK_DRAWS = 1 << 22  # indices held at once


def bootstrap_interval(
    values: NDArray[np.floating],
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    weights: NDArray[np.floating] | None = None,
) -> tuple[float, float]:
    """Percentile interval of the mean (Efron, 1979) when queries are drawn again with replacement.

    It tells how much the queries vary, not how much training would. Equal seeds draw equal resamples, so R1 and mAP of one result,
    or two models on one query set, are resampled alike.

    Args:
        values: (V,), one number per valid query: average precision, or 1 and 0 for a hit and a miss at rank 1.
        resamples: number of bootstrap samples.
        seed: of the draw.
        confidence: share of the resampled means inside.
        weights: (V,), above 0, of each value in the mean; None weighs them alike.

    Returns:
        (low, high) in the units of ``values``.

    Raises:
        ValueError: no values.
    """
    if len(values) == 0:
        raise ValueError("bootstrap_interval needs at least one value")
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _CHUNK_DRAWS // len(values))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.integers(0, len(values), (size, len(values)))
        if weights is None:
            means[start : start + size] = values[drawn].mean(axis=1)
        else:
            means[start : start + size] = (values * weights)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
