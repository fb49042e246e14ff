"""CLIP-ReID's equations against slow transcriptions, a value by hand, gradients and errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reidclip.train.model_inputs import SimilarityRule
from reidclip_clipreid import equations as eq
from tests.plugins import slow_formulas as slow

DOT = SimilarityRule("dot", 1.0)
LABELS = [0, 2, 0, 1, 2, 2]
Y = torch.tensor(LABELS)


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def normal(draw: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


class TestEquation1:
    def test_double_loop(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 4, 5), normal(draw, 3, 5)
        expected = [[slow.dot(v, t) for t in slow.rows(T)] for v in slow.rows(V)]
        torch.testing.assert_close(eq.eq01_similarity(V, T, DOT), torch.tensor(expected, dtype=torch.float64))

    def test_cosine_with_temperature(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 4, 5), normal(draw, 3, 5)
        expected = [[14 * slow.cosine(v, t) for t in slow.rows(T)] for v in slow.rows(V)]
        torch.testing.assert_close(eq.eq01_similarity(V, T, SimilarityRule("cosine", 14.0)), torch.tensor(expected, dtype=torch.float64))

    def test_widths_must_agree(self, draw: torch.Generator) -> None:
        with pytest.raises(RuntimeError):
            eq.eq01_similarity(normal(draw, 4, 5), normal(draw, 3, 6), DOT)

    def test_unknown_kind(self, draw: torch.Generator) -> None:
        with pytest.raises(ValueError, match="given: 'angle'"):
            eq.eq01_similarity(normal(draw, 4, 5), normal(draw, 3, 5), SimilarityRule("angle", 1.0))  # type: ignore[arg-type]


class TestEquations2To5:
    def test_double_loop(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5), normal(draw, 3, 5)[Y]
        i2t, t2i = (slow.contrastive(slow.rows(a), slow.rows(b), LABELS) for a, b in ((V, T), (T, V)))
        assert eq.eq02_image_to_text(V, T, Y, DOT).item() == pytest.approx(i2t, rel=1e-12)
        assert eq.eq04_text_to_image(V, T, Y, DOT).item() == pytest.approx(t2i, rel=1e-12)
        assert i2t != pytest.approx(t2i, rel=1e-3), "the two directions would not be told apart"

    def test_by_hand(self) -> None:
        # Two identities, s(V_0, T) = (log 3, 0), s(V_1, T) = (0, log 3): every row has probability 3/4 on its own.
        V, T, y = torch.eye(2) * math.log(3.0), torch.eye(2), torch.tensor([0, 1])
        assert eq.eq02_image_to_text(V, T, y, DOT).item() == pytest.approx(math.log(4 / 3), rel=1e-6)
        # One picture more of identity 0, similar to no text: column T_0 now sees exp(log 3), exp(0), exp(0) with two positives.
        V, T, y = torch.cat([V, torch.zeros(1, 2)]), torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 0])
        of_identity_0, of_identity_1 = -(math.log(3 / 5) + math.log(1 / 5)) / 2, -math.log(3 / 5)
        assert eq.eq04_text_to_image(V, T, y, DOT).item() == pytest.approx((2 * of_identity_0 + of_identity_1) / 3, rel=1e-6)

    def test_sum_is_given_as_its_parts(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5), normal(draw, 3, 5)[Y]
        parts = eq.eq05_stage1(V, T, Y, DOT)
        assert list(parts) == ["i2t", "t2i"]
        expected = slow.contrastive(slow.rows(V), slow.rows(T), LABELS) + slow.contrastive(slow.rows(T), slow.rows(V), LABELS)
        assert sum(parts.values()).item() == pytest.approx(expected, rel=1e-12)  # type: ignore[union-attr]

    def test_gradient_reaches_the_text(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5), normal(draw, 6, 5).requires_grad_()
        assert torch.autograd.gradcheck(lambda t: sum(eq.eq05_stage1(V, t, Y, DOT).values()), T)

    def test_a_step_down_the_gradient_brings_texts_to_their_images(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5), normal(draw, 6, 5).requires_grad_()
        (gradient,) = torch.autograd.grad(sum(eq.eq05_stage1(V, T, Y, DOT).values()), T)  # type: ignore[arg-type]
        own = Y[:, None] == Y[None, :]
        before, after = (torch.softmax(V @ t.T, 1)[own].log().mean() for t in (T, T - 0.01 * gradient))
        assert after > before


class TestEquation6:
    def test_double_loop(self, draw: torch.Generator) -> None:
        logits = normal(draw, 6, 4)
        assert eq.eq06_identity(logits, Y, 0.1).item() == pytest.approx(
            slow.smoothed_cross_entropy(slow.rows(logits), LABELS, 0.1), rel=1e-12
        )

    def test_by_hand(self) -> None:
        # p = (0.8, 0.2), epsilon 0.1: q = (0.95, 0.05).
        logits = torch.tensor([[math.log(4.0), 0.0]])
        expected = -0.95 * math.log(0.8) - 0.05 * math.log(0.2)
        assert eq.eq06_identity(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)

    def test_label_out_of_range(self, draw: torch.Generator) -> None:
        with pytest.raises(IndexError):
            eq.eq06_identity(normal(draw, 1, 3), torch.tensor([3]))


class TestEquation7:
    def test_double_loop(self, draw: torch.Generator) -> None:
        features = 0.2 * normal(draw, 6, 4)
        assert eq.eq07_triplet(features, Y).item() == pytest.approx(slow.triplet(slow.rows(features), LABELS, 0.3), rel=1e-5)

    def test_by_hand(self) -> None:
        # Points 0, 1 | 1.1, 5 on a line: (d_p, d_n) = (1, 1.1), (1, 0.1), (3.9, 0.1), (3.9, 4).
        loss = eq.eq07_triplet(torch.tensor([[0.0], [1.0], [1.1], [5.0]]), torch.tensor([0, 0, 1, 1]))
        assert loss.item() == pytest.approx((0.2 + 1.2 + 4.1 + 0.2) / 4, rel=1e-5)

    def test_no_loss_and_no_gradient_beyond_the_margin(self) -> None:
        features = torch.tensor([[0.0], [0.1], [9.0], [9.1]], requires_grad=True)
        loss = eq.eq07_triplet(features, torch.tensor([0, 0, 1, 1]))
        (gradient,) = torch.autograd.grad(loss, features)
        assert loss.item() == 0
        assert gradient.abs().max() == 0


class TestEquation8:
    def test_double_loop(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5), normal(draw, 3, 5)
        logits = [[slow.dot(v, t) for t in slow.rows(T)] for v in slow.rows(V)]
        got = eq.eq08_image_to_text_cross_entropy(V, T, Y, DOT, 0.1).item()
        assert got == pytest.approx(slow.smoothed_cross_entropy(logits, LABELS, 0.1), rel=1e-12)

    def test_by_hand(self) -> None:
        # s = (log 2, 0, 0): p = (1/2, 1/4, 1/4), epsilon 0.3: q = (0.8, 0.1, 0.1).
        V, T = torch.tensor([[math.log(2.0)]]), torch.tensor([[1.0], [0.0], [0.0]])
        expected = 0.8 * math.log(2) + 0.2 * math.log(4)
        assert eq.eq08_image_to_text_cross_entropy(V, T, torch.tensor([0]), DOT, 0.3).item() == pytest.approx(expected, rel=1e-6)

    def test_pulls_the_image_to_its_text(self, draw: torch.Generator) -> None:
        V, T = normal(draw, 6, 5).requires_grad_(), normal(draw, 3, 5)
        (gradient,) = torch.autograd.grad(eq.eq08_image_to_text_cross_entropy(V, T, Y, DOT), V)
        before, after = (torch.softmax(v @ T.T, 1)[range(6), Y] for v in (V, V - 0.1 * gradient))
        assert (after > before).all()
