"""Protocols as data, run: which rows are queries, which are the gallery, and the result with its interval."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reidclip.data.missing_protocols import notes_on_missing_protocols
from reidclip.errors import UserError, nearest
from reidclip.evaluation.bootstrap import bootstrap_interval
from reidclip.evaluation.matching import Labels
from reidclip.evaluation.ranking import Metrics, Ranking, rank_features, require_valid, summarise
from reidclip.records import Dataset, Protocol, Sample

_SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")
SINGLE_SHOT_SEED = 3  # part of the protocol, not of a run: everybody's draw is the same


@dataclass(frozen=True)
class Features:
    """Features of pictures by path: row i of ``matrix`` (N, D) belongs to ``paths[i]``."""

    paths: tuple[str, ...]
    matrix: Tensor

    @cached_property
    def _row(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self.paths)}

    def of(self, samples: Sequence[Sample]) -> Tensor:
        """Rows of the samples, (len(samples), D).

        Raises:
            UserError: a sample has no feature.
        """
        missing = next((s.path for s in samples if s.path not in self._row), None)
        if missing is not None:
            raise UserError(f"There is no feature for {missing}.", "The features were computed from other data; evaluate again.")
        return self.matrix[[self._row[s.path] for s in samples]]


@dataclass(frozen=True)
class Evaluation:
    """A protocol, its result, and what the result is made of.

    Attributes:
        query: the query samples, in the order of every per-query array.
        galleries: gallery samples of each repeat; one, except in single-shot protocols.
        rankings: one `Ranking` per gallery.
    """

    protocol: Protocol
    metrics: Metrics
    query: tuple[Sample, ...]
    galleries: tuple[tuple[Sample, ...], ...]
    rankings: tuple[Ranking, ...]


def find_protocol(dataset: Dataset, name: str) -> Protocol:
    """The data set's protocol of that name.

    Raises:
        UserError: there is none; names the nearest, and what the data set notes about protocols that it lacks.
    """
    protocol = dataset.protocol(name)
    if protocol is None:
        remedy = " ".join((nearest(name, [p.name for p in dataset.protocols]), *notes_on_missing_protocols(dataset)))
        raise UserError(f"Data set {dataset.name} ({dataset.layout}) has no protocol '{name}'.", remedy)
    return protocol


def required_samples(dataset: Dataset, protocols: Sequence[Protocol]) -> tuple[Sample, ...]:
    """Every sample that the protocols compare, once per path, in the data set's order: what features are needed of."""
    wanted = {s.path for p in protocols for side in dataset.query_and_gallery(p) for s in side}
    return tuple({s.path: s for s in dataset.samples if s.path in wanted}.values())


def evaluate_protocol(dataset: Dataset, protocol: Protocol, features: Features, resamples: int = 1000, seed: int = 0) -> Evaluation:
    """Rank, average and give bootstrap 95% intervals for R1 and mAP.

    A single-shot protocol averages its repeats: each number is the mean over them, and intervals resample the queries' means over
    repeats. A query counts as valid when it has a match in at least one repeat.

    Args:
        dataset: whose samples are compared.
        protocol: one of its protocols, or one made for it.
        features: of all its query and gallery samples, normalised where cosine is meant.
        resamples: bootstrap samples; 0 gives no intervals.
        seed: of the bootstrap.

    Raises:
        UserError: query or gallery empty, no query with a match, a sample without feature, unknown clothes under a clothes rule.
        WorkError: features that are not finite.
    """
    query, gallery = dataset.query_and_gallery(protocol)
    galleries = single_shot_galleries(gallery, protocol.single_shot_repeats) if protocol.single_shot_repeats else (gallery,)
    query_features, query_labels = features.of(query), Labels.of(query)
    rankings = tuple(
        rank_features(query_features, features.of(items), query_labels, Labels.of(items), protocol.rule) for items in galleries
    )
    require_valid(*rankings, context=(f"protocol '{protocol.name}'", f"rule '{protocol.rule.value}'"))
    metrics = _mean([summarise(r) for r in rankings if r.valid.any()], rankings)
    if resamples:
        metrics = dataclasses.replace(
            metrics,
            R1_interval=bootstrap_interval(_mean_over_repeats(rankings, [r.first_rank == 1 for r in rankings]), resamples, seed),
            mAP_interval=bootstrap_interval(_mean_over_repeats(rankings, [r.average_precision for r in rankings]), resamples, seed),
        )
    return Evaluation(protocol, metrics, query, galleries, rankings)


def single_shot_galleries(gallery: Sequence[Sample], repeats: int) -> tuple[tuple[Sample, ...], ...]:
    """One random picture per identity, ``repeats`` times; identities ascending, pictures drawn over sorted paths.

    The original PRCC protocol draws so, but no published draw can be repeated, hence this project's own: it depends
    on the sorted paths and a fixed seed alone, the same on every machine. Unknown identities (< 0) are left out.
    """
    by_pid: dict[int, list[Sample]] = defaultdict(list)
    for sample in sorted(gallery, key=lambda s: s.path):
        if sample.pid >= 0:
            by_pid[sample.pid].append(sample)
    draw = random.Random(SINGLE_SHOT_SEED)
    # Only random() is promised to give the same numbers in every Python version; choice() is not.
    return tuple(tuple(by_pid[pid][int(draw.random() * len(by_pid[pid]))] for pid in sorted(by_pid)) for _ in range(repeats))


def _mean(parts: Sequence[Metrics], rankings: Sequence[Ranking]) -> Metrics:
    """Mean of the shares over repeats; a query counts as valid when it is in any of them."""
    if len(rankings) == 1:
        return parts[0]
    valid = int(np.any([r.valid for r in rankings], axis=0).sum())
    shares: dict[str, Any] = {name: float(np.mean([getattr(p, name) for p in parts])) for name in _SHARES}
    return dataclasses.replace(parts[0], **shares, valid=valid, skipped=parts[0].queries - valid)


def _mean_over_repeats(rankings: Sequence[Ranking], values: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Per query that is valid in any repeat, the mean of its values over the repeats where it is."""
    valid = np.stack([r.valid for r in rankings])
    total = np.where(valid, np.stack(values), 0).sum(axis=0, dtype=np.float64)
    count = valid.sum(axis=0)
    mean: NDArray[np.float64] = total[count > 0] / count[count > 0]
    return mean
