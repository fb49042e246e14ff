"""The papers' formulas as double loops over plain numbers: slow, and with nothing of the tested code in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

Row = Sequence[float]


def rows(t: Tensor) -> list[list[float]]:
    return [[float(v) for v in row] for row in t]


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def length(a: Row) -> float:
    return math.sqrt(dot(a, a))


def cosine(a: Row, b: Row) -> float:
    return dot(a, b) / (length(a) * length(b))


def log_softmax(values: Row) -> list[float]:
    highest = max(values)
    total = math.log(sum(math.exp(v - highest) for v in values)) + highest
    return [v - total for v in values]


def smoothed_cross_entropy(logits: Sequence[Row], labels: Sequence[int], epsilon: float) -> float:
    """-sum_k q_k log p_k with q_k = 1 - epsilon + epsilon/K for the true class, epsilon/K for the others; mean over images."""
    total = 0.0
    for row, y in zip(logits, labels, strict=True):
        log_p, classes = log_softmax(row), len(row)
        for k in range(classes):
            total -= ((1 - epsilon) * (k == y) + epsilon / classes) * log_p[k]
    return total / len(logits)


def contrastive(anchors: Sequence[Row], others: Sequence[Row], labels: Sequence[int]) -> float:
    """-mean_i mean_{p in P(i)} log( exp s(a_i, o_p) / sum_a exp s(a_i, o_a) ), s the dot product."""
    total = 0.0
    for i, anchor in enumerate(anchors):
        log_p = log_softmax([dot(anchor, other) for other in others])
        positives = [p for p in range(len(others)) if labels[p] == labels[i]]
        total -= sum(log_p[p] for p in positives) / len(positives)
    return total / len(anchors)


def triplet(features: Sequence[Row], labels: Sequence[int], margin: float) -> float:
    """max(d_p - d_n + margin, 0) with the hardest pair of each anchor in the batch; mean over anchors."""
    total = 0.0
    for i, anchor in enumerate(features):
        distances = [math.dist(anchor, other) for other in features]
        positive = max(d for d, y in zip(distances, labels, strict=True) if y == labels[i])
        negative = min(d for d, y in zip(distances, labels, strict=True) if y != labels[i])
        total += max(0.0, positive - negative + margin)
    return total / len(features)
