"""Cross-entropy with mild label weights plus soft Dice, and sampling that shows rare labels often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Counts = npt.NDArray[np.int64]


def label_counts(labels: npt.NDArray[np.uint8], count: int = 20) -> Counts:
    """Pixels of each label in each map: (N, H, W) -> (N, count)."""
    return np.stack([np.bincount(one.ravel(), minlength=count)[:count] for one in labels])


def label_weights(counts: Counts, power: float) -> Tensor:
    """Weight per label, its share of all pixels to the power of ``-power``, mean 1 over pixels; (labels,). A label never seen: 0."""
    share = counts.sum(0) / counts.sum()
    weights = np.where(share > 0, np.maximum(share, 1e-6) ** -power, 0)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


def sampling_chances(counts: Counts, most: float = 4.0) -> npt.NDArray[np.float64]:
    """Chance of each picture to be drawn, (N,): those that show a rare label come up to ``most`` times as often."""
    shows = counts > 0
    rarity = np.where(shows, np.sqrt(0.5 / np.maximum(shows.mean(0), 1e-6)), 0).max(axis=1)
    weight = np.clip(rarity, 1, most)
    return np.asarray(weight / weight.sum())


def parsing_loss(scores: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with label weights plus 1 - Dice, mean over the labels that occur in the batch.

    Args:
        scores: (B, C, H, W).
        target: (B, H, W) int64.
        weights: (C,).
    """
    labels = scores.shape[1]
    log_chance = scores.permute(0, 2, 3, 1).reshape(-1, labels).float().log_softmax(dim=1)
    target = target.flatten()
    entropy = F.nll_loss(log_chance, target, weight=weights)
    chance = log_chance.exp()
    right = chance.gather(1, target[:, None])[:, 0]
    both = right.new_zeros(labels).index_add(0, target, right)
    size = torch.bincount(target, minlength=labels).float()
    dice = (2 * both + 1) / (chance.sum(0) + size + 1)
    return entropy + (1 - dice)[size > 0].mean()
