"""Compares the evaluations of two rows, over one target or several; every file is read once, every comparison made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ablation.paired import Floats, Paired, compare_paired
from ablation.scores import QueryScores, differences, read_scores
from reidclip.artifacts.store import Artifact

Run: TypeAlias = tuple[Artifact, ...]
"""The evaluations of one training seed: one per target."""


class Comparer:
    """Keeps what it has read and computed: a table is written after every evaluation, and most of it has not changed.

    Args:
        resamples: of the permutation tests and of the bootstrap.
    """

    def __init__(self, resamples: int = 10_000) -> None:
        self.resamples = resamples
        self._scores: dict[tuple[str, str], QueryScores] = {}
        self._paired: dict[tuple[object, ...], Paired] = {}

    def compare(self, pairs: Sequence[tuple[Run, Run]], protocol: str, metric: str) -> Paired:
        """Paired by seed and query, over the queries of all targets together.

        Every target weighs the same, however many queries it has: a query's difference counts Q / (T Q_t) times, Q being the queries of
        all T targets and Q_t those of its own, so that the mean over queries is the mean over targets of their means. People of two
        targets are different people, whatever their numbers.

        Args:
            pairs: per seed, this row's evaluations and the other's, of the same targets in the same order. Seeds of one pair of evaluations
                (nothing was trained on either side) count once.
        """
        once = {(_digests(this), _digests(other)): (this, other) for this, other in pairs}
        key = (*once, protocol, metric)
        if key not in self._paired:
            runs = [self._differences(this, other, protocol, metric) for this, other in once.values()]
            self._paired[key] = compare_paired(np.stack([values for values, _ in runs]), runs[0][1], self.resamples)
        return self._paired[key]

    def _differences(self, this: Run, other: Run, protocol: str, metric: str) -> tuple[Floats, np.ndarray]:
        """(Q,) weighted differences of one seed, and the number of each query's person among the people of all targets."""
        parts = [differences(self._read(a, protocol), self._read(b, protocol), metric) for a, b in zip(this, other, strict=True)]
        total = sum(len(values) for _, _, values in parts)
        weighted, people, first = [], [], 0
        for _, pids, values in parts:
            numbers = np.unique(pids, return_inverse=True)[1]
            weighted.append(values * (total / (len(parts) * max(1, len(values)))))
            people.append(numbers + first)
            first += len(set(pids.tolist()))
        return np.concatenate(weighted), np.concatenate(people)

    def _read(self, evaluation: Artifact, protocol: str) -> QueryScores:
        key = (evaluation.digest, protocol)
        if key not in self._scores:
            self._scores[key] = read_scores(evaluation, protocol)
        return self._scores[key]


def _digests(run: Run) -> tuple[str, ...]:
    return tuple(evaluation.digest for evaluation in run)
