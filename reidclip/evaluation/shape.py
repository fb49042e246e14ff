"""How far predicted bodies are from the true ones, and from what "everybody has the mean body" would have been. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """A mean error over people's pictures beside that of the mean body.

    Attributes:
        value: mean over all pictures.
        mean_body: the same of the mean body.
        ratio: value / mean_body, below 1 where the prediction is the better one; None where the mean body has no error.
        interval, ratio_interval: bootstrap 95 % intervals over people; None without resamples.
    """

    value: float
    mean_body: float
    ratio: float | None
    interval: tuple[float, float] | None = None
    ratio_interval: tuple[float, float] | None = None


def compare(errors: Floats, mean_body: Floats, person: NDArray[np.integer], resamples: int = 1000, seed: int = 0) -> Comparison:
    """Mean errors and their ratio, with percentile intervals when people are drawn again with replacement, all their pictures with them.

    Both errors of a picture are drawn together (paired), and equal seeds draw equal people: all numbers of an evaluation vary alike.

    Args:
        errors: (N,) of the prediction, one per picture, 0 or more in any unit; or signed ones, whose ratio means nothing.
        mean_body: (N,) of the mean body on the same pictures.
        person: (N,) whose picture it is.
        resamples: bootstrap samples; 0 gives no intervals.
        seed: of the draw.

    Raises:
        ValueError: no pictures, or arrays of different lengths.
    """
    if len(errors) == 0 or not len(errors) == len(mean_body) == len(person):
        raise ValueError(
            f"{len(errors)} errors, {len(mean_body)} of the mean body and {len(person)} people are not one of each per picture"
        )
    _, rows = np.unique(person, return_inverse=True)
    sums = np.stack([np.bincount(rows, weights=column) for column in (errors, mean_body, np.ones(len(rows)))]).astype(np.float64)  # (3, P)
    total, base, count = sums.sum(axis=1)
    found = Comparison(float(total / count), float(base / count), float(total / base) if base > 0 else None)
    if not resamples:
        return found
    people = sums.shape[1]
    drawn = np.random.default_rng(seed).integers(0, people, (resamples, people))
    total_r, base_r, count_r = sums[:, drawn].sum(axis=2)
    ratio = None if found.ratio is None or not (base_r > 0).all() else _interval(total_r / base_r)
    return Comparison(found.value, found.mean_body, found.ratio, _interval(total_r / count_r), ratio)


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)


def vertex_errors(predicted: Floats, true: Floats, *, aligned: bool) -> Floats:
    """Per-vertex error of bodies with the same vertices, in the canonical pose: mean over vertices of the Euclidean distance.

    Args:
        predicted: (B, V, 3) metres.
        true: (B, V, 3), or (V, 3) for all.
        aligned: the mean of the vertices of both is brought to one point first, which takes a common translation out. (Body models put
            their origin at the root joint, or near it: errors as bodies are placed are root-aligned ones.)

    Returns:
        (B,) metres.
    """
    difference = predicted - true
    if aligned:
        difference = difference - difference.mean(axis=1, keepdims=True)
    distance: Floats = np.sqrt((difference**2).sum(axis=2))
    return np.asarray(distance.mean(axis=1), np.float64)


def wrong_words(
    measures: Mapping[str, Floats], thresholds: Mapping[str, float], choices: NDArray[np.integer], order: tuple[str, ...]
) -> Floats:
    """Which words of a body are wrong when its measurements decide: the first phrase of a pair is true above the threshold.

    Args:
        measures: (N,) by name, of the predicted bodies.
        thresholds: by name, the population's medians.
        choices: (N, K) the true ones: 0 where the first phrase is true, 1 where the second is.
        order: K names: which measurement decides a pair.

    Returns:
        (N, K): 1 where the word is wrong, else 0.

    Raises:
        ValueError: the choices are not one per name.
    """
    if choices.ndim != 2 or choices.shape[1] != len(order):
        raise ValueError(f"choices {choices.shape} are not of {len(order)} pairs")
    said = np.stack([np.where(np.asarray(measures[name]) > thresholds[name], 0, 1) for name in order], axis=1)
    return np.asarray(said != choices, np.float64)


def mean_per_person(rows: Floats, person: NDArray[np.integer]) -> tuple[NDArray[np.integer], Floats]:
    """Mean over the pictures of each person.

    Args:
        rows: (N, S), one row per picture.
        person: (N,).

    Returns:
        (P,) people in increasing order, and their (P, S) means, summed in float64, in the type of ``rows``.
    """
    people, index = np.unique(person, return_inverse=True)
    sums = np.zeros((len(people), rows.shape[1]))
    np.add.at(sums, index, rows.astype(np.float64))
    return people, (sums / np.bincount(index)[:, None]).astype(rows.dtype)


def spread(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Which pictures stand for the others: one drawn from each of ``most`` parts, equal to within one, of the numbers below ``count``.

    Even steps would fall in with whatever recurs in a sorted list, such as the poses of each body.

    Args:
        count: how many there are.
        most: how many to choose; all where there are no more.
        seed: of the draw.

    Returns:
        (min(count, most),) increasing.
    """
    if count <= most:
        return np.arange(count)
    edges = np.arange(most + 1) * count // max(most, 1)
    return np.asarray(np.random.default_rng(seed).integers(edges[:-1], edges[1:]), np.int64)
