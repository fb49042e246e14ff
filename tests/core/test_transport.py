"""Optimal transport: POT, a hand-computed case, a slow transcription of the published loop, gradients, and what happens at the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from reidclip.formulas.transport import cosine_cost, sinkhorn, transport_cost


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masses(*shape: int, seed: int) -> Tensor:
    mass = drawn(*shape, seed=seed) + 0.05
    return mass / mass.sum(dim=1, keepdim=True)


def costs_of_cosines(batch: int, places: int, words: int, seed: int) -> Tensor:
    return cosine_cost(drawn(batch, places, 6, seed=seed) - 0.5, drawn(batch, words, 6, seed=seed + 1) - 0.5)


class TestByHand:
    """K = 2^-C for lambda = 1 / ln 2; C = [[0, 1], [2, 0]] gives K b = (3/2, 5/4) / 1, a = (1/3, 2/5), K^T a = (13/30, 17/30)."""

    cost = torch.tensor([[[0.0, 1.0], [2.0, 0.0]]], dtype=torch.float64)
    plan = torch.tensor([[[5 / 13, 5 / 34], [3 / 26, 6 / 17]]], dtype=torch.float64)

    @pytest.mark.parametrize("log_domain", [False, True])
    def test_one_iteration(self, log_domain: bool) -> None:
        found = sinkhorn(self.cost, regularisation=1 / math.log(2), log_domain=log_domain)
        assert torch.allclose(found.plan, self.plan, rtol=0, atol=1e-15)
        assert found.iterations == 1 and found.log_domain is log_domain
        assert found.row_error.item() == pytest.approx(14 / 221, rel=1e-12)
        assert found.column_error.item() == pytest.approx(0, abs=1e-15)
        assert transport_cost(found.plan, self.cost).item() == pytest.approx(5 / 34 + 2 * 3 / 26, rel=1e-12)

    def test_costs(self) -> None:
        places = torch.tensor([[[3.0, 4.0], [-2.0, 0.0], [0.0, 0.0]]])
        words = torch.tensor([[[1.0, 0.0], [0.0, 5.0]]])
        assert torch.allclose(cosine_cost(places, words), torch.tensor([[[0.4, 0.2], [2.0, 1.0], [1.0, 1.0]]]), atol=1e-6)


class TestAgainstPot:
    @pytest.mark.parametrize("log_domain", [False, True])
    @pytest.mark.parametrize("regularisation", [1.0, 0.1])
    def test_converged(self, regularisation: float, log_domain: bool) -> None:
        cost, u, v = costs_of_cosines(3, 12, 5, 3), masses(3, 12, seed=7), masses(3, 5, seed=8)
        found = sinkhorn(cost, u, v, regularisation=regularisation, iterations=500, log_domain=log_domain)
        for b in range(3):
            expected = ot.sinkhorn(u[b].numpy(), v[b].numpy(), cost[b].numpy(), regularisation, numItermax=5000, stopThr=1e-12)
            assert np.abs(found.plan[b].numpy() - expected).max() < 1e-5
        assert found.row_error.max() < 1e-6

    def test_small_regularisation(self) -> None:
        cost = costs_of_cosines(2, 9, 4, 21)
        found = sinkhorn(cost, regularisation=0.02, iterations=3000)
        assert found.log_domain
        for b in range(2):
            expected = ot.sinkhorn([1 / 9] * 9, [1 / 4] * 4, cost[b].numpy(), 0.02, method="sinkhorn_log", numItermax=5000, stopThr=1e-12)
            assert np.abs(found.plan[b].numpy() - expected).max() < 1e-5

    def test_float32(self) -> None:
        cost = costs_of_cosines(2, 32, 16, 5)
        found = sinkhorn(cost.float(), iterations=100)
        expected = ot.sinkhorn([1 / 32] * 32, [1 / 16] * 16, cost[0].numpy(), 1.0, stopThr=1e-12)
        assert np.abs(found.plan[0].numpy() - expected).max() < 1e-5 / 16

    @pytest.mark.parametrize("seed", range(3))
    def test_the_limit_is_the_cheapest_transport(self, seed: int) -> None:
        """The best entropic plan costs at most lambda * (difference of entropies) <= lambda log(N M) more than the cheapest plan; rows that
        are wrong by e can cost e times the largest cost less or more."""
        cost, u, v = costs_of_cosines(1, 6, 4, 30 + seed), masses(1, 6, seed=seed), masses(1, 4, seed=seed + 9)
        cheapest = ot.emd2(u[0].numpy(), v[0].numpy(), cost[0].numpy())
        above = []
        for regularisation in (0.1, 0.02, 0.004):
            found = sinkhorn(cost, u, v, regularisation=regularisation, iterations=4000)
            wrong = float(found.row_error * cost.max())
            assert wrong < 1e-3
            above.append(float(transport_cost(found.plan, cost)) - float(cheapest))
            assert -wrong <= above[-1] <= regularisation * math.log(24) + wrong
        assert above[0] > above[1] > above[2] - 1e-6


def published_loop(cost: np.ndarray, regularisation: float, most: int, threshold: float) -> tuple[np.ndarray, int]:
    """The published iterations, one number at a time: both scalings start at 1; they stop when a's mean change is below the threshold."""
    batch, places, words = cost.shape
    kernel = np.exp(-cost / regularisation)
    a, b = np.ones((batch, places)), np.ones((batch, words))
    made = 0
    for _ in range(most):
        before = a.copy()
        for i in range(batch):
            for n in range(places):
                a[i, n] = (1 / places) / sum(kernel[i, n, m] * b[i, m] for m in range(words))
            for m in range(words):
                b[i, m] = (1 / words) / sum(kernel[i, n, m] * a[i, n] for n in range(places))
        made += 1
        if np.abs(a - before).mean() < threshold:
            break
    return a[:, :, None] * kernel * b[:, None, :], made


@pytest.mark.parametrize("log_domain", [False, True])
@pytest.mark.parametrize(("regularisation", "most", "threshold"), [(0.1, 100, 1e-2), (1.0, 100, 1e-2), (0.1, 7, 1e-9), (0.3, 100, 1e-7)])
def test_stops_where_the_published_loop_stops(regularisation: float, most: int, threshold: float, log_domain: bool) -> None:
    cost = costs_of_cosines(2, 8, 4, 11)
    expected, made = published_loop(cost.numpy(), regularisation, most, threshold)
    found = sinkhorn(cost, regularisation=regularisation, iterations=most, tolerance=threshold, log_domain=log_domain)
    assert found.iterations == made
    assert np.abs(found.plan.numpy() - expected).max() < 1e-12


class TestProperties:
    @given(
        st.integers(1, 3),
        st.integers(1, 9),
        st.integers(1, 6),
        st.integers(0, 999),
        st.sampled_from([0.05, 0.2, 1.0, 30.0]),
        st.integers(1, 6),
    )
    @settings(max_examples=40, deadline=None)
    def test_columns_signs_order_and_both_ways(self, batch: int, n: int, m: int, seed: int, regularisation: float, times: int) -> None:
        cost, u, v = 2 * drawn(batch, n, m, seed=seed), masses(batch, n, seed=seed + 1), masses(batch, m, seed=seed + 2)
        options: dict[str, Any] = {"regularisation": regularisation, "iterations": times}
        plain, log = (sinkhorn(cost, u, v, log_domain=way, **options) for way in (False, True))
        assert torch.allclose(plain.plan, log.plan, rtol=1e-9, atol=1e-14)
        assert (plain.plan >= 0).all() and plain.plan.shape == (batch, n, m)
        assert torch.allclose(plain.plan.sum(1), v, rtol=1e-12)
        assert torch.allclose(plain.row_error, (plain.plan.sum(2) - u).abs().sum(1)) and plain.row_error.shape == (batch,)
        generator = torch.Generator().manual_seed(seed)
        rows, columns = torch.randperm(n, generator=generator), torch.randperm(m, generator=generator)
        moved = sinkhorn(cost[:, rows][:, :, columns], u[:, rows], v[:, columns], log_domain=False, **options)
        assert torch.allclose(moved.plan, plain.plan[:, rows][:, :, columns], rtol=1e-9, atol=1e-15)

    @given(st.integers(0, 999), st.floats(-3, 3), st.sampled_from([0.02, 0.5]))
    @settings(max_examples=15, deadline=None)
    def test_a_constant_on_all_costs_moves_nothing(self, seed: int, constant: float, regularisation: float) -> None:
        cost = drawn(2, 5, 3, seed=seed)
        first, other = (sinkhorn(c, regularisation=regularisation, iterations=4) for c in (cost, cost + constant))
        assert torch.allclose(first.plan, other.plan, rtol=1e-8)

    def test_more_iterations_bring_rows_nearer(self) -> None:
        cost = costs_of_cosines(4, 20, 6, 2)
        errors = torch.stack([sinkhorn(cost, regularisation=0.1, iterations=t).row_error for t in (1, 4, 16, 64)])
        assert (errors[1:] < errors[:-1]).all()

    def test_items_do_not_touch_each_other(self) -> None:
        cost = costs_of_cosines(3, 7, 4, 9)
        whole = sinkhorn(cost, iterations=5).plan
        assert torch.allclose(sinkhorn(cost[1:2], iterations=5).plan[0], whole[1], rtol=1e-12)


class TestGradients:
    @pytest.mark.parametrize("log_domain", [False, True])
    @pytest.mark.parametrize("iterations", [1, 4])
    def test_through_the_plan(self, iterations: int, log_domain: bool) -> None:
        def cost_of(places: Tensor, words: Tensor) -> Tensor:
            cost = cosine_cost(places, words)
            return transport_cost(sinkhorn(cost, regularisation=0.5, iterations=iterations, log_domain=log_domain).plan, cost)

        inputs = [(drawn(2, n, 3, seed=n) - 0.4).requires_grad_() for n in (5, 4)]
        assert gradcheck(cost_of, inputs)

    def test_without_the_plan_the_gradient_is_the_plan(self) -> None:
        """Then the loss is the published code's, 1 - <T, cos>, and its gradient."""
        cost = costs_of_cosines(2, 6, 3, 4).requires_grad_()
        plan = sinkhorn(cost).plan
        paid = transport_cost(plan, cost, detach_plan=True)
        assert torch.allclose(paid, 1 - (plan * (1 - cost)).sum((1, 2)))
        (gradient,) = torch.autograd.grad(paid.sum(), cost, retain_graph=True)
        assert torch.allclose(gradient, plan)
        (through,) = torch.autograd.grad(transport_cost(plan, cost).sum(), cost)
        assert not torch.allclose(through, plan, rtol=1e-2)

    @pytest.mark.parametrize("regularisation", [1.0, 0.1, 1e-4])
    @pytest.mark.parametrize("iterations", [1, 50])
    def test_stay_finite(self, regularisation: float, iterations: int) -> None:
        """Places that are zero (they have none), equal places, a place equal to a word, a word of zeros."""
        places, words = drawn(2, 10, 4, dtype=torch.float32) - 0.5, drawn(2, 5, 4, seed=1, dtype=torch.float32) - 0.5
        places[0, :2], places[0, 3], places[1, 4], words[1, 0] = 0, places[0, 2], words[1, 1], 0
        places.requires_grad_(), words.requires_grad_()
        cost = cosine_cost(places, words)
        paid = transport_cost(sinkhorn(cost, regularisation=regularisation, iterations=iterations).plan, cost)
        found = torch.autograd.grad(paid.sum(), (places, words))
        assert all(torch.isfinite(one).all() for one in found)
        assert found[0][0, :2].abs().max() == 0 and found[1][1, 0].abs().max() == 0
        assert found[0][1].abs().max() > 0


class TestPrecision:
    def test_small_regularisations_take_logarithms(self) -> None:
        cost = costs_of_cosines(2, 12, 4, 6).float()
        found = sinkhorn(cost, regularisation=1e-4, iterations=10)
        assert found.log_domain and torch.isfinite(found.plan).all() and found.column_error.max() < 1e-6
        assert torch.isnan(sinkhorn(cost, regularisation=1e-4, log_domain=False).plan).any()

    def test_so_do_large_costs(self) -> None:
        cost = torch.tensor([[[0.0, 500.0], [500.0, 3.0]]])
        found = sinkhorn(cost, regularisation=1.0, iterations=3)
        assert found.log_domain and torch.allclose(found.plan, torch.eye(2)[None] / 2)
        assert not sinkhorn(cost / 100, regularisation=1.0).log_domain
        assert not sinkhorn(cost.double(), regularisation=5.0).log_domain  # exp(-100) is no trouble there

    def test_a_tolerance_where_scalings_overflow(self) -> None:
        """a = exp(500) and more is beyond float32; iterations that change nothing end nevertheless."""
        found = sinkhorn(torch.full((1, 4, 3), 500.0), iterations=50, tolerance=1e-3)
        assert found.iterations <= 3 and torch.allclose(found.plan, torch.full((1, 4, 3), 1 / 12))

    def test_autocast_does_not_reach_it(self) -> None:
        places, words = drawn(2, 9, 16, dtype=torch.float32) - 0.3, drawn(2, 4, 16, seed=1, dtype=torch.float32) - 0.3
        cost = cosine_cost(places, words)
        with torch.autocast("cpu", torch.bfloat16):
            inside = cosine_cost(places, words)
            plan = sinkhorn(inside, iterations=3).plan
            rough = cosine_cost(places.bfloat16(), words.bfloat16())
        assert torch.equal(inside, cost) and torch.equal(plan, sinkhorn(cost, iterations=3).plan)
        assert rough.dtype == torch.float32 and sinkhorn(rough.bfloat16()).plan.dtype == torch.float32

    @pytest.mark.parametrize("log_domain", [False, True])
    def test_places_without_mass(self, log_domain: bool) -> None:
        u = torch.tensor([[0.5, 0.0, 0.5, 0.0]])
        cost = drawn(1, 4, 3, dtype=torch.float32).requires_grad_()
        found = sinkhorn(cost, u, regularisation=0.2, iterations=30, tolerance=1e-4, log_domain=log_domain)
        assert found.plan[0, 1].abs().max() == 0 and found.row_error.item() < 1e-3 and found.iterations < 30
        assert torch.isfinite(torch.autograd.grad(transport_cost(found.plan, cost).sum(), cost)[0]).all()


class TestEdges:
    @pytest.mark.parametrize("log_domain", [None, False, True])
    def test_nothing_and_single_ones(self, log_domain: bool | None) -> None:
        none = sinkhorn(torch.zeros(0, 3, 2), iterations=2, tolerance=0.1, log_domain=log_domain)
        assert none.plan.shape == (0, 3, 2) and none.row_error.shape == (0,)
        one_place = sinkhorn(drawn(2, 1, 4), log_domain=log_domain)
        assert torch.allclose(one_place.plan, torch.full((2, 1, 4), 0.25, dtype=torch.float64)) and one_place.row_error.max() < 1e-12
        one_word = sinkhorn(drawn(2, 4, 1), log_domain=log_domain)
        assert torch.allclose(one_word.plan, torch.full((2, 4, 1), 0.25, dtype=torch.float64)) and one_word.row_error.max() < 1e-12

    @pytest.mark.parametrize(
        ("shape", "options", "said"),
        [
            ((3, 4), {}, r"\(B, N, M\).*\(3, 4\)"),
            ((2, 0, 4), {}, "at least one place"),
            ((2, 3, 0), {}, "one word"),
            ((2, 3, 4), {"regularisation": -1.0}, "positive and finite, not -1.0"),
            ((2, 3, 4), {"regularisation": 0.0}, "lambda"),
            ((2, 3, 4), {"regularisation": math.nan}, "lambda"),
            ((2, 3, 4), {"iterations": 0}, "at least one iteration"),
            ((2, 3, 4), {"tolerance": -0.1}, "tolerance"),
            ((2, 3, 4), {"u": torch.ones(2, 4)}, r"u must be \(2, 3\)"),
            ((2, 3, 4), {"v": torch.ones(4)}, r"v must be \(2, 4\)"),
            ((2, 3, 4), {"v": torch.tensor([[1.0, 1, 1, -2]] * 2)}, "v has negative mass"),
        ],
    )
    def test_what_does_not_fit(self, shape: tuple[int, ...], options: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            sinkhorn(torch.ones(shape), **options)

    def test_other_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"not torch\.int64"):
            sinkhorn(torch.ones(1, 2, 2, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"F must be \(B, N, D\)"):
            cosine_cost(torch.ones(2, 3, 4), torch.ones(2, 3, 5))
        with pytest.raises(ValueError, match="plan and cost"):
            transport_cost(torch.ones(2, 3, 4), torch.ones(2, 4, 3))
