"""CCAF's equations against slow transcriptions, values by hand, and who is trained by what."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reidclip.train.model_inputs import SimilarityRule
from reidclip_ccaf import equations as eq
from tests.plugins import slow_formulas as slow

DOT = SimilarityRule("dot", 1.0)
LABELS = [0, 2, 0, 1, 2, 2]
Y = torch.tensor(LABELS)


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(12)


def normal(draw: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


class TestIdentityLoss:
    """Eq. (1)-(3) and (8)."""

    def test_double_loops(self, draw: torch.Generator) -> None:
        logits, features = normal(draw, 6, 3), 0.2 * normal(draw, 6, 4)
        ce, tri = slow.smoothed_cross_entropy(slow.rows(logits), LABELS, 0.1), slow.triplet(slow.rows(features), LABELS, 0.3)
        assert tri > 0
        l_ce, l_tri = eq.eq01_identity(logits, Y), eq.eq02_triplet(features, Y)
        assert l_ce.item() == pytest.approx(ce, rel=1e-12)
        assert l_tri.item() == pytest.approx(tri, rel=1e-5)
        assert eq.eq03_id_loss(l_ce, l_tri).item() == pytest.approx(ce + tri, rel=1e-5)
        assert eq.eq08_shielding_id(l_ce, l_tri).item() == pytest.approx(ce + tri, rel=1e-5)

    def test_by_hand(self) -> None:
        # Uniform logits of two classes: log 2 whatever the smoothing. Points 0, 2 | 1, 3: d_p = 2, d_n = 1 everywhere.
        ce = eq.eq01_identity(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
        tri = eq.eq02_triplet(torch.tensor([[0.0], [2.0], [1.0], [3.0]]), torch.tensor([0, 0, 1, 1]))
        assert eq.eq03_id_loss(ce, tri).item() == pytest.approx(math.log(2) + 1.3, rel=1e-5)


class TestImages:
    """Eq. (4) and (11)."""

    def test_by_hand(self) -> None:
        x = torch.tensor([[[[10.0, 20.0]], [[30.0, 40.0]], [[50.0, 60.0]]]])  # one picture of 1 x 2 pixels
        M = torch.tensor([[[1, 0]]])
        assert eq.eq04_shielding_image(x, M).flatten().tolist() == [10, 255, 30, 255, 50, 255]
        assert eq.eq11_clothes_image(x, M).flatten().tolist() == [255, 20, 255, 40, 255, 60]

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
    def test_double_loop(self, draw: torch.Generator, dtype: torch.dtype) -> None:
        x = torch.randint(0, 256, (2, 3, 4, 5), generator=draw).float()
        M = torch.randint(0, 2, (2, 4, 5), generator=draw).to(dtype)
        shielded, clothes = eq.eq04_shielding_image(x, M), eq.eq11_clothes_image(x, M)
        for b in range(2):
            for channel in range(3):
                for i in range(4):
                    for j in range(5):
                        v, m = float(x[b, channel, i, j]), float(M[b, i, j])
                        assert shielded[b, channel, i, j] == m * v + (1 - m) * 255
                        assert clothes[b, channel, i, j] == (1 - m) * v + m * 255

    def test_mask_of_another_size(self) -> None:
        with pytest.raises(ValueError, match="height and width"):
            eq.eq04_shielding_image(torch.zeros(1, 3, 4, 5), torch.ones(1, 5, 4))


class TestPromptLosses:
    """Eq. (5), (6), (12), (13) and their sum, (16)."""

    @pytest.mark.parametrize("function", [eq.eq05_image_to_text, eq.eq12_clothes_image_to_text])
    def test_image_to_text(self, draw: torch.Generator, function: Callable[..., Tensor]) -> None:
        f, T = normal(draw, 6, 5), normal(draw, 3, 5)[Y]
        assert function(f, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(f), slow.rows(T), LABELS), rel=1e-12)

    @pytest.mark.parametrize("function", [eq.eq06_text_to_image, eq.eq13_clothes_text_to_image])
    def test_text_to_image(self, draw: torch.Generator, function: Callable[..., Tensor]) -> None:
        f, T = normal(draw, 6, 5), normal(draw, 3, 5)[Y]
        assert function(f, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(T), slow.rows(f), LABELS), rel=1e-12)

    def test_by_hand(self) -> None:
        # s(f_0, T) = (log 3, 0), s(f_1, T) = (0, 0): -log 3/4 and -log 1/2.
        f, T, y = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), torch.eye(2), torch.tensor([0, 1])
        assert eq.eq05_image_to_text(f, T, y, DOT).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)

    def test_stage_1_is_the_sum_of_four(self) -> None:
        parts = eq.eq16_stage1(
            {"i2t": torch.tensor(1.0), "t2i": torch.tensor(2.0)}, {"i2t_c": torch.tensor(4.0), "t2i_c": torch.tensor(8.0)}
        )
        assert float(sum(parts.values())) == 15


class TestImageToTextCrossEntropy:
    """Eq. (7) and (9)."""

    @pytest.mark.parametrize("function", [eq.eq07_image_to_text_cross_entropy, eq.eq09_shielding_image_to_text])
    def test_double_loop(self, draw: torch.Generator, function: Callable[..., Tensor]) -> None:
        f, T = normal(draw, 6, 5), normal(draw, 3, 5)
        logits = [[slow.dot(v, t) for t in slow.rows(T)] for v in slow.rows(f)]
        assert function(f, T, Y, DOT, 0.2).item() == pytest.approx(slow.smoothed_cross_entropy(logits, LABELS, 0.2), rel=1e-12)


class TestEquation10:
    def test_double_loop(self, draw: torch.Generator) -> None:
        f, f_s = normal(draw, 6, 4), normal(draw, 6, 4)
        total, identities = 0.0, sorted(set(LABELS))
        for p in identities:
            mine = [i for i, y in enumerate(LABELS) if y == p]
            for d in range(4):
                c = sum(float(f[i, d]) for i in mine) / len(mine)
                c_s = sum(float(f_s[i, d]) for i in mine) / len(mine)
                total += (c - c_s) ** 2
        assert eq.eq10_centre_consistency(f, f_s, Y).item() == pytest.approx(total / len(identities), rel=1e-5)

    def test_by_hand(self) -> None:
        # Identity 0: centres (1, 0) and (0, 0), squared distance 1. Identity 1: (0, 3) and (4, 0), squared distance 25.
        f = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
        f_s = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [8.0, 0.0], [0.0, 0.0]])
        assert eq.eq10_centre_consistency(f, f_s, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(13.0)

    def test_centres_are_compared_not_pictures(self) -> None:
        f = torch.tensor([[1.0], [-1.0]])
        assert eq.eq10_centre_consistency(f, -f, torch.tensor([5, 5])).item() == 0

    def test_gradients_reach_both_streams_and_oppose_each_other(self, draw: torch.Generator) -> None:
        f, f_s = normal(draw, 6, 4).float().requires_grad_(), normal(draw, 6, 4).float().requires_grad_()
        of_f, of_f_s = torch.autograd.grad(eq.eq10_centre_consistency(f, f_s, Y), (f, f_s))
        assert of_f.abs().min() > 0
        torch.testing.assert_close(of_f, -of_f_s)

    def test_normalised_features_ignore_length(self, draw: torch.Generator) -> None:
        f, f_s, stretch = normal(draw, 6, 4), normal(draw, 6, 4), torch.arange(1.0, 7.0)[:, None]
        plain, stretched = (eq.eq10_centre_consistency(f * k, f_s, Y, normalise=True).item() for k in (1.0, stretch))
        assert stretched == pytest.approx(plain, rel=1e-5)
        assert plain != pytest.approx(eq.eq10_centre_consistency(f, f_s, Y).item(), rel=1e-3)

    def test_streams_of_different_size(self, draw: torch.Generator) -> None:
        with pytest.raises(RuntimeError):
            eq.eq10_centre_consistency(normal(draw, 6, 4), normal(draw, 5, 4), Y)


class TestEquation14:
    def test_double_loop(self, draw: torch.Generator) -> None:
        f, proj, T = normal(draw, 6, 4), normal(draw, 4, 4), normal(draw, 5, 4)
        clothes = [0, 4, 1, 2, 3, 4]
        logits = []
        for v in slow.rows(f):
            f_c = [sum(v[k] * float(proj[k, d]) for k in range(4)) for d in range(4)]
            logits.append([slow.dot(f_c, t) for t in slow.rows(T)])
        expected = slow.smoothed_cross_entropy(logits, clothes, 0.1)
        assert eq.eq14_examine(f, proj, T, torch.tensor(clothes), DOT).item() == pytest.approx(expected, rel=1e-12)

    def test_by_hand(self) -> None:
        # f Proj = (0, log 4), clothes texts are the axes: p = (1/5, 4/5), no smoothing, class 1.
        f, proj = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)], [7.0, 7.0]])
        assert eq.eq14_examine(f, proj, torch.eye(2), torch.tensor([1]), DOT, 0.0).item() == pytest.approx(math.log(5 / 4), rel=1e-6)

    def test_trains_proj_alone(self, draw: torch.Generator) -> None:
        f, proj = normal(draw, 6, 4).requires_grad_(), normal(draw, 4, 4).requires_grad_()
        T = normal(draw, 3, 4)
        of_f, of_proj = torch.autograd.grad(eq.eq14_examine(f, proj, T, Y, DOT), (f, proj), allow_unused=True)
        assert of_f is None
        assert of_proj.abs().min() > 0


class TestEquation15:
    def test_double_loop(self, draw: torch.Generator) -> None:
        f, proj = normal(draw, 6, 4), normal(draw, 4, 4)
        expected = sum(slow.cosine(v, [sum(v[k] * float(proj[k, d]) for k in range(4)) for d in range(4)]) for v in slow.rows(f)) / len(f)
        assert eq.eq15_disentangle(f, proj).item() == pytest.approx(expected, rel=1e-5)

    def test_by_hand(self) -> None:
        quarter_turn, half_turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), -torch.eye(2)
        f = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
        assert eq.eq15_disentangle(f, quarter_turn).item() == pytest.approx(0.0, abs=1e-7)
        assert eq.eq15_disentangle(f, half_turn).item() == pytest.approx(-1.0)

    def test_is_one_and_flat_when_proj_is_the_identity(self, draw: torch.Generator) -> None:
        f = normal(draw, 6, 4).float().requires_grad_()
        loss = eq.eq15_disentangle(f, torch.eye(4))
        (gradient,) = torch.autograd.grad(loss, f)
        assert loss.item() == pytest.approx(1.0, rel=1e-6)
        assert gradient.abs().max() < 1e-6

    def test_trains_the_encoder_alone(self, draw: torch.Generator) -> None:
        f, proj = normal(draw, 6, 4).float().requires_grad_(), normal(draw, 4, 4).float().requires_grad_()
        of_f, of_proj = torch.autograd.grad(eq.eq15_disentangle(f, proj), (f, proj), allow_unused=True)
        assert of_proj is None
        assert of_f.abs().max() > 0

    @pytest.mark.parametrize(("sign", "apart"), [(1, True), (-1, False)])
    def test_sign(self, draw: torch.Generator, sign: int, apart: bool) -> None:
        """+1 moves f away from its clothes part, as the text says; -1, as printed, moves it there."""
        f, proj = normal(draw, 6, 4).float().requires_grad_(), normal(draw, 4, 4).float()
        (gradient,) = torch.autograd.grad(eq.eq15_disentangle(f, proj, sign), f)
        before, after = (torch.cosine_similarity(v, v @ proj).mean() for v in (f, f - 0.1 * gradient))
        assert bool(after < before) == apart


def test_equation_17_weights() -> None:
    assert eq.eq17_weights() == {"con": 0.1, "dis": 1.0}
    assert eq.eq17_weights(0.5, 2.0) == {"con": 0.5, "dis": 2.0}


@pytest.mark.parametrize(
    "loss",
    [
        lambda f, f_s, proj, T: eq.eq10_centre_consistency(f, f_s, Y),
        lambda f, f_s, proj, T: eq.eq14_examine(f, proj, T, Y, DOT),
        lambda f, f_s, proj, T: eq.eq15_disentangle(f, proj),
    ],
    ids=["eq10", "eq14", "eq15"],
)
def test_losses_keep_float32_under_autocast(draw: torch.Generator, loss: Callable[..., Tensor]) -> None:
    """Centres nearly coincide and Proj is nearly the identity: in half precision the differences that count would be rounded away."""
    f = normal(draw, 6, 4).float()
    inputs = f, f + 0.01 * normal(draw, 6, 4).float(), torch.eye(4) + 0.02 * normal(draw, 4, 4).float(), normal(draw, 3, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        within = loss(*inputs)
    assert within.dtype == torch.float32
    assert within.item() == loss(*inputs).item()
