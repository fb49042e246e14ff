"""Mean and interval over trainings with different seeds, by Student's t; no statistics library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

_CONVERGED = 1e-14


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, tuple[float, float] | None]:
    """Mean of n runs, and its interval: mean -+ t s / sqrt(n), s the standard deviation with divisor n - 1.

    t is the (1 + confidence) / 2 quantile of Student's distribution with n - 1 degrees of freedom. Runs of different seeds are taken as
    independent draws of one normal distribution; the interval says nothing of how the queries vary.

    Returns:
        (mean, (low, high)) in the units of the values; no interval for a single value.

    Raises:
        ValueError: no values.
    """
    n = len(values)
    if not n:
        raise ValueError("mean_and_interval needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = student_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return mean, (mean - half, mean + half)


def student_quantile(probability: float, freedom: int) -> float:
    """The t with P(T <= t) = ``probability``, between 0.5 and 1, by bisection of the distribution function.

    Raises:
        ValueError: a probability outside [0.5, 1), or no degree of freedom.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"no upper quantile {probability} of t with {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while _central_mass(high, freedom) < 2 * probability - 1:
        low, high = high, 2 * high
    while high - low > _CONVERGED * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _central_mass(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _central_mass(t: float, freedom: int) -> float:
    """P(|T| <= t): the finite sums of Abramowitz and Stegun 26.7.3 (odd) and 26.7.4 (even degrees of freedom)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    if freedom % 2:
        total, term = 0.0, math.cos(angle)
        for k in range(1, (freedom - 1) // 2 + 1):
            total += term
            term *= square * 2 * k / (2 * k + 1)
        return 2 / math.pi * (angle + sine * total)
    total, term = 0.0, 1.0
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= square * (2 * k - 1) / (2 * k)
    return sine * total
