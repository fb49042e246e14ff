"""The distillation losses against slow loops typed from the papers, values by hand, and what they may not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from reidclip_rkd import equations as eq

RIGHT_TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])  # sides 3, 4, 5
seeds = st.integers(0, 300)


def drawn(seed: int, rows: int = 5, width: int = 3) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(seed: int, width: int) -> Tensor:
    q, r = torch.linalg.qr(drawn(seed, width, width))
    return q * torch.sign(torch.diagonal(r))


# ---------------------------------------------------------------------------------------------------------------- slow loops
def huber(x: float, y: float) -> float:
    return (x - y) ** 2 / 2 if abs(x - y) <= 1 else abs(x - y) - 0.5


def slow_distances(x: np.ndarray) -> dict[tuple[int, int], float]:
    pairs = {(i, j): math.dist(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j}
    mu = sum(pairs.values()) / len(pairs)
    return {pair: d / mu for pair, d in pairs.items()}


def slow_angles(x: np.ndarray) -> dict[tuple[int, int, int], float]:
    found = {}
    for j in range(len(x)):
        for i in range(len(x)):
            for k in range(len(x)):
                if len({i, j, k}) == 3:
                    a, b = x[i] - x[j], x[k] - x[j]
                    found[j, i, k] = float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))
    return found


def slow_similarity(s: np.ndarray, t: np.ndarray, temperature: float) -> float:
    total = 0.0
    for i in range(len(s)):
        rows = []
        for x in (t, s):
            cosines = [float(x[i] @ x[j]) / math.sqrt(float(x[i] @ x[i]) * float(x[j] @ x[j])) for j in range(len(x)) if j != i]
            weights = [math.exp(c / temperature) for c in cosines]
            rows.append([w / sum(weights) for w in weights])
        total += sum(p * math.log(p / q) for p, q in zip(*rows, strict=True))
    return total / len(s)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, rows=st.integers(3, 6))
def test_losses_against_loops(seed: int, rows: int) -> None:
    s, t = drawn(seed, rows, 3), drawn(seed + 1000, rows, 7)
    a, b = s.numpy(), t.numpy()
    d_s, d_t, a_s, a_t = slow_distances(a), slow_distances(b), slow_angles(a), slow_angles(b)
    assert eq.eq04_distances(s).tolist() == pytest.approx(list(d_s.values()), rel=1e-6)
    assert eq.eq07_angles(s).tolist() == pytest.approx(list(a_s.values()), rel=1e-9, abs=1e-9)
    assert eq.eq06_distance(s, t).item() == pytest.approx(np.mean([huber(d_s[p], d_t[p]) for p in d_s]), rel=1e-6)
    assert eq.eq08_angle(s, t).item() == pytest.approx(np.mean([huber(a_s[p], a_t[p]) for p in a_s]), rel=1e-9)
    assert eq.eq09_similarity(s, t, 0.3).item() == pytest.approx(slow_similarity(a, b, 0.3), rel=1e-9)


# ------------------------------------------------------------------------------------------------------------------ by hand
def test_distances_by_hand() -> None:
    """Sides 3, 4, 5, their mean 4: 0.75, 1, 1.25; in (x_0, x_1, x_2) each pair comes twice."""
    torch.testing.assert_close(eq.eq04_distances(RIGHT_TRIANGLE), torch.tensor([0.75, 1.0, 0.75, 1.25, 1.0, 1.25]))


def test_angles_by_hand() -> None:
    """The cosines of a 3-4-5 triangle: 0 at the right angle, 3/5 at the end of the side of 3, 4/5 at the other."""
    torch.testing.assert_close(eq.eq07_angles(RIGHT_TRIANGLE), torch.tensor([0.0, 0.0, 0.6, 0.6, 0.8, 0.8]))


def test_relations_by_hand() -> None:
    """Against an equilateral triangle: every distance is 1, every cosine 1/2."""
    even = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(0.75)]])
    torch.testing.assert_close(eq.eq06_distance(RIGHT_TRIANGLE, even), torch.tensor((0.25**2 / 2) * 2 / 3))
    torch.testing.assert_close(eq.eq08_angle(RIGHT_TRIANGLE, even), torch.tensor((0.5**2 + 0.1**2 + 0.3**2) / 2 / 3))


def test_huber_by_hand() -> None:
    x, y = torch.tensor([0.0, 0.5, 1.0, 3.0, -3.0]), torch.zeros(5)
    assert eq.eq05_huber(x, y).tolist() == [0.0, 0.125, 0.5, 2.5, 2.5]


def test_feature_by_hand() -> None:
    """Parallel 0, at a right angle 1, opposite 2, whatever the lengths; for unit vectors half the squared distance."""
    s, t = torch.tensor([[2.0, 0.0], [0.0, 0.1], [1.0, 1.0]]), torch.tensor([[5.0, 0.0], [1.0, 0.0], [-2.0, -2.0]])
    assert eq.eq03_feature(s, t).item() == pytest.approx(1.0)
    a, b = F.normalize(drawn(1), dim=1), F.normalize(drawn(2), dim=1)
    assert eq.eq03_feature(a, b).item() == pytest.approx(((a - b).square().sum(1) / 2).mean().item())


def test_similarity_by_hand() -> None:
    """The teacher finds 1 as near to 0 as 2; the student, at temperature 1 / ln 3, finds 1 three times as likely as 2."""
    t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    s = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # rows 0 and 1: p = (1/2, 1/2), q = (3/4, 1/4); row 2: p = q
    one = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert eq.eq09_similarity(s, t, 1 / math.log(3)).item() == pytest.approx(2 / 3 * one, rel=1e-5)


# ----------------------------------------------------------------------------------------------------------------- properties
@settings(max_examples=25, deadline=None)
@given(seed=seeds, scale=st.floats(0.01, 100.0))
def test_relations_do_not_see_scale_rotation_or_place(seed: int, scale: float) -> None:
    s, t = drawn(seed), drawn(seed + 1000, width=7)
    moved = scale * s @ rotation(seed, 3) + 3 * drawn(seed + 2000, 1, 3)
    for loss in (eq.eq06_distance, eq.eq08_angle):
        assert loss(moved, t).item() == pytest.approx(loss(s, t).item(), rel=1e-5, abs=1e-7)
        assert loss(moved, s).item() == pytest.approx(0.0, abs=1e-7)


def test_they_do_see_what_is_no_such_motion() -> None:
    s = drawn(0)
    stretched = s * torch.tensor([3.0, 1.0, 1.0])
    assert eq.eq06_distance(stretched, s) > 1e-3 and eq.eq08_angle(stretched, s) > 1e-3


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_similarity_sees_directions_alone(seed: int) -> None:
    s, t = drawn(seed), drawn(seed + 1000)
    lengths = drawn(seed + 2000, width=1).abs() + 0.1
    assert eq.eq09_similarity(s * lengths, t).item() == pytest.approx(eq.eq09_similarity(s, t).item(), rel=1e-6)
    assert eq.eq09_similarity(lengths * t, t).item() == pytest.approx(0.0, abs=1e-9)
    assert eq.eq09_similarity(s, t) > 0


LOSSES = {"feature": eq.eq03_feature, "distance": eq.eq06_distance, "angle": eq.eq08_angle, "similarity": eq.eq09_similarity}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    s, t = drawn(3, 4, 3).requires_grad_(), drawn(4, 4, 3)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, t), (s,), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_down_the_gradient_comes_nearer_to_the_teacher(name: str) -> None:
    s, t = drawn(5, 6).requires_grad_(), drawn(6, 6)
    loss = LOSSES[name](s, t)
    (gradient,) = torch.autograd.grad(loss, s)
    assert LOSSES[name]((s - 0.01 * gradient / gradient.norm()).detach(), t) < loss


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_equal_features_and_small_batches_have_finite_gradients(name: str, rows: int) -> None:
    for s in (torch.ones(rows, 4), torch.ones(rows, 4, dtype=torch.bfloat16)):
        s.requires_grad_()
        loss = LOSSES[name](s, torch.randn(rows, 4, generator=torch.Generator().manual_seed(0)))
        (gradient,) = torch.autograd.grad(loss, s)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_two_equal_rows_among_others_have_no_direction_between_them() -> None:
    x = torch.cat([RIGHT_TRIANGLE, RIGHT_TRIANGLE[:1]]).requires_grad_()
    cosines = eq.eq07_angles(x)
    (gradient,) = torch.autograd.grad(cosines.square().sum(), x)
    assert (cosines == 0).sum() > 4 and gradient.abs().max() < 10


def test_weights() -> None:
    assert eq.eq10_weights(1, 2, 3, 4, 5, 6) == {"id": 1, "triplet": 2, "feature": 3, "distance": 4, "angle": 5, "similarity": 6}
