"""How much of the clothes is left in a feature: a linear probe that has to tell a person's outfits apart.

Guessing who somebody is must not help, and neither must how many pictures an outfit has. So the probe chooses among the outfits of one
person (or of one person under one camera), identity is taken out by subtracting that person's mean, every outfit of a person gives as many
pictures, and every fold takes as many pictures from each of them. Then a feature that knows nothing of clothes is right exactly once in k
outfits on average. Pictures that were taken one after the other fall into different folds, so high accuracy may be owed to more than
clothes: the background, or the pose; compare features with each other rather than with 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.evaluation.bootstrap import bootstrap_interval

FOLDS = 5
MOST_PICTURES = 40  # of one outfit; more cost time and change little
_RIDGES = (1e-2, 1e-1, 1.0, 10.0)  # times the mean variance of a coordinate; chosen inside each fold

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ProbeResult:
    """What the probe found. Accuracies are means over people of their share of right answers.

    Attributes:
        accuracy: of the ridge classifier on pictures that it was not fitted to.
        interval: bootstrap 95% interval over people; None where it was not asked for.
        chance: mean over people of 1 / (number of outfits).
        variance_share: share of the feature's variance within people that lies between their outfits, corrected for chance (epsilon
            squared: 0 on average for a feature without clothes, 1 for one that is nothing but clothes). It does not saturate as accuracy
            does when outfits are easily told apart.
        people, outfits, pictures: how many took part.
    """

    accuracy: float
    interval: tuple[float, float] | None
    chance: float
    variance_share: float
    people: int
    outfits: int
    pictures: int


def clothes_probe(
    features: Tensor, people: Integers, groups: Integers, clothes: Integers, folds: int = FOLDS, resamples: int = 1000, seed: int = 0
) -> ProbeResult | None:
    """Ridge regression on one-hot outfits (Hastie et al., 4.2; balanced and centred, so no bias term), restricted to a group's outfits.

    Args:
        features: (N, D).
        people: (N,) identity; the mean and the bootstrap run over these.
        groups: (N,) within which outfits are told apart: the identity again, or identity and camera.
        clothes: (N,) class of the outfit, negative where unknown.
        folds: of the cross-validation, by picture.
        resamples: of the bootstrap; 0 gives no interval.
        seed: of the bootstrap, and of which pictures are taken where an outfit has more than others.

    Returns:
        None when no group has two outfits with two pictures each.
    """
    rows = _balanced(groups, clothes, folds, np.random.default_rng(seed))
    if rows is None:
        return None
    index, fold = rows
    group, outfit = _dense(groups[index]), _dense_outfits(groups[index], clothes[index])
    x = torch.nn.functional.normalize(features[torch.from_numpy(index)].double(), dim=1)
    right = _cross_validated(x, group, outfit, fold, folds)
    person = _dense(people[index])
    accuracy = np.bincount(person, weights=right) / np.bincount(person)
    outfits_of = np.bincount(_group_of_outfit(group, outfit))[group]
    chance = np.bincount(person, weights=1 / outfits_of) / np.bincount(person)
    return ProbeResult(
        float(accuracy.mean()),
        bootstrap_interval(accuracy, resamples, seed) if resamples else None,
        float(chance.mean()),
        _variance_share(x, group, outfit),
        len(accuracy),
        int(outfit.max()) + 1,
        len(index),
    )


def _balanced(groups: Integers, clothes: Integers, folds: int, draw: np.random.Generator) -> tuple[Integers, Integers] | None:
    """(rows that take part, their folds): in each group as many pictures of every outfit, spread over the folds alike."""
    rows: list[Integers] = []
    numbers: list[Integers] = []
    known = np.flatnonzero(clothes >= 0)
    for members in _split(known, groups[known]):
        worn = [outfit for outfit in _split(members, clothes[members]) if len(outfit) >= 2]
        if len(worn) < 2:
            continue
        size = min(MOST_PICTURES, *(len(outfit) for outfit in worn))
        for outfit in worn:
            rows.append(np.sort(draw.permutation(outfit)[:size]))
            numbers.append(np.arange(size) % folds)
    return (np.concatenate(rows), np.concatenate(numbers)) if rows else None


def _split(rows: Integers, keys: Integers) -> Iterator[Integers]:
    """Rows with equal keys together, by ascending key."""
    order = np.argsort(keys, kind="stable")
    if len(rows):
        yield from np.split(rows[order], np.flatnonzero(np.diff(keys[order])) + 1)


def _dense(keys: Integers) -> Integers:
    found: Integers = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return found


def _dense_outfits(groups: Integers, clothes: Integers) -> Integers:
    """One number per (group, outfit): the same outfit under two cameras is two, where groups are cameras."""
    found: Integers = np.unique(np.stack([groups, clothes]), axis=1, return_inverse=True)[1].astype(np.int64).reshape(-1)
    return found


def _group_of_outfit(group: Integers, outfit: Integers) -> Integers:
    owner = np.zeros(int(outfit.max()) + 1, np.int64)
    owner[outfit] = group
    return owner


def _cross_validated(x: Tensor, group: Integers, outfit: Integers, fold: Integers, folds: int) -> NDArray[np.float64]:
    """(N,) 1 where a picture's outfit was found by a probe that was fitted without its fold."""
    right = np.zeros(len(x))
    for held in range(folds):
        test = np.flatnonzero(fold == held)
        if not len(test):
            continue
        train = np.flatnonzero(fold != held)
        inner = fold[train] == (held + 1) % folds
        ridge = _RIDGES[1]
        if inner.any() and not inner.all():
            fitting, checking = train[~inner], train[inner]
            found = _predict(x, group, outfit, fitting, checking, _RIDGES)
            ridge = _RIDGES[int(np.argmax([(p == outfit[checking]).mean() for p in found]))]
        right[test] = _predict(x, group, outfit, train, test, (ridge,))[0] == outfit[test]
    return right


def _predict(x: Tensor, group: Integers, outfit: Integers, train: Integers, test: Integers, ridges: Sequence[float]) -> list[Integers]:
    """Outfits of the test rows for each ridge: argmax over the outfits of the row's group of (x - mean_g) (S + r I)^-1 s_c.

    S is the scatter of the centred training rows, s_c their sum over outfit c: what X^T Y is for centred X and one-hot Y.
    """
    groups, outfits = int(group.max()) + 1, int(outfit.max()) + 1
    g, c = torch.from_numpy(group), torch.from_numpy(outfit)
    counts = torch.from_numpy(np.bincount(group[train], minlength=groups)).clamp(min=1)[:, None]
    means = torch.zeros(groups, x.shape[1], dtype=x.dtype).index_add_(0, g[train], x[train]) / counts
    fitted, asked = x[train] - means[g[train]], x[test] - means[g[test]]
    scatter = fitted.T @ fitted
    sums = torch.zeros(outfits, x.shape[1], dtype=x.dtype).index_add_(0, c[train], fitted)
    owner = torch.from_numpy(_group_of_outfit(group, outfit))
    mean_variance = float(scatter.diagonal().mean()) or 1.0
    eye = torch.eye(len(scatter), dtype=x.dtype)
    found = []
    for ridge in ridges:
        weights = torch.linalg.solve(scatter + ridge * mean_variance * eye, sums.T)
        scores = (asked @ weights).masked_fill(owner[None, :] != g[test][:, None], -torch.inf)
        found.append(scores.argmax(dim=1).numpy().astype(np.int64))
    return found


def _variance_share(x: Tensor, group: Integers, outfit: Integers) -> float:
    """1 - (SS_within outfits / (N - outfits)) / (SS_within groups / (N - groups)), over all coordinates and groups together."""

    def scatter(labels: Integers) -> tuple[float, int]:
        which = torch.from_numpy(labels)
        count = torch.bincount(which)[:, None]
        means = torch.zeros(len(count), x.shape[1], dtype=x.dtype).index_add_(0, which, x) / count
        return float((x - means[which]).square().sum()), len(x) - len(count)

    (between, free), (within, left) = scatter(group), scatter(outfit)
    if between <= 0:
        return 0.0
    return 1 - (within / left) / (between / free)
