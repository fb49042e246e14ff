"""Intervals of a mean over few seeds, by Student's t; no statistics library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

_TINY = 1e-300


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Interval of the mean over n seeds: mean -+ t s / sqrt(n), t the (1 + confidence)/2 quantile with n - 1 degrees of freedom.

    s is the standard deviation with divisor n - 1. It takes the runs of different seeds as independent draws of one normal distribution;
    it says nothing of how the queries vary.

    Returns:
        (low, high), None for fewer than two values.
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return mean - half, mean + half


def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t, by bisection of `t_cdf`.

    Relative error below 1e-9 for probabilities between 0.5 and 0.9999 and any degrees of freedom (compared with printed tables).

    Raises:
        ValueError: a probability outside (0, 1), or no degree of freedom.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no quantile {probability} of t with {freedom} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, freedom: int) -> float:
    """P(T <= t), to 1e-12: 1 - I_x(v/2, 1/2) / 2 for t >= 0, with x = v / (v + t^2) (Abramowitz and Stegun 26.7.1, 26.5.27)."""
    square = t * t
    if square < freedom:  # x is near 1, where its distance from 1 would be lost: the same by I_x(a, b) = 1 - I_(1-x)(b, a)
        half = incomplete_beta(square / (freedom + square), 0.5, freedom / 2) / 2
        return 0.5 + half if t >= 0 else 0.5 - half
    tail = incomplete_beta(freedom / (freedom + square), freedom / 2, 0.5) / 2
    return 1 - tail if t >= 0 else tail


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below it
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    return front * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))), evaluated forward by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1000):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value - 1
