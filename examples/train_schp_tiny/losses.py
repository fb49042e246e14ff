"""Class-balanced cross-entropy plus soft Dice."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pairs import Pair
from torch import Tensor


def label_weights(pairs: list[Pair], labels: int = 20) -> Tensor:
    """Weight per label, inverse to the square root of its share of the pixels, 0.3..4, mean 1 over pixels; (labels,)."""
    counts = np.zeros(labels)
    for pair in pairs:
        counts += np.bincount(pair.labels.ravel(), minlength=labels)[:labels]
    share = counts / counts.sum()
    weights = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-6)), 0)
    weights = weights / (weights * share).sum()
    return torch.tensor(np.clip(weights, 0.3, 4), dtype=torch.float32)


def parsing_loss(scores: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with label weights plus 1 - Dice, mean over the labels that occur in the batch.

    Args:
        scores: (B, C, H, W) float32.
        target: (B, H, W) int64.
        weights: (C,).
    """
    entropy = F.cross_entropy(scores, target, weight=weights)
    chance = scores.softmax(dim=1)
    truth = F.one_hot(target, scores.shape[1]).permute(0, 3, 1, 2)
    both = (chance * truth).sum((0, 2, 3))
    size = truth.sum((0, 2, 3))
    dice = (2 * both + 1) / (chance.sum((0, 2, 3)) + size + 1)
    return entropy + (1 - dice)[size > 0].mean()
