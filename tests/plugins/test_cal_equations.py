"""CAL's equations against slow loops typed from their definitions, values by hand and properties; both memories against slow ones."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from reidclip.records import LabelMap
from reidclip_cal import equations as eq
from reidclip_cal import losses
from reidclip_cal.memory import ClothesMemory, Update

OWNER = (0, 0, 1, 1, 1, 2)  # identity of each of six outfits
LABELS = LabelMap({p: p for p in range(3)}, {c: c for c in range(6)}, OWNER)


def drawn(seed: int, rows: int = 7, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Features, outfits and identities of a batch."""
    generator = torch.Generator().manual_seed(seed)
    clothes = torch.randint(0, len(OWNER), (rows,), generator=generator)
    return torch.randn(rows, width, generator=generator), clothes, torch.tensor(OWNER)[clothes]


def slow_adversarial(z: Tensor, c: Tensor, y: Tensor, scale: float, epsilon: float, known: set[int] | None = None) -> float:
    """Eq. (4)-(6), picture by picture; ``known``: outfits that a memory has seen."""
    known = set(range(len(OWNER))) if known is None else known
    total = 0.0
    for i in range(len(z)):
        positive = [j for j in known if OWNER[j] == y[i]]
        negative = [j for j in known if OWNER[j] != y[i]]
        rest = sum(math.exp(scale * z[i, j]) for j in negative)
        for j in positive:
            q = epsilon / len(positive) + (1 - epsilon if j == c[i] else 0.0)
            own = math.exp(scale * z[i, j])
            total -= q * math.log(own / (own + rest))
    return total / len(z)


@settings(deadline=None)
@given(seed=st.integers(0, 500), scale=st.sampled_from([1.0, 16.0]), epsilon=st.sampled_from([0.0, 0.1, 1.0]))
def test_eq_4_to_6(seed: int, scale: float, epsilon: float) -> None:
    f, c, y = drawn(seed)
    phi = torch.randn(len(OWNER), 5, generator=torch.Generator().manual_seed(seed + 1))
    z = eq.eq02_clothes_cosines(f, phi)
    positives = eq.eq04_positives(torch.tensor(OWNER), y)
    assert [[OWNER[j] == y[i] for j in range(6)] for i in range(len(y))] == positives.tolist()
    found = eq.eq06_adversarial(z, c, positives, scale, epsilon).item()
    assert found == pytest.approx(slow_adversarial(z.double(), c, y, scale, epsilon), rel=1e-4)


def test_eq_2_and_3_by_hand() -> None:
    f, phi = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0]])
    z = eq.eq02_clothes_cosines(f, phi)
    torch.testing.assert_close(z, torch.tensor([[0.0, 1.0], [0.5**0.5, 0.5**0.5]]))
    wanted = (math.log(1 + math.exp(-2.0)) + math.log(2)) / 2
    assert eq.eq03_clothes(z, torch.tensor([1, 0]), 2.0).item() == pytest.approx(wanted, rel=1e-6)


def test_eq_6_by_hand() -> None:
    """One picture, two outfits of its own, one of another person; all cosines 0: every positive against one negative is ln 2."""
    z, positives = torch.zeros(1, 3), torch.tensor([[True, True, False]])
    for epsilon in (0.0, 0.1, 1.0):
        assert eq.eq06_adversarial(z, torch.tensor([0]), positives, 16.0, epsilon).item() == pytest.approx(math.log(2), rel=1e-6)
    z = torch.tensor([[1.0, 0.0, 0.0]])  # own outfit found: softplus(-2) with weight 0.95, ln 2 with 0.05
    wanted = 0.95 * math.log(1 + math.exp(-2.0)) + 0.05 * math.log(2)
    assert eq.eq06_adversarial(z, torch.tensor([0]), positives, 2.0, 0.1).item() == pytest.approx(wanted, rel=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 200))
def test_with_one_outfit_each_l_ca_is_a_plain_cross_entropy(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, c = torch.rand(5, 4, generator=generator) * 2 - 1, torch.randint(0, 4, (5,), generator=generator)
    found = eq.eq06_adversarial(z, c, eq.eq04_positives(torch.arange(4), c), 16.0, 0.1)
    torch.testing.assert_close(found, F.cross_entropy(16.0 * z, c))
    torch.testing.assert_close(found, eq.eq03_clothes(z, c, 16.0))


def test_with_epsilon_1_the_own_outfit_counts_like_the_others() -> None:
    f, _, _ = drawn(3, rows=1)
    z = eq.eq02_clothes_cosines(f, torch.randn(6, 5, generator=torch.Generator().manual_seed(9)))
    positives = eq.eq04_positives(torch.tensor(OWNER), torch.tensor([1]))
    values = {eq.eq06_adversarial(z, torch.tensor([own]), positives, 16.0, 1.0).item() for own in (2, 3, 4)}
    assert len(values) == 1
    assert len({eq.eq06_adversarial(z, torch.tensor([own]), positives, 16.0, 0.1).item() for own in (2, 3, 4)}) == 3


def test_l_ca_pulls_to_all_outfits_of_the_identity_and_from_others() -> None:
    z = torch.zeros(1, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(eq.eq06_adversarial(z, torch.tensor([2]), torch.tensor([OWNER]) == 1, 1.0, 0.1), z)
    assert (gradient[0, [2, 3, 4]] < 0).all() and (gradient[0, [0, 1, 5]] > 0).all()
    assert gradient[0, 2] < gradient[0, 3] == gradient[0, 4]


def test_eq_1_and_7() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    p = [math.exp(v) / (math.exp(2) + 2) for v in (2, 0, 0)]
    wanted = -(0.9 * math.log(p[0]) + 0.1 / 3 * sum(math.log(v) for v in p))
    assert eq.eq01_identity(logits, torch.tensor([0]), 0.1).item() == pytest.approx(wanted, rel=1e-6)
    assert eq.eq07_weights() == {"id": 1.0, "ca": 1.0, "pair": 0.0}


# --------------------------------------------------------------------------------------------------------------- the memory bank
class SlowMemory:
    """The bank as it is told, picture by picture."""

    def __init__(self, width: int, update: Update, momentum: float) -> None:
        self.rows: dict[int, Tensor] = {}
        self.width, self.update, self.momentum = width, update, momentum

    def remember(self, features: Tensor, clothes: Tensor) -> None:
        momentum = self.momentum if len(self.rows) == len(OWNER) else 0.0
        groups: dict[int, list[Tensor]] = {}
        for f, c in zip(features, clothes.tolist(), strict=True):
            groups.setdefault(c, []).append(f)
        for c, group in groups.items():
            for f in [sum(group) / len(group)] if self.update == "mean" else group:
                self.rows[c] = momentum * self.rows.get(c, torch.zeros(self.width)) + (1 - momentum) * f


@pytest.mark.parametrize("update", ["published", "mean"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 200), momentum=st.sampled_from([0.0, 0.5, 0.9]))
def test_memory(update: Update, seed: int, momentum: float) -> None:
    memory, slow = ClothesMemory(5, LABELS, update, momentum, scale=8.0, epsilon=0.3), SlowMemory(5, update, momentum)
    for step in range(5):
        f, c, y = drawn(1000 * seed + step)
        loss = memory.forget(f, {"clothes": c, "pid": y})
        slow.remember(f, c)
        assert {i for i in range(6) if memory.labels[i] >= 0} == set(slow.rows)
        for outfit, row in slow.rows.items():
            torch.testing.assert_close(memory.features[outfit], row, rtol=1e-4, atol=1e-5)
        z = torch.zeros(len(f), 6, dtype=torch.float64)
        for outfit, row in slow.rows.items():
            z[:, outfit] = F.cosine_similarity(f.double(), row[None].double(), dim=1)
        assert loss.item() == pytest.approx(slow_adversarial(z, c, y, 8.0, 0.3, set(slow.rows)), rel=1e-3, abs=1e-5)


def test_the_two_memories_differ_where_an_outfit_comes_twice() -> None:
    f, c = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([3, 3])
    published, mean = (ClothesMemory(2, LABELS, update) for update in ("published", "mean"))
    for memory in (published, mean):
        memory.remember(f, c)
    assert published.features[3].tolist() == [0.0, 1.0] and mean.features[3].tolist() == [0.5, 0.5]


def test_a_batch_of_one_identity_has_a_finite_gradient() -> None:
    """Nothing else was seen yet, so there are no negatives at all."""
    f = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = ClothesMemory(2, LABELS).forget(f, {"clothes": torch.tensor([2, 2, 3, 4]), "pid": torch.tensor([1, 1, 1, 1])})
    (gradient,) = torch.autograd.grad(loss, f)
    assert loss.item() == pytest.approx(0.0, abs=1e-6) and torch.isfinite(gradient).all()


# ----------------------------------------------------------------------------------------------------- losses between pictures
def test_triplet_by_hand() -> None:
    """Unit vectors at 0, 90 and 180 degrees: d = 1 - cos."""
    f = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    y = torch.tensor([0, 0, 1])
    # anchors: d_ap 1, d_an 2 -> 0; d_ap 1, d_an 1 -> 0.3; d_ap 0 (itself), d_an 1 -> 0
    assert losses.cosine_triplet(f, y, margin=0.3).item() == pytest.approx(0.1, abs=1e-6)
    assert losses.cosine_triplet(f[:2], y[:2], margin=0.3).item() == 0.0  # no negatives


@pytest.mark.parametrize("name", losses.PAIR_LOSSES)
def test_pictures_without_partner_or_enemy_do_no_harm(name: str) -> None:
    for y in ([0, 0, 0], [0, 1, 2], [0, 0, 1]):
        f = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = losses.PAIR_LOSSES[name](f, torch.tensor(y), 16.0, 0.2)
        (gradient,) = torch.autograd.grad(loss, f)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["cosface", "arcface"])  # that of the circle loss moves its optimum
def test_a_margin_makes_it_harder(name: str) -> None:
    z = torch.tensor([[0.9, -0.3, 0.2], [0.1, 0.4, -1.0]])
    small, large = (losses.IDENTITY_MARGINS[name](z, torch.tensor([0, 1]), 16.0, margin) for margin in (0.05, 0.3))
    assert 0 < small < large


def test_arcface_survives_cosines_of_one() -> None:
    z = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    for y in ([0, 1], [1, 0]):
        (gradient,) = torch.autograd.grad(losses.arcface(z, torch.tensor(y), 16.0, 0.1), z)
        assert torch.isfinite(gradient).all()
