"""CILP-FGDI's equations against slow transcriptions, values by hand, properties, and gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.formulas.gradient_reversal import reverse_gradient
from reidclip.train.model_inputs import SimilarityRule
from reidclip_fgdi import equations as eq
from tests.plugins import slow_formulas as slow

DOT = SimilarityRule("dot", 1.0)
LABELS = [0, 2, 0, 1, 2, 2]
Y = torch.tensor(LABELS)

seeds = st.integers(0, 10_000)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestTokens:
    """Eq. (3), (4), (6), (7)."""

    def test_both_directions(self) -> None:
        V, T = normal(0, 6, 5), normal(1, 6, 5)
        assert eq.eq03_image_to_text(V, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(V), slow.rows(T), LABELS), rel=1e-12)
        assert eq.eq04_text_to_image(V, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(T), slow.rows(V), LABELS), rel=1e-12)

    def test_domain_is_a_plain_cross_entropy(self) -> None:
        logits, d = normal(0, 6, 3), [0, 1, 2, 2, 1, 0]
        wanted = -sum(slow.log_softmax(row)[label] for row, label in zip(slow.rows(logits), d, strict=True)) / 6
        assert eq.eq06_domain(logits, torch.tensor(d)).item() == pytest.approx(wanted, rel=1e-12)

    def test_weights(self) -> None:
        assert eq.eq07_tokens_weights(0.01) == {"i2t": 1.0, "t2i": 1.0, "domain": 0.01}

    @given(seeds, st.floats(0.01, 5))
    def test_reversal_turns_the_gradient_and_nothing_else(self, seed: int, strength: float) -> None:
        x = normal(seed, 4, 3).requires_grad_()
        weight = normal(seed + 1, 3)
        assert torch.equal(reverse_gradient(x, strength), x)
        (gradient,) = torch.autograd.grad((reverse_gradient(x, strength) @ weight).sum(), x)
        torch.testing.assert_close(gradient, -strength * weight.expand(4, 3))


class TestDistance:
    """Eq. (8), form "ed"."""

    def test_by_hand(self) -> None:
        V, T, N = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 9.0]])
        assert eq.eq08_distance(V, T, N, 0.3).item() == pytest.approx((5 - 1 + 0.3 + 0) / 2)  # the second is satisfied
        soft = (math.log1p(math.exp(4)) + math.log1p(math.exp(-8))) / 2
        assert eq.eq08_distance(V, T, N, None).item() == pytest.approx(soft, rel=1e-5)

    @pytest.mark.parametrize("normalise", [False, True])
    def test_slowly(self, normalise: bool) -> None:
        V, T, N = (slow.rows(normal(seed, 6, 5)) for seed in range(3))
        unit = (lambda row: [x / slow.length(row) for x in row]) if normalise else (lambda row: row)
        wanted = 0.0
        for v, t, n in zip(V, T, N, strict=True):
            wanted += max(0.0, math.dist(unit(v), unit(t)) - math.dist(unit(v), unit(n)) + 0.3) / 6
        got = eq.eq08_distance(*(torch.tensor(x, dtype=torch.float64) for x in (V, T, N)), 0.3, normalise)
        assert got.item() == pytest.approx(wanted, rel=1e-9)
        assert wanted > 0

    def test_a_picture_on_its_text_has_a_gradient(self) -> None:
        V = torch.ones(1, 3, requires_grad=True)
        eq.eq08_distance(V, torch.ones(1, 3), torch.ones(1, 3), 0.3).backward()
        assert V.grad is not None and torch.isfinite(V.grad).all()


class TestCosine:
    """Eq. (8), form "cs"."""

    def test_by_hand(self) -> None:
        V, T, N = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]]), torch.tensor([[3.0, 3.0]])
        assert eq.eq08_cosine(V, T, N, 0.3).item() == pytest.approx(math.sqrt(0.5) - 0 + 0.3, rel=1e-5)
        assert eq.eq08_cosine(V, N, T, 0.3).item() == 0.0
        assert eq.eq08_cosine(V, T, N, None).item() == pytest.approx(math.log1p(math.exp(math.sqrt(0.5))), rel=1e-5)

    @given(seeds, st.floats(0.1, 10))
    @settings(max_examples=30)
    def test_lengths_do_not_count(self, seed: int, factor: float) -> None:
        V, T, N = normal(seed, 4, 5), normal(seed + 1, 4, 5), normal(seed + 2, 4, 5)
        torch.testing.assert_close(eq.eq08_cosine(factor * V, T, factor * N, 0.3), eq.eq08_cosine(V, T, N, 0.3), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", ["ed", "cs", "con", "apnce"])
@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_every_form_pulls_to_the_invariant_text_and_pushes_from_the_relevant_one(form: str, seed: int) -> None:
    """A picture's loss falls when its invariant text comes nearer, and rises when the relevant ones do."""
    unit = partial(torch.nn.functional.normalize, dim=1)
    V, T, N, y = unit(normal(seed, 1, 6)), unit(normal(seed + 1, 3, 6)), unit(normal(seed + 2, 3, 6)), torch.tensor([0])

    def loss(T: Tensor, N: Tensor) -> Tensor:
        if form == "con":
            return eq.eq12_contrastive(V, T, N, y, DOT)
        if form == "apnce":
            return eq.eq13_joint(V, T, N, y, DOT, 0.0)
        return (eq.eq08_distance if form == "ed" else eq.eq08_cosine)(V, T[y], N[y], None)

    nearer_T, nearer_N = torch.cat([unit(T[:1] + 0.05 * V), T[1:]]), unit(N + 0.05 * V)
    assert loss(nearer_T, N) < loss(T, N) < loss(T, nearer_N)


class TestContrastiveForms:
    """Eq. (12) and (13)."""

    def test_con_slowly(self) -> None:
        V, T, N = normal(0, 6, 5), normal(1, 3, 5), normal(2, 3, 5)
        wanted = 0.0
        for v, y in zip(slow.rows(V), LABELS, strict=True):
            own = math.exp(slow.dot(v, slow.rows(T)[y]))
            wanted -= math.log(own / (own + sum(math.exp(slow.dot(v, n)) for n in slow.rows(N)))) / 6
        assert eq.eq12_contrastive(V, T, N, Y, DOT).item() == pytest.approx(wanted, rel=1e-9)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_apnce_slowly(self, smoothing: float) -> None:
        V, T, N = normal(0, 6, 5), normal(1, 3, 5), normal(2, 3, 5)
        wanted = 0.0
        for v, y in zip(slow.rows(V), LABELS, strict=True):
            log_p = slow.log_softmax([slow.dot(v, t) for t in (*slow.rows(T), *slow.rows(N))])
            wanted -= sum(((1 - smoothing) * (k == y) + smoothing / 3) * log_p[k] for k in range(3)) / 6
        assert eq.eq13_joint(V, T, N, Y, DOT, smoothing).item() == pytest.approx(wanted, rel=1e-9)

    def test_apnce_far_from_all_relevant_texts_is_i2tce(self) -> None:
        V, T = normal(0, 6, 5), normal(1, 3, 5)
        away = SimilarityRule("dot", 1.0)
        N = torch.full((3, 5), -1e3, dtype=torch.float64) * V.sum(0).sign()
        V = V.abs() * V.sum(0).sign()  # every picture far from every N
        joint, plain = eq.eq13_joint(V, T, N, Y, away), eq.eq09_image_to_text_cross_entropy(V, T, Y, away)
        torch.testing.assert_close(joint, plain)

    def test_the_rule_counts(self) -> None:
        V, T, N, rule = normal(0, 6, 5), normal(1, 3, 5), normal(2, 3, 5), SimilarityRule("cosine", 7.0)
        unit = [torch.nn.functional.normalize(x, dim=1) for x in (V, T, N)]
        for function in (eq.eq12_contrastive, eq.eq13_joint):
            torch.testing.assert_close(function(V, T, N, Y, rule), function(7 * unit[0], unit[1], unit[2], Y, DOT), rtol=1e-6, atol=1e-8)

    def test_gradients(self) -> None:
        V, T, N = (normal(i, n, 4).requires_grad_() for i, n in ((0, 6), (1, 3), (2, 3)))
        y = Y
        assert torch.autograd.gradcheck(lambda *x: eq.eq12_contrastive(*x, y, DOT), (V, T, N))
        assert torch.autograd.gradcheck(lambda *x: eq.eq13_joint(*x, y, DOT), (V, T, N))
        far = tuple(normal(10 + i, 6, 4).requires_grad_() for i in range(3))
        assert torch.autograd.gradcheck(lambda *x: eq.eq08_distance(*x, margin=None), far)
        assert torch.autograd.gradcheck(lambda *x: eq.eq08_cosine(*x, margin=None), far)


def test_stage_3_weights() -> None:
    assert eq.eq10_stage3_weights(1.0, 0.5, 2.0, 0.25) == {"id": 1.0, "triplet": 0.5, "i2tce": 1.5, "apn": 0.5}
