"""The clothes classifier of CAL and SCI: its two losses written out, what each of them may train, and when it is said to be of no use."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reidclip.formulas.clothes import clothes_adversarial
from reidclip.records import LabelMap
from reidclip.train.clothes_classifier import ClothesClassifier, notes_on_start

OWNER = (0, 1, 1, 0)  # identity of each of four outfits
LABELS = LabelMap({p: p for p in range(2)}, {c: c for c in range(4)}, OWNER)
BATCH = {"clothes": torch.tensor([0, 2, 1]), "pid": torch.tensor([0, 1, 1])}


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.cosine_similarity(a.detach(), b.detach(), dim=0).item()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()


@pytest.fixture
def classifier() -> ClothesClassifier:
    return ClothesClassifier(5, LABELS, seed=0, scale=3.0, epsilon=0.4).double()


def test_learning_is_a_cross_entropy_that_leaves_the_features_alone(features: Tensor, classifier: ClothesClassifier) -> None:
    loss = classifier.learn(features, BATCH)
    expected = 0.0
    for f, c in zip(features, BATCH["clothes"].tolist(), strict=True):
        e = [math.exp(3 * cosine(f, w)) for w in classifier.weight]
        expected -= math.log(e[c] / sum(e)) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    of_features, of_weight = torch.autograd.grad(loss, [features, classifier.weight], allow_unused=True)
    assert of_features is None and of_weight.abs().max() > 0


def test_forgetting_spares_the_classifier(features: Tensor, classifier: ClothesClassifier) -> None:
    loss = classifier.forget(features, BATCH)
    expected = 0.0
    for f, c, y in zip(features, BATCH["clothes"].tolist(), BATCH["pid"].tolist(), strict=True):
        e = [math.exp(3 * cosine(f, w)) for w in classifier.weight]
        others = sum(value for value, owner in zip(e, OWNER, strict=True) if owner != y)
        for k in (k for k in range(4) if OWNER[k] == y):  # two outfits each
            expected -= (0.2 + (0.6 if k == c else 0)) * math.log(e[k] / (e[k] + others)) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    of_features, of_weight = torch.autograd.grad(loss, [features, classifier.weight], allow_unused=True)
    assert of_weight is None and of_features.abs().max() > 0


def test_directions_are_the_seed_s_and_all_of_one_length() -> None:
    before = torch.get_rng_state()
    first, again, other = (ClothesClassifier(5, LABELS, seed).weight for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(4))


def test_the_own_outfit_is_a_positive_whatever_is_said() -> None:
    cosines, clothes = torch.tensor([[0.3, -0.2, 0.5]]), torch.tensor([1])
    with_own, without = (clothes_adversarial(cosines, clothes, torch.tensor([row])) for row in ([True, True, False], [True, False, False]))
    assert torch.equal(with_own, without)


@pytest.mark.parametrize(
    ("first", "epochs", "told"), [(25, 3, True), (3, 3, True), (2, 3, False), (0, 3, False), (0, 0, False), (25, 0, False)]
)
def test_what_is_said_of_a_training_that_ends_first(first: int, epochs: int, told: bool) -> None:
    notes = notes_on_start(first, epochs, "variant=none")
    assert bool(notes) == told
    assert all(f"after {first} epochs (cal_start_epoch)" in note and f"ends after {epochs}:" in note for note in notes)
    assert all("--set variant=none" in note for note in notes)
