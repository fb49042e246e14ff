"""Adam, parameter groups and schedules."""

import math

import pytest
import torch
from torch import nn

from reidclip.train.optim import build_adam, param_groups
from reidclip.train.schedule import constant, cosine, warmup_cosine, warmup_multistep


class TestGroups:
    def test_biases_train_faster(self) -> None:
        layer = nn.Linear(2, 2)
        weights, biases = param_groups(layer.named_parameters(), lr=0.1, weight_decay=0.01, bias_lr_factor=3, bias_weight_decay=0.0)
        assert [name for name, _ in weights.params] == ["weight"]
        assert (weights.lr, weights.weight_decay) == (0.1, 0.01)
        assert [name for name, _ in biases.params] == ["bias"]
        assert (biases.lr, biases.weight_decay) == (pytest.approx(0.3), 0.0)

    def test_frozen_repeated_and_empty(self) -> None:
        layer = nn.Linear(2, 2)
        layer.bias.requires_grad_(False)
        groups = param_groups([*layer.named_parameters(), ("again", layer.weight)], 0.1, 0.0)
        assert [[name for name, _ in g.params] for g in groups] == [["weight"]]

    def test_nothing_to_train(self) -> None:
        with pytest.raises(ValueError, match="at least one trainable parameter"):
            build_adam([])


def test_decay_goes_through_the_moments() -> None:
    """Two steps against Adam (Kingma and Ba, 2015, algorithm 1) on gradient + decay * weight, written out."""
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    adam = build_adam(param_groups([("w", weight)], lr=0.1, weight_decay=0.5))
    value, m, v = 2.0, 0.0, 0.0
    for step, gradient in enumerate((3.0, -1.0), start=1):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        adam.step()
        g = gradient + 0.5 * value
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        value -= 0.1 * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        assert weight.item() == pytest.approx(value, rel=1e-9)


def test_groups_keep_their_order_in_adam() -> None:
    groups = param_groups(nn.Linear(2, 2).named_parameters(), lr=0.1, weight_decay=0.0)
    assert [g["lr"] for g in build_adam(groups).param_groups] == [g.lr for g in groups]


class TestSchedules:
    def test_constant(self) -> None:
        assert [constant()(e) for e in (0, 5, 100)] == [1.0, 1.0, 1.0]

    def test_cosine(self) -> None:
        schedule = cosine(4, min_factor=0.2)
        assert [schedule(e) for e in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])

    def test_warmup_cosine_ends_at_the_minimum(self) -> None:
        schedule = warmup_cosine(base=2.0, warmup_lr=0.5, min_lr=0.1, epochs=10, warmup_epochs=3)
        assert schedule(0) == pytest.approx((0.5 + 1.5 / 3) / 2)
        assert schedule(9) == 0.1 / 2
        assert schedule(2) == pytest.approx((0.1 + 1.9 * (1 + math.cos(0.3 * math.pi)) / 2) / 2)  # already on the cosine

    def test_warmup_cosine_without_warmup(self) -> None:
        assert warmup_cosine(1.0, 0.0, 0.0, epochs=2, warmup_epochs=0)(0) == pytest.approx(0.5)

    def test_a_base_rate_of_zero_is_refused(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            warmup_cosine(0.0, 0.0, 0.0, 5)

    def test_multistep_drops_at_its_milestones(self) -> None:
        schedule = warmup_multistep((3, 5), warmup_epochs=0, first_index=0)
        assert [schedule(e) for e in range(7)] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])
