"""Losses: hand-computed values, slow transcriptions of the formulas, gradients, and what happens at the edges."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidclip.formulas.contrastive import similarity, supervised_contrastive
from reidclip.formulas.distances import closeness, cosine_similarities, euclidean_distances
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth, hardest_distances
from reidclip.formulas.masks import shield

RNG = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


class TestCrossEntropy:
    def test_by_hand(self) -> None:
        # Two classes, probabilities 3/4 and 1/4; epsilon 0.2 -> targets 0.9 and 0.1.
        logits = torch.tensor([[math.log(3.0), 0.0]])
        expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
        assert cross_entropy_label_smooth(logits, torch.tensor([0]), 0.2).item() == pytest.approx(expected, rel=1e-6)

    def test_against_the_formula(self) -> None:
        logits, targets = normal(7, 5), torch.tensor([0, 1, 2, 3, 4, 0, 1])
        expected = 0.0
        for row, target in zip(torch.log_softmax(logits, 1), targets, strict=True):
            for k in range(5):
                expected -= (0.9 * (k == int(target)) + 0.1 / 5) * float(row[k]) / 7
        assert cross_entropy_label_smooth(logits, targets).item() == pytest.approx(expected, rel=1e-12)


def slow_triplet(features: torch.Tensor, labels: list[int], margin: float | None) -> float:
    total = 0.0
    for i, a in enumerate(features):
        positive = max(max(float((a - b).norm()), 1e-6) for j, b in enumerate(features) if labels[j] == labels[i])
        negative = min(max(float((a - b).norm()), 1e-6) for j, b in enumerate(features) if labels[j] != labels[i])
        total += math.log1p(math.exp(positive - negative)) if margin is None else max(0.0, positive - negative + margin)
    return total / len(features)


class TestTriplet:
    def test_by_hand(self) -> None:
        # On a line: identity 0 at 0 and 1, identity 1 at 3 and 3.5. (d_ap, d_an) = (1, 3), (1, 2), (0.5, 2), (0.5, 2.5).
        features, labels = torch.tensor([[0.0], [1.0], [3.0], [3.5]]), torch.tensor([0, 0, 1, 1])
        assert batch_hard_triplet(features, labels, margin=1.5).item() == pytest.approx(0.5 / 4, abs=1e-6)

    @pytest.mark.parametrize(
        "labels", [[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 5, 6], [0, 1, 0, 1, 0, 1, 0, 1]]
    )
    @pytest.mark.parametrize("margin", [0.3, None])
    def test_any_counts_of_identities(self, labels: list[int], margin: float | None) -> None:
        features = normal(8, 6)
        got = batch_hard_triplet(features, torch.tensor(labels), margin).item()
        assert got == pytest.approx(slow_triplet(features, labels, margin), rel=1e-9)

    def test_normalised_features_ignore_length(self) -> None:
        features, labels = normal(8, 6), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
        stretched = features * torch.arange(1, 9)[:, None]
        assert batch_hard_triplet(stretched, labels, normalise=True).item() == pytest.approx(
            slow_triplet(F.normalize(features), labels.tolist(), 0.3), rel=1e-9
        )

    def test_gradient(self) -> None:
        features, labels = normal(6, 4).requires_grad_(), torch.tensor([0, 0, 0, 1, 1, 2])
        assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, labels, margin=None), features)

    @pytest.mark.parametrize("margin", [0.3, None])
    def test_one_identity_teaches_nothing(self, margin: float | None) -> None:
        features = normal(4, 3).requires_grad_()
        loss = batch_hard_triplet(features, torch.zeros(4, dtype=torch.int64), margin)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(features.grad, torch.zeros_like(features))

    def test_equal_features_have_a_finite_gradient(self) -> None:
        features = torch.ones(4, 3, requires_grad=True)
        batch_hard_triplet(features, torch.tensor([0, 0, 1, 1])).backward()
        assert torch.isfinite(features.grad).all()

    def test_far_from_the_origin(self) -> None:
        # Without centring, float32 would lose these distances in the cancellation of squared norms of 1e6.
        offset, near = torch.full((4, 8), 300.0), normal(4, 8).float() * 0.1
        exact = torch.cdist(near.double(), near.double())
        torch.testing.assert_close(euclidean_distances(offset + near, offset + near).double(), exact, atol=1e-3, rtol=1e-3)


class TestContrastive:
    def test_by_hand(self) -> None:
        # Similarities log 1, log 2, log 5 of one row; columns 1 and 2 are its positives.
        rows, columns = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(2.0)], [math.log(5.0)]])
        loss = supervised_contrastive(rows, columns, torch.tensor([4]), torch.tensor([9, 4, 4]))
        assert loss.item() == pytest.approx(-(math.log(2 / 8) + math.log(5 / 8)) / 2, rel=1e-6)

    @pytest.mark.parametrize(("kind", "scale"), [("dot", 1.0), ("cosine", 14.0)])
    def test_against_the_formula(self, kind: str, scale: float) -> None:
        rows, columns = normal(5, 4), normal(6, 4)
        row_labels, column_labels = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 2, 2, 1])
        expected = 0.0
        for r, y in zip(rows, row_labels, strict=True):
            s = [scale * float(r @ c / (r.norm() * c.norm() if kind == "cosine" else 1)) for c in columns]
            log_sum = math.log(sum(math.exp(v) for v in s))
            terms = [v - log_sum for v, z in zip(s, column_labels, strict=True) if z == y]
            expected -= sum(terms) / len(terms) / len(rows)
        got = supervised_contrastive(rows, columns, row_labels, column_labels, scale, kind)
        assert got.item() == pytest.approx(expected, rel=1e-9)

    def test_rows_without_positive_are_left_out(self) -> None:
        rows, columns = normal(3, 4), normal(2, 4)
        labels = torch.tensor([0, 1])
        with_stranger = supervised_contrastive(rows, columns, torch.tensor([0, 1, 7]), labels)
        assert with_stranger.item() == pytest.approx(supervised_contrastive(rows[:2], columns, labels, labels).item(), rel=1e-12)
        assert supervised_contrastive(rows, columns, torch.tensor([5, 6, 7]), labels).item() == 0

    def test_large_similarities_stay_finite(self) -> None:
        rows = (1e3 * normal(4, 4)).float()
        labels = torch.arange(4)
        assert torch.isfinite(supervised_contrastive(rows, rows, labels, labels))

    def test_unknown_similarity(self) -> None:
        with pytest.raises(ValueError, match=r"'cosine', 'dot'.*'dott'"):
            similarity(normal(2, 3), normal(2, 3), "dott")  # type: ignore[arg-type]


def test_half_precision_features_are_compared_in_float32() -> None:
    features = (10 + normal(4, 16)).bfloat16()
    labels = torch.tensor([0, 0, 1, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [
            batch_hard_triplet(features, labels),
            supervised_contrastive(features, features, labels, labels),
            similarity(features, features, "cosine").sum(),
        ]
    full = features.float()
    expected = [
        batch_hard_triplet(full, labels),
        supervised_contrastive(full, full, labels, labels),
        similarity(full, full, "cosine").sum(),
    ]
    assert [loss.dtype for loss in losses] == [torch.float32] * 3
    torch.testing.assert_close(losses, expected)


def test_hardest_negative_of_a_lonely_identity_is_infinite() -> None:
    positive, negative = hardest_distances(torch.tensor([[0.0], [2.0]]), torch.tensor([1, 1]))
    assert positive.tolist() == [2.0, 2.0]
    assert negative.tolist() == [math.inf, math.inf]


def test_closeness_orders_neighbours_alike() -> None:
    x, y = F.normalize(normal(3, 5)), F.normalize(normal(9, 5))
    by_similarity = closeness(cosine_similarities(x, y), "similarity").argsort(dim=1)
    by_distance = closeness(euclidean_distances(x, y), "distance").argsort(dim=1)
    assert torch.equal(by_similarity, by_distance)


class TestShield:
    def test_uint8_pixels_are_copied(self) -> None:
        image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
        keep = torch.tensor([[True, False], [False, True]])
        white = torch.tensor([[[0, 255], [255, 3]], [[4, 255], [255, 7]], [[8, 255], [255, 11]]], dtype=torch.uint8)
        assert torch.equal(shield(image, keep), white)
        assert shield(image, ~keep, (1, 2, 3))[:, 0, 0].tolist() == [1, 2, 3]

    @pytest.mark.parametrize("shape", [(2, 4, 5), (2, 1, 4, 5)])
    def test_batches(self, shape: tuple[int, ...]) -> None:
        images, keep = normal(2, 3, 4, 5), normal(*shape) > 0
        mask = keep.reshape(2, 1, 4, 5).double()
        assert torch.equal(shield(images, keep, 0.5), mask * images + (1 - mask) * 0.5)

    @pytest.mark.parametrize(("mask", "colour", "message"), [((4, 4), 0.0, "height and width"), ((4, 5), (1.0, 2.0), "1 or 3 values")])
    def test_what_does_not_fit(self, mask: tuple[int, int], colour: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            shield(normal(3, 4, 5), torch.ones(mask), colour)  # type: ignore[arg-type]
