"""Student's t interval over seeds, against printed tables and closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.evaluation.over_seeds import mean_and_interval, student_quantile

# Two-sided 95 %, as tables print it (and as scipy.stats.t.ppf(0.975, v) gives it, version 1.17).
TABLE = {
    1: 12.706204736432,
    2: 4.302652729911,
    3: 3.182446305284,
    4: 2.776445105198,
    5: 2.570581835636,
    10: 2.228138851965,
    30: 2.04227245630,
}


@pytest.mark.parametrize(("freedom", "value"), TABLE.items())
def test_quantiles_are_those_of_the_table(freedom: int, value: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(value, rel=1e-10)


@given(st.floats(0.5, 0.9999))
def test_one_and_two_degrees_of_freedom_have_closed_forms(probability: float) -> None:
    """Cauchy's distribution: tan(pi (p - 1/2)); with two: (2p - 1) sqrt(2 / (4 p (1 - p)))."""
    assert student_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9, abs=1e-9)
    two = (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    assert student_quantile(probability, 2) == pytest.approx(two, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("probability", "freedom"), [(0.4, 3), (1.0, 3), (0.975, 0)])
def test_what_is_no_quantile(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no upper quantile"):
        student_quantile(probability, freedom)


def test_three_runs_by_hand() -> None:
    """Mean 2, deviation 1, half width 4.302652729911 / sqrt(3)."""
    mean, interval = mean_and_interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and interval == pytest.approx((2 - 2.484137710, 2 + 2.484137710))


def test_one_run_has_no_interval_and_none_is_a_mistake() -> None:
    assert mean_and_interval([0.25]) == (0.25, None)
    with pytest.raises(ValueError, match="at least one"):
        mean_and_interval([])
