"""Intervals and tests of the ablation tables, against numbers computed by hand or printed in tables."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ablation.paired import compare_paired, sign_flip_p
from ablation.scores import read_probe
from ablation.student import incomplete_beta, t_cdf, t_interval, t_quantile
from hypothesis import given, settings
from hypothesis import strategies as st


class TestStudent:
    @pytest.mark.parametrize(
        ("freedom", "printed"),  # 0.975 quantiles, from printed tables
        [(1, 12.7062047364), (2, 4.3026527297), (3, 3.1824463053), (4, 2.7764451052), (9, 2.2621571628), (30, 2.0422724563)],
    )
    def test_printed_quantiles(self, freedom: int, printed: float) -> None:
        assert t_quantile(0.975, freedom) == pytest.approx(printed, rel=1e-10)

    def test_other_probabilities(self) -> None:
        assert t_quantile(0.95, 5) == pytest.approx(2.0150483733, rel=1e-10)
        assert t_quantile(0.995, 2) == pytest.approx(9.9248432009, rel=1e-10)
        assert t_quantile(0.025, 2) == pytest.approx(-4.3026527297, rel=1e-10)

    @settings(deadline=None)
    @given(st.floats(0.5001, 0.9999))
    def test_one_degree_is_cauchy(self, probability: float) -> None:
        assert t_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-8, abs=1e-9)

    @settings(deadline=None)
    @given(st.floats(-8, 8))
    def test_two_degrees_in_closed_form(self, t: float) -> None:
        assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)

    @settings(deadline=None)
    @given(st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 0.99))
    def test_beta_is_a_binomial_tail(self, a: int, b: int, x: float) -> None:
        n = a + b - 1
        tail = sum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
        assert incomplete_beta(x, a, b) == pytest.approx(tail, abs=1e-12)

    def test_interval_by_hand(self) -> None:
        """Mean 60, s = 2, t(2) = 4.302653: half-width 4.302653 * 2 / sqrt(3) = 4.968275."""
        assert t_interval([58.0, 60.0, 62.0]) == pytest.approx((60 - 4.968275, 60 + 4.968275), abs=1e-5)

    def test_one_run_has_none(self) -> None:
        assert t_interval([0.5]) is None

    @pytest.mark.parametrize(("probability", "freedom"), [(0.0, 3), (1.0, 3), (0.9, 0)])
    def test_what_has_no_quantile(self, probability: float, freedom: int) -> None:
        with pytest.raises(ValueError, match="no quantile"):
            t_quantile(probability, freedom)


class TestSignFlips:
    def test_all_of_one_sign(self) -> None:
        """Of the 2^4 patterns only ++++ and ---- reach the sum of four equal values: p = 2/16."""
        assert sign_flip_p(np.array([0.1, 0.1, 0.1, 0.1])) == 0.125

    def test_by_hand(self) -> None:
        """3, 1, -1: |sum| 3; patterns with |sum| >= 3: of 8, those with +3: 5, 3, 3, 1 -> three; and their opposites: 6/8."""
        assert sign_flip_p(np.array([3.0, 1.0, -1.0])) == 0.75

    def test_zeros_tell_nothing(self) -> None:
        assert sign_flip_p(np.zeros(5)) == 1.0
        assert sign_flip_p(np.array([0.1, 0.1, 0.1, 0.1, 0.0, 0.0])) == 0.125

    def test_drawn_patterns_agree_with_the_binomial(self) -> None:
        """400 values of +-1, 230 of them positive: the exact p is twice a binomial tail, about 0.003."""
        values = np.array([1.0] * 230 + [-1.0] * 170)
        exact = 2 * sum(math.comb(400, k) for k in range(230, 401)) / 2**400
        assert sign_flip_p(values, resamples=200_000) == pytest.approx(exact, rel=0.15)

    def test_never_zero(self) -> None:
        assert sign_flip_p(np.ones(500), resamples=99) == 0.01

    def test_no_difference_is_rarely_significant(self) -> None:
        draws = np.random.default_rng(0)
        low = sum(sign_flip_p(draws.normal(size=30), 499, seed) < 0.05 for seed in range(400))
        assert low / 400 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 400))  # and not never

    def test_patterns_that_tie_with_the_observed_one_count(self) -> None:
        """Hits of three seeds are thirds, so many sums are equal: p is that of the same hits counted in whole numbers, at any chunk."""
        draws = np.random.default_rng(3)
        for seed in range(20):
            whole = draws.integers(-3, 4, 200).astype(np.float64)
            assert sign_flip_p(whole / 3, 999, seed) == sign_flip_p(whole, 999, seed)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=9))
    def test_enumeration(self, values: list[float]) -> None:
        sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in itertools.product((1, -1), repeat=len(values))]
        expected = np.mean([s >= abs(sum(values)) - 1e-9 for s in sums])
        assert sign_flip_p(np.array(values)) == pytest.approx(expected)


class TestPaired:
    def test_by_hand(self) -> None:
        """Two seeds, four queries of two people."""
        found = compare_paired(np.array([[0.2, 0.0, 0.4, 0.2], [0.4, 0.2, 0.4, 0.2]]), np.array([1, 1, 2, 2]))
        assert found.difference == pytest.approx(0.25)
        assert found.seed_interval == pytest.approx((0.25 - 12.7062 * 0.05, 0.25 + 12.7062 * 0.05), abs=1e-4)  # seeds: 0.2 and 0.3
        assert found.p_queries == 0.125 and found.p_identities == 0.5
        assert (found.seeds, found.queries, found.identities) == (2, 4, 2)
        assert found.query_interval[0] < 0.25 < found.query_interval[1]
        assert not found.significant

    def test_pictures_of_one_person_are_no_independent_evidence(self) -> None:
        one = compare_paired(np.full((1, 50), 0.3), np.zeros(50, np.int64), resamples=999)
        many = compare_paired(np.full((1, 50), 0.3), np.arange(50), resamples=999)
        assert one.p_queries < 0.01 and one.p_identities == 1.0 and not one.significant
        assert many.p_identities < 0.01 and many.significant

    def test_seeds_that_disagree_are_not_significant(self) -> None:
        """Every person gains on average, but by one seed alone: another seed may show nothing."""
        found = compare_paired(np.stack([np.full(40, 0.4), np.full(40, -0.1)]), np.arange(40), resamples=999)
        assert found.p_identities < 0.05 and found.seed_interval is not None and found.seed_interval[0] < 0 and not found.significant

    def test_rounding_is_no_difference(self) -> None:
        """Person 1 lost one hit of three seeds, and two, and won three: -1/3 - 2/3 + 1 is 1e-16 in float64 and nothing in truth."""
        hits = np.array([[-1.0, -1.0, 1.0, 1.0], [0.0, -1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]])[:, [2, 0, 1, 3]]
        pids = np.array([1, 1, 1, 2])
        assert np.bincount(pids, weights=hits.mean(axis=0))[1] != 0, "the case must round"
        found = compare_paired(hits, pids)
        assert (found.queries, found.identities, found.p_identities) == (4, 1, 1.0)

    def test_nothing_in_common(self) -> None:
        with pytest.raises(ValueError, match="in common"):
            compare_paired(np.empty((1, 0)), np.empty(0, np.int64))


class TestClothesProbe:
    @pytest.mark.parametrize(
        ("probe", "share"),
        [
            ({"accuracy": 1.0, "variance_share": 0.5, "within_camera": {"variance_share": 0.4}}, 0.4),
            ({"accuracy": 1.0, "variance_share": 0.5, "within_camera": None}, None),
        ],
    )
    def test_the_share_within_a_camera_stands_beside_the_other(self, tmp_path: Path, probe: dict[str, object], share: float | None) -> None:
        found = read_probe(evaluation(tmp_path, {"clothes_probe": probe}))
        assert found is not None and (found["variance_share"], found["within_camera_share"]) == (0.5, share)

    def test_a_probe_that_was_skipped_is_none(self, tmp_path: Path) -> None:
        assert read_probe(evaluation(tmp_path, {"clothes_probe": {"skipped": "no person is seen in two known outfits"}})) is None


def evaluation(folder: Path, diagnostics: dict[str, object]):  # type: ignore[no-untyped-def]
    """As much of an evaluation artifact as is read."""
    (folder / "diagnostics.json").write_text(json.dumps(diagnostics))
    return SimpleNamespace(files={"diagnostics.json": ""}, file=lambda name: folder / name)
