"""SCI's equations against slow transcriptions, values by hand, properties, and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.clip.context_block import NonLocalBlock
from reidclip.train.model_inputs import SimilarityRule
from reidclip_sci import equations as eq
from tests.plugins import slow_formulas as slow

DOT = SimilarityRule("dot", 1.0)
LABELS = [0, 2, 0, 1, 2, 2]
Y = torch.tensor(LABELS)
CLOTHES = [0, 4, 1, 2, 3, 4]  # outfits 0, 1 of identity 0, 2 of 1, 3 and 4 of 2
OWNERS = [0, 0, 1, 2, 2]

seeds = st.integers(0, 10_000)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestPlainPrompts:
    """Eq. (1), (3) and (4)."""

    def test_similarity(self) -> None:
        V, T = normal(0, 4, 3), normal(1, 2, 3)
        got, cosines = eq.eq01_similarity(V, T, DOT), eq.eq01_similarity(V, T, SimilarityRule("cosine", 7.0))
        for i, v in enumerate(slow.rows(V)):
            for k, t in enumerate(slow.rows(T)):
                assert float(got[i, k]) == pytest.approx(slow.dot(v, t), rel=1e-12)
                assert float(cosines[i, k]) == pytest.approx(7 * slow.cosine(v, t), rel=1e-9)

    @pytest.mark.parametrize("function", [eq.eq03_image_to_text, eq.eq10_image_to_orthogonal_text])
    def test_image_to_text(self, function: Callable[..., Tensor]) -> None:
        V, T = normal(0, 6, 5), normal(1, 6, 5)
        assert function(V, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(V), slow.rows(T), LABELS), rel=1e-12)

    @pytest.mark.parametrize("function", [eq.eq04_text_to_image, eq.eq11_orthogonal_text_to_image])
    def test_text_to_image(self, function: Callable[..., Tensor]) -> None:
        V, T = normal(0, 6, 5), normal(1, 6, 5)
        assert function(V, T, Y, DOT).item() == pytest.approx(slow.contrastive(slow.rows(T), slow.rows(V), LABELS), rel=1e-12)

    def test_the_rule_counts(self) -> None:
        """Cosines times 7: the dot products of unit rows, those of one side 7 long."""
        V, T, rule = normal(0, 6, 5), normal(1, 6, 5), SimilarityRule("cosine", 7.0)
        v, t = slow.rows(7 * V / V.norm(dim=1, keepdim=True)), slow.rows(T / T.norm(dim=1, keepdim=True))
        for i2t, t2i in (
            (eq.eq03_image_to_text, eq.eq04_text_to_image),
            (eq.eq10_image_to_orthogonal_text, eq.eq11_orthogonal_text_to_image),
        ):
            assert i2t(V, T, Y, rule).item() == pytest.approx(slow.contrastive(v, t, LABELS), rel=1e-9)
            assert t2i(V, T, Y, rule).item() == pytest.approx(slow.contrastive(t, v, LABELS), rel=1e-9)

    def test_by_hand(self) -> None:
        # s(V_0, t) = (log 3, 0), s(V_1, t) = (0, 0): -log 3/4 and -log 1/2.
        V, t, y = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), torch.eye(2), torch.tensor([0, 1])
        assert eq.eq03_image_to_text(V, t, y, DOT).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)


class TestOrthogonalText:
    """Eq. (5) and (6)."""

    def test_double_loop(self) -> None:
        t_id, t_c = normal(0, 6, 4), normal(1, 6, 4)
        part, rest = eq.eq05_clothes_part(t_id, t_c), eq.eq06_orthogonal_text(t_id, t_c)
        for i, (a, b) in enumerate(zip(slow.rows(t_id), slow.rows(t_c), strict=True)):
            share = slow.dot(a, b) / slow.length(b) ** 2
            for d in range(4):
                assert float(part[i, d]) == pytest.approx(share * b[d], rel=1e-12)
                assert float(rest[i, d]) == pytest.approx(a[d] - share * b[d], rel=1e-10)

    def test_by_hand(self) -> None:
        # (3, 4) on (2, 0): proj = (6 / 4) (2, 0) = (3, 0), what is left (0, 4).
        t_id, t_c = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]])
        assert eq.eq05_clothes_part(t_id, t_c).tolist() == [[3.0, 0.0]]
        assert eq.eq06_orthogonal_text(t_id, t_c).tolist() == [[0.0, 4.0]]

    @settings(deadline=None, max_examples=50)
    @given(seeds, st.integers(1, 5), st.integers(2, 9), st.floats(-3, 3).filter(lambda v: abs(v) > 1e-3))
    def test_orthogonal_idempotent_and_blind_to_the_length_of_t_c(self, seed: int, rows: int, width: int, factor: float) -> None:
        t_id, t_c = normal(seed, rows, width), normal(seed + 1, rows, width)
        t_orth = eq.eq06_orthogonal_text(t_id, t_c)
        assert (t_orth * t_c).sum(1).abs().max() < 1e-9
        torch.testing.assert_close(eq.eq06_orthogonal_text(t_orth, t_c), t_orth)  # nothing is left to take away
        part = eq.eq05_clothes_part(t_id, t_c)
        torch.testing.assert_close(eq.eq05_clothes_part(part, t_c), part)  # projected once is projected
        torch.testing.assert_close(part + t_orth, t_id)
        torch.testing.assert_close(eq.eq06_orthogonal_text(t_id, factor * t_c), t_orth)
        assert bool((t_orth.norm(dim=1) <= t_id.norm(dim=1) + 1e-12).all())

    def test_a_clothes_text_of_length_zero_takes_nothing(self) -> None:
        t_id = normal(0, 2, 3)
        assert torch.equal(eq.eq06_orthogonal_text(t_id, torch.zeros_like(t_id)), t_id)

    def test_float32_under_autocast(self) -> None:
        t_id, t_c = normal(0, 4, 64).float(), normal(1, 4, 64).float()
        with torch.autocast("cpu", torch.bfloat16):
            within = eq.eq06_orthogonal_text(t_id, t_c)
        assert torch.equal(within, eq.eq06_orthogonal_text(t_id, t_c))
        assert (within * t_c).sum(1).abs().max() < 1e-4


class TestSeparation:
    """Eq. (7)-(9) and (12)."""

    @pytest.mark.parametrize("function", [eq.eq07_identity_similarity, eq.eq08_clothes_similarity])
    def test_double_loop(self, function: Callable[..., Tensor]) -> None:
        V, t = normal(0, 6, 4), normal(1, 6, 4)
        expected = sum(slow.cosine(v, u) for v, u in zip(slow.rows(V), slow.rows(t), strict=True)) / 6
        assert function(V, t).item() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        ("s_id", "s_c", "alpha", "beta", "expected"),
        [(1.0, 0.0, 1.0, 1.0, 0.0), (0.25, 0.5, 1.0, 1.0, 1.25), (0.25, 0.5, 2.0, 4.0, 3.5), (0.25, -0.5, 2.0, 4.0, 1.5), (-1, 1, 1, 1, 3)],
    )
    def test_by_hand(self, s_id: float, s_c: float, alpha: float, beta: float, expected: float) -> None:
        assert eq.eq09_separation(torch.tensor(s_id), torch.tensor(s_c), alpha, beta).item() == pytest.approx(expected)

    @settings(deadline=None, max_examples=50)
    @given(seeds, st.floats(0, 5), st.floats(0, 5))
    def test_bounded(self, seed: int, alpha: float, beta: float) -> None:
        V, t_id, t_c = normal(seed, 4, 3), normal(seed + 1, 4, 3), normal(seed + 2, 4, 3)
        loss = eq.eq09_separation(eq.eq07_identity_similarity(V, t_id), eq.eq08_clothes_similarity(V, t_c), alpha, beta).item()
        assert -1e-9 <= loss <= 2 * alpha + beta + 1e-9

    def test_a_step_brings_identity_texts_nearer_and_clothes_texts_farther(self) -> None:
        V, t_id = normal(0, 6, 4), normal(1, 6, 4).requires_grad_()
        t_c = (V + normal(2, 6, 4)).requires_grad_()  # S_c above its floor

        def parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return eq.eq07_identity_similarity(V, eq.eq06_orthogonal_text(a, b)), eq.eq08_clothes_similarity(V, b)

        s_id, s_c = parts(t_id, t_c)
        of_id, _ = torch.autograd.grad(eq.eq09_separation(s_id, s_c, 1.0, 0.0), (t_id, t_c), retain_graph=True)
        (of_c,) = torch.autograd.grad(eq.eq09_separation(s_id, s_c, 0.0, 1.0), (t_c,))
        assert parts(t_id - 0.1 * of_id, t_c)[0] > s_id
        assert parts(t_id, t_c - 0.1 * of_c)[1] < s_c

    def test_stage_1_is_the_sum_of_three(self) -> None:
        parts = eq.eq12_stage1(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0))
        assert list(parts) == ["i2t", "t2i", "sse"] and float(sum(parts.values())) == 7


class TestNonLocal:
    """Eq. (13) and (14); a slow transcription of (13) alone is in tests/core/test_context_block.py."""

    def test_the_encoders_block_is_the_two_equations(self) -> None:
        torch.manual_seed(0)
        block = NonLocalBlock(6).double()
        for values in (block.norm.weight, block.norm.bias, block.norm.running_mean):
            torch.nn.init.normal_(values)  # type: ignore[arg-type]
        block.eval()
        x = normal(0, 2, 5, 6)
        theta, phi, g = (slow_linear(x, layer) for layer in (block.theta, block.phi, block.g))
        y = eq.eq13_context(theta, phi, g)
        for b in range(2):
            for i in range(5):
                for d in range(3):
                    total = sum(slow.dot(slow.rows(theta[b])[i], slow.rows(phi[b])[j]) * float(g[b, j, d]) for j in range(5))
                    assert float(y[b, i, d]) == pytest.approx(total / 5, rel=1e-10)
        z = eq.eq14_residual(x, y, *folded(block))
        torch.testing.assert_close(block(x), z)

    def test_without_w_z_it_is_the_identity(self) -> None:
        x = normal(0, 2, 5, 6)
        assert torch.equal(eq.eq14_residual(x, normal(1, 2, 5, 3), torch.zeros(6, 3, dtype=torch.float64)), x)


def folded(block: NonLocalBlock) -> tuple[Tensor, Tensor]:
    """W_z and its bias with the block's norm in them, as it stands after training; number by number."""
    norm = block.norm
    rows, bias = [], []
    columns = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for row, scale, shift, mean, variance in zip(*(column.tolist() for column in (block.w_z.weight, *columns)), strict=True):  # type: ignore[union-attr]
        factor = scale / math.sqrt(variance + norm.eps)
        rows.append([factor * w for w in row])
        bias.append(shift - factor * mean)
    return torch.tensor(rows, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64)


def slow_linear(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    """x W^T + b, number by number."""
    weight, bias = slow.rows(layer.weight.detach()), layer.bias.tolist()
    values = [[[slow.dot(place, w) + b for w, b in zip(weight, bias, strict=True)] for place in slow.rows(picture)] for picture in x]
    return torch.tensor(values, dtype=x.dtype)


class TestCrossAttention:
    """Eq. (15)-(17)."""

    def test_double_loop(self) -> None:
        t, z, W_q, W_k, W_v = normal(0, 2, 4), normal(1, 2, 3, 5), normal(2, 4, 4), normal(3, 5, 4), normal(4, 5, 4)
        Q, K, V = eq.eq15_queries_keys_values(t, z, W_q, W_k, W_v)
        a = eq.eq16_attention(Q, K, V)
        for b in range(2):
            q = [sum(float(t[b, i] * W_q[i, d]) for i in range(4)) for d in range(4)]
            k, v = ([[sum(float(z[b, n, i] * W[i, d]) for i in range(5)) for d in range(4)] for n in range(3)] for W in (W_k, W_v))
            weights = [math.exp(s) for s in slow.log_softmax([slow.dot(q, row) / math.sqrt(4) for row in k])]
            for d in range(4):
                assert float(a[b, d]) == pytest.approx(sum(w * row[d] for w, row in zip(weights, v, strict=True)), rel=1e-9)

    def test_by_hand(self) -> None:
        # d = 1: weights 3/4 and 1/4 of the values 8 and 4.
        a = eq.eq16_attention(torch.tensor([[1.0]]), torch.tensor([[[math.log(3.0)], [0.0]]]), torch.tensor([[[8.0], [4.0]]]))
        assert a.item() == pytest.approx(7.0, rel=1e-6)
        assert eq.eq17_guided_feature(torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, 20.0]]), torch.tensor(0.5)).tolist() == [[6.0, 12.0]]

    @settings(deadline=None, max_examples=30)
    @given(seeds, st.integers(1, 6))
    def test_lies_between_the_values_whatever_the_text(self, seed: int, places: int) -> None:
        """What a text finds is the picture's: its own numbers cannot get through."""
        Q, K, V = 10 * normal(seed, 3, 4), normal(seed + 1, 3, places, 4), normal(seed + 2, 3, places, 4)
        a = eq.eq16_attention(Q, K, V)
        assert bool((a <= V.amax(1) + 1e-9).all()) and bool((a >= V.amin(1) - 1e-9).all())
        order = torch.randperm(places, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(eq.eq16_attention(Q, K[:, order], V[:, order]), a)


class TestStage2:
    """Eq. (18)-(21)."""

    def test_identity(self) -> None:
        logits = normal(0, 6, 3)
        assert eq.eq18_identity(logits, Y, 0.2).item() == pytest.approx(
            slow.smoothed_cross_entropy(slow.rows(logits), LABELS, 0.2), rel=1e-9
        )

    @pytest.mark.parametrize(("scale", "epsilon"), [(16.0, 0.1), (3.0, 0.4)])
    def test_clothes_adversarial(self, scale: float, epsilon: float) -> None:
        cosines = torch.tanh(normal(0, 6, 5))
        total = 0.0
        for i, (y, c) in enumerate(zip(LABELS, CLOTHES, strict=True)):
            mine = [k for k in range(5) if OWNERS[k] == y]
            others = sum(math.exp(scale * float(cosines[i, k])) for k in range(5) if k not in mine)
            for k in mine:
                own = math.exp(scale * float(cosines[i, k]))
                total -= ((1 - epsilon) * (k == c) + epsilon / len(mine)) * math.log(own / (own + others))
        positives = torch.tensor(OWNERS)[None, :] == Y[:, None]
        found = eq.eq19_clothes_adversarial(cosines, torch.tensor(CLOTHES), positives, scale, epsilon)
        assert found.item() == pytest.approx(total / 6, rel=1e-9)

    def test_clothes_adversarial_by_hand(self) -> None:
        # One outfit against one of another person, equal cosines: log 2.
        loss = eq.eq19_clothes_adversarial(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[True, False]]))
        assert loss.item() == pytest.approx(math.log(2), rel=1e-6)

    def test_image_to_text_cross_entropy(self) -> None:
        v, T = normal(0, 6, 5), normal(1, 3, 5)
        logits = [[slow.dot(a, t) for t in slow.rows(T)] for a in slow.rows(v)]
        for smoothing in (0.1, 0.3):
            expected = slow.smoothed_cross_entropy(logits, LABELS, smoothing)
            assert eq.eq20_image_to_text_cross_entropy(v, T, Y, DOT, smoothing).item() == pytest.approx(expected, rel=1e-9)

    def test_weights(self) -> None:
        assert eq.eq21_weights() == {"id": 1.0, "cal": 1.0, "i2tce": 1.0, "triplet": 0.0}
        assert eq.eq21_weights(2.0, 3.0, 4.0, 5.0) == {"id": 2.0, "cal": 3.0, "i2tce": 4.0, "triplet": 5.0}

    def test_identity_texts_are_means_over_outfits(self) -> None:
        t_orth = torch.tensor([[2.0, 0.0], [4.0, 2.0], [1.0, 1.0], [0.0, 6.0], [2.0, 0.0]])
        assert eq.identity_texts(t_orth, torch.tensor(OWNERS), 3).tolist() == [[3.0, 1.0], [1.0, 1.0], [1.0, 3.0]]


V0, TEXT, OUTFIT = normal(7, 3, 4), normal(8, 3, 4), normal(9, 3, 4)
GRADIENTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "eq05": (eq.eq05_clothes_part, (TEXT, OUTFIT)),
    "eq06": (eq.eq06_orthogonal_text, (TEXT, OUTFIT)),
    "eq07": (eq.eq07_identity_similarity, (V0, TEXT)),
    "eq09": (lambda a, b: eq.eq09_separation(a.sum(), b.abs().sum(), 0.7, 1.3), (TEXT, OUTFIT)),
    "eq10": (lambda V, t: eq.eq10_image_to_orthogonal_text(V, t, Y[:3], DOT), (V0, TEXT)),
    "eq11": (lambda V, t: eq.eq11_orthogonal_text_to_image(V, t, Y[:3], DOT), (V0, TEXT)),
    "eq13": (eq.eq13_context, (normal(1, 2, 3, 2), normal(2, 2, 3, 2), normal(3, 2, 3, 2))),
    "eq14": (eq.eq14_residual, (normal(1, 2, 3, 4), normal(2, 2, 3, 2), normal(3, 4, 2))),
    "eq15+16": (
        lambda *given: eq.eq16_attention(*eq.eq15_queries_keys_values(*given)),
        (normal(1, 2, 3), normal(2, 2, 3, 4), normal(3, 3, 3), normal(4, 4, 3), normal(5, 4, 3)),
    ),
    "eq17": (eq.eq17_guided_feature, (V0, TEXT, torch.tensor(0.3, dtype=torch.float64))),
    "eq20": (lambda v, T: eq.eq20_image_to_text_cross_entropy(v, T, Y[:3], DOT), (V0, TEXT)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    function, inputs = GRADIENTS[name]
    assert torch.autograd.gradcheck(function, tuple(t.clone().requires_grad_() for t in inputs))
