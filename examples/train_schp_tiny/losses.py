"""Class-balanced cross-entropy plus soft Dice, and the sampling that shows rare labels more often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
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
    log_chance = scores.log_softmax(dim=1)
    entropy = F.nll_loss(log_chance, target, weight=weights)
    chance = log_chance.exp()
    labels = scores.shape[1]
    right = chance.gather(1, target[:, None]).flatten()
    both = right.new_zeros(labels).index_add(0, target.flatten(), right)
    size = torch.bincount(target.flatten(), minlength=labels).float()
    dice = (2 * both + 1) / (chance.sum((0, 2, 3)) + size + 1)
    return entropy + (1 - dice)[size > 0].mean()


def sampling_chances(pairs: list[Pair], labels: int = 20, most: float = 4.0) -> npt.NDArray[np.float64]:
    """Chance of each picture to be drawn, (len(pairs),): those that show a rare label come up to ``most`` times as often."""
    shows = np.stack([np.bincount(pair.labels.ravel(), minlength=labels)[:labels] > 0 for pair in pairs])
    rarity = np.where(shows, np.sqrt(0.5 / np.maximum(shows.mean(0), 1e-6)), 0).max(axis=1)
    weight = np.clip(rarity, 1, most)
    return np.asarray(weight / weight.sum())
