"""How much of the data set is left in a feature: a linear probe that has to tell from which one a picture comes.

A feature that is invariant to the domain leaves the probe at chance; 1 says that data sets lie apart. Who somebody is tells the domain too,
for nobody is in two of them, so the people that the probe is asked about were not in its fit. Every data set gives as many people, and
every person counts the same however many pictures there are; then a feature that knows nothing is right once in K data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDS = 5
MOST_PEOPLE = 500  # of one data set; more cost time and change little
MOST_PICTURES = 10  # of one person
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times the mean variance of a coordinate; chosen inside each fold

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class DomainProbe:
    """What the probe found.

    Attributes:
        accuracy: mean over data sets of the mean over their people of the share of pictures put in the right one.
        interval: bootstrap 95% interval, people drawn again within each data set; None where it was not asked for.
        chance: 1 / K.
        recall: the accuracy of each data set, in the order of their numbers.
        people, pictures: how many took part, of all data sets together.
    """

    accuracy: float
    interval: tuple[float, float] | None
    chance: float
    recall: tuple[float, ...]
    people: int
    pictures: int


def domain_probe(
    features: Tensor, people: Integers, domains: Integers, folds: int = FOLDS, resamples: int = 1000, seed: int = 0
) -> DomainProbe | None:
    """Ridge regression on one-hot data sets (Hastie et al., 4.2), cross-validated over people.

    Args:
        features: (N, D), as they are compared; neither their scale nor a rotation changes the result.
        people: (N,) identity, a number of its own for each person of each data set.
        domains: (N,) data set, 0..K-1.
        folds: of the cross-validation, by person; fewer where a data set has fewer people.
        resamples: of the bootstrap; 0 gives no interval.
        seed: of the choice of people, pictures and folds, and of the bootstrap.

    Returns:
        None for fewer than two data sets, or where one has fewer than two people.
    """
    draw = np.random.default_rng(seed)
    chosen = _balanced(people, domains, draw)
    if chosen is None:
        return None
    each, rows = chosen  # (K, n) people, in random order: person j of each is in fold j mod folds
    folds = min(folds, each.shape[1])
    place = {int(person): (d, j) for d, members in enumerate(each) for j, person in enumerate(members)}
    where = np.array([place[int(person)] for person in people[rows]], np.int64)
    x, domain, fold = features[torch.from_numpy(rows)].double(), where[:, 0], where[:, 1] % folds
    weight = 1 / np.unique(people[rows], return_inverse=True, return_counts=True)[2][_dense(people[rows])]
    right = _cross_validated(x, domain, weight, fold, folds)
    shares = np.zeros(each.shape)
    np.add.at(shares, (domain, where[:, 1]), right * weight)
    recall = shares.mean(axis=1)
    interval = _bootstrap(shares, resamples, draw) if resamples else None
    return DomainProbe(float(recall.mean()), interval, 1 / len(each), tuple(map(float, recall)), each.size, len(rows))


def _balanced(people: Integers, domains: Integers, draw: np.random.Generator) -> tuple[Integers, Integers] | None:
    """((K, n) people, as many of each data set; rows of their pictures, at most so many each)."""
    members = [draw.permutation(np.unique(people[domains == d])) for d in range(int(domains.max(initial=-1)) + 1)]
    size = min((MOST_PEOPLE, *(len(m) for m in members)))
    if len(members) < 2 or size < 2:
        return None
    each = np.stack([m[:size] for m in members])
    shuffled = draw.permutation(np.flatnonzero(np.isin(people, each)))
    number = _number_within(people[shuffled])
    return each, np.sort(shuffled[number < MOST_PICTURES])


def _number_within(keys: Integers) -> Integers:
    """(N,) how many equal keys stand before each."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0])
    number = np.empty(len(keys), np.int64)
    number[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
    return number


def _dense(keys: Integers) -> Integers:
    found: Integers = np.unique(keys, return_inverse=True)[1].astype(np.int64).reshape(-1)
    return found


def _cross_validated(x: Tensor, domain: Integers, weight: NDArray[np.float64], fold: Integers, folds: int) -> NDArray[np.float64]:
    """(N,) 1 where a picture's data set was found by a probe that was fitted without its fold."""
    right = np.zeros(len(x))
    for held in range(folds):
        test, train = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        inner = fold[train] == (held + 1) % folds
        ridge = _RIDGES[-1]
        if inner.any() and not inner.all():
            fitting, checking = train[~inner], train[inner]
            found = _predict(x, domain, weight, fitting, checking, _RIDGES)
            ridge = _RIDGES[int(np.argmax([(weight[checking] * (p == domain[checking])).sum() for p in found]))]
        right[test] = _predict(x, domain, weight, train, test, (ridge,))[0] == domain[test]
    return right


def _predict(
    x: Tensor, domain: Integers, weight: NDArray[np.float64], train: Integers, test: Integers, ridges: Sequence[float]
) -> list[Integers]:
    """Data sets of the test rows for each ridge: argmax of (x - mean) (S + r I)^-1 X^T W Y, S the scatter of the weighted training rows."""
    w = torch.from_numpy(weight[train])[:, None]
    mean = (w * x[train]).sum(dim=0) / w.sum()
    fitted, asked = x[train] - mean, x[test] - mean
    targets = torch.nn.functional.one_hot(torch.from_numpy(domain[train])).double()
    scatter, products = fitted.T @ (w * fitted), fitted.T @ (w * targets)
    variance = float(scatter.diagonal().mean()) or 1.0
    eye = torch.eye(len(scatter), dtype=x.dtype)
    return [
        (asked @ torch.linalg.solve(scatter + ridge * variance * eye, products)).argmax(dim=1).numpy().astype(np.int64) for ridge in ridges
    ]


def _bootstrap(shares: NDArray[np.float64], resamples: int, draw: np.random.Generator) -> tuple[float, float]:
    """Percentile interval of the mean over data sets, from (K, n) values of people drawn again within each."""
    means = np.zeros(resamples)
    for values in shares:
        means += values[draw.integers(0, len(values), (resamples, len(values)))].mean(axis=1) / len(shares)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
