"""Learning-rate schedules: 0-based epoch -> factor on each group's base rate.

Every schedule is constant within an epoch. CLIP-ReID and its descendants step their scheduler at the *start* of an epoch, so the first
epoch already has index 1; ``first_index`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """The base rate in every epoch."""
    return lambda epoch: 1.0


def cosine(epochs: int, min_factor: float = 0.0) -> Schedule:
    """Half a cosine from 1 in the first epoch towards ``min_factor``, which it would reach in the epoch after the last.

    Args:
        epochs: length of the training; later epochs stay at ``min_factor``.
        min_factor: share of the base rate at the end.
    """
    return lambda epoch: _half_cosine(1.0, min_factor, epoch, epochs)


def stepwise(factor: float, every: int) -> Schedule:
    """Times ``factor`` after every ``every`` epochs, as torch's StepLR (CLIP3DReID's program: 0.85 every 10)."""
    return lambda epoch: factor ** (epoch // every)


def warmup_cosine(base: float, warmup_lr: float, min_lr: float, epochs: int, warmup_epochs: int = 5) -> Schedule:
    """The prompt-learning rule of CLIP-ReID (stage 1), in absolute rates as its configuration gives them.

    With e = epoch + 1 (stepped at epoch start) and E = ``epochs``:
    e < ``warmup_epochs``: warmup_lr + e (base - warmup_lr) / warmup_epochs; else min_lr + (base - min_lr) (1 + cos(pi e / E)) / 2.
    Two peculiarities of the published programs are kept: the cosine does not start again after the warm-up, so the base rate itself
    is never reached, and the last epoch has exactly ``min_lr``.

    Args:
        base: the rate that the factor multiplies (3.5e-4); groups with another base rate follow in proportion.
        warmup_lr: rate at index 0, before the first epoch (1e-5).
        min_lr: rate of the last epoch (1e-6).
        epochs: E (120 for ViT, 60 for ResNet).
        warmup_epochs: 5 as published; 0 leaves the warm-up out.

    Raises:
        ValueError: ``base`` is not positive.
    """
    if base <= 0:
        raise ValueError(f"the base rate must be positive, given: {base}")

    def factor(epoch: int) -> float:
        index = epoch + 1
        if index < warmup_epochs:
            return (warmup_lr + index * (base - warmup_lr) / warmup_epochs) / base
        return _half_cosine(base, min_lr, index, epochs) / base

    return factor


def warmup_multistep(
    milestones: Sequence[int],
    warmup_epochs: int = 10,
    warmup_factor: float = 0.1,
    gamma: float = 0.1,
    first_index: int = 1,
) -> Schedule:
    """The fine-tuning rule of CLIP-ReID (stage 2): linear warm-up, then a drop by ``gamma`` at each milestone.

    With e = epoch + ``first_index``: (warmup_factor (1 - e/W) + e/W if e < W else 1) * gamma^(number of milestones <= e), W =
    ``warmup_epochs``.

    Args:
        milestones: indices e at which the rate drops (30, 50 for ViT; 40, 70 for ResNet).
        warmup_epochs: W; 0 leaves the warm-up out.
        warmup_factor: share of the base rate at e = 0 (0.1 for ViT, 0.01 for ResNet).
        gamma: factor of each drop.
        first_index: e of the first epoch: 1 when stepped at epoch start (CLIP-ReID), 0 when stepped at its end (CAL), 4 where the
            schedule runs on after three earlier epochs (CLIP-FGDI stage 3).
    """
    drops = tuple(milestones)

    def factor(epoch: int) -> float:
        index = epoch + first_index
        share = index / warmup_epochs if index < warmup_epochs else 1.0
        return (warmup_factor * (1.0 - share) + share) * gamma ** sum(m <= index for m in drops)

    return factor


def _half_cosine(high: float, low: float, index: int, length: int) -> float:
    """``high`` at index 0, ``low`` from index ``length`` on."""
    if index >= length:
        return low
    return low + 0.5 * (high - low) * (1.0 + math.cos(math.pi * index / length))
