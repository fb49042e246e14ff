"""Rollout, gradient-weighted attention and class-activation maps as formulas: against loops typed from the papers, and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.formulas.attention_maps import grad_cam, gradient_relevance, hires_cam, rollout


def attention(layers: int, tokens: int, seed: int, heads: int = 3, pictures: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(pictures, heads, tokens, tokens, generator=generator).softmax(-1) for _ in range(layers)]


@given(layers=st.integers(1, 4), tokens=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_rows_of_a_rollout_sum_to_one(layers: int, tokens: int, seed: int) -> None:
    result = rollout(attention(layers, tokens, seed))
    assert (result >= 0).all()
    torch.testing.assert_close(result.sum(-1), torch.ones(2, tokens))


def test_a_rollout_of_identities_is_the_identity() -> None:
    same = torch.eye(5).expand(2, 3, 5, 5)
    torch.testing.assert_close(rollout([same] * 4), torch.eye(5).expand(2, 5, 5))


def test_rollout_is_the_product_of_the_paper() -> None:
    maps = attention(3, 4, seed=1)
    for picture in range(2):
        expected = torch.eye(4)
        for layer in maps:  # A_tilde(l_i) = A(l_i) A_tilde(l_{i-1}), with A = 0.5 W + 0.5 I
            mixed = torch.zeros(4, 4)
            for i in range(4):
                for j in range(4):
                    mixed[i, j] = 0.5 * sum(float(layer[picture, h, i, j]) for h in range(3)) / 3 + (0.5 if i == j else 0)
            expected = mixed @ expected
        torch.testing.assert_close(rollout(maps)[picture], expected)


def test_the_share_of_the_residual_connection() -> None:
    maps = attention(1, 4, seed=1)
    torch.testing.assert_close(rollout(maps, residual=0.2), 0.2 * torch.eye(4).expand(2, 4, 4) + 0.8 * maps[0].mean(1))
    torch.testing.assert_close(rollout(maps * 3, residual=1.0), torch.eye(4).expand(2, 4, 4))


def test_relevance_is_the_sum_of_the_paper() -> None:
    maps, gradients = attention(3, 4, seed=2), [a - 0.3 for a in attention(3, 4, seed=3)]
    for picture in range(2):
        relevance = torch.eye(4)
        for a, g in zip(maps, gradients, strict=True):
            weighted = torch.zeros(4, 4)
            for i in range(4):
                for j in range(4):
                    weighted[i, j] = sum(max(0.0, float(g[picture, h, i, j] * a[picture, h, i, j])) for h in range(3)) / 3
            relevance = relevance + weighted @ relevance  # eq. (6)
        torch.testing.assert_close(gradient_relevance(maps, gradients)[picture], relevance)


@pytest.mark.parametrize("used", [1, 2])
def test_the_last_layer_may_have_its_first_rows_alone(used: int) -> None:
    maps, gradients = attention(3, 5, seed=4), attention(3, 5, seed=5)
    few = [*maps[:-1], maps[-1][:, :, :used]]
    torch.testing.assert_close(rollout(few), rollout(maps)[:, :used])
    torch.testing.assert_close(
        gradient_relevance(few, [*gradients[:-1], gradients[-1][:, :, :used]]), gradient_relevance(maps, gradients)[:, :used]
    )


def test_class_activation_maps_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # two channels of 1 x 2 cells
    gradients = torch.tensor([[[[1.0, 0.0]], [[-1.0, 1.0]]]])  # means 0.5 and 0
    torch.testing.assert_close(grad_cam(maps, gradients), torch.tensor([[[0.5, 1.0]]]))
    torch.testing.assert_close(hires_cam(maps, gradients), torch.tensor([[[0.0, 0.0]]]))  # 1 - 3 is cut off, 0 + 0
    gradients = torch.tensor([[[[2.0, 1.0]], [[1.0, 5.0]]]])
    torch.testing.assert_close(hires_cam(maps, gradients), torch.tensor([[[5.0, 2.0]]]))


def test_both_maps_agree_behind_a_mean_pool_and_differ_behind_a_maximum() -> None:
    torch.manual_seed(0)
    maps, weights = torch.rand(2, 4, 3, 3, requires_grad=True), torch.randn(4)
    (gradient,) = torch.autograd.grad((maps.mean((2, 3)) @ weights).sum(), maps)
    torch.testing.assert_close(grad_cam(maps, gradient), hires_cam(maps, gradient))
    # of a linear network it is known: each place's own part of the score, w . a / 9
    torch.testing.assert_close(hires_cam(maps, gradient), torch.einsum("bchw,c->bhw", maps, weights).relu() / 9)
    (gradient,) = torch.autograd.grad((maps.amax((2, 3)) @ weights.abs()).sum(), maps)
    assert int((hires_cam(maps, gradient)[0] > 0).sum()) <= 4 < int((grad_cam(maps, gradient)[0] > 0).sum())
