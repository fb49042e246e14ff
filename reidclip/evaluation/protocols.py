"""Protocols as data, run: which rows are queries, which are the gallery, and the result with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from reidclip.evaluation.single_shot import drawn_again, single_shot_galleries
from reidclip.formulas.distances import Measure, closeness_to
from reidclip.records import Dataset, Protocol, Rule, Sample

Rank = Callable[[Tensor, Tensor, Labels, Labels, Rule, Measure], Ranking]
"""Features (Q, D) and (G, D), their labels, the rule, how features are compared -> where the matches stand."""

_SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")


@dataclass(frozen=True)
class Features:
    """Features of pictures by path: row i of ``matrix`` (N, D) belongs to ``paths[i]``.

    ``measure`` says how they are compared: "similarity" by dot product, "distance" by Euclidean distance.
    """

    paths: tuple[str, ...]
    matrix: Tensor
    measure: Measure = "similarity"

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

    def closeness(self, query: Sequence[Sample], gallery: Sequence[Sample]) -> Tensor:
        """(Q, G), larger is closer, among the gallery's: what `rank_features` ranks by."""
        return closeness_to(self.of(gallery).float(), self.measure)(self.of(query).float())


@dataclass(frozen=True)
class Evaluation:
    """A protocol, its result, and what the result is made of.

    Attributes:
        query: the query samples, in the order of every per-query array.
        galleries: gallery samples of each repeat; one, except in single-shot protocols.
        rankings: one `Ranking` per gallery.
        divisions: where the protocol averages over random divisions of the data, the result of each by its name; ``metrics`` is then
            their mean, and ``query``, ``galleries`` and ``rankings`` are those of the first.
    """

    protocol: Protocol
    metrics: Metrics
    query: tuple[Sample, ...]
    galleries: tuple[tuple[Sample, ...], ...]
    rankings: tuple[Ranking, ...]
    divisions: Mapping[str, Evaluation] = field(default_factory=dict)


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
    compared = (dataset.query_and_gallery(p, draw) for p in protocols for draw in p.draws or (None,))
    wanted = {s.path for sides in compared for side in sides for s in side}
    return tuple({s.path: s for s in dataset.samples if s.path in wanted}.values())


def _rank(query: Tensor, gallery: Tensor, query_labels: Labels, gallery_labels: Labels, rule: Rule, measure: Measure) -> Ranking:
    return rank_features(query, gallery, query_labels, gallery_labels, rule, measure=measure)


def evaluate_protocol(
    dataset: Dataset, protocol: Protocol, features: Features, resamples: int = 1000, seed: int = 0, rank: Rank = _rank
) -> Evaluation:
    """Rank, average and give bootstrap 95% intervals for R1 and mAP.

    A single-shot protocol averages its repeats: each number is the mean over them, and intervals resample the queries' means over
    repeats. A query counts as valid when it has a match in at least one repeat. A protocol with draws averages those
    (`reidclip.evaluation.divisions`).

    Args:
        dataset: whose samples are compared.
        protocol: one of its protocols, or one made for it.
        features: of all its query and gallery samples, normalised where cosine is meant.
        resamples: bootstrap samples; 0 gives no intervals.
        seed: of the bootstrap.
        rank: how a gallery is ranked: `reidclip.evaluation.rerank_protocol` has another way. A single-shot protocol, which draws again
            where the rule ignores a picture, knows but the plain one.

    Raises:
        UserError: query or gallery empty, no query with a match, a sample without feature, unknown clothes under a clothes rule.
        WorkError: features that are not finite.
    """
    if protocol.draws:
        from reidclip.evaluation.divisions import averaged  # it evaluates each by the function below

        return averaged(protocol, {draw: _compared(dataset, protocol, features, rank, draw) for draw in protocol.draws}, resamples, seed)
    result = _compared(dataset, protocol, features, rank)
    if not resamples:
        return result
    rankings = result.rankings
    intervals: dict[str, Any] = {
        "R1_interval": bootstrap_interval(mean_over_repeats(rankings, [r.first_rank == 1 for r in rankings]), resamples, seed),
        "mAP_interval": bootstrap_interval(mean_over_repeats(rankings, [r.average_precision for r in rankings]), resamples, seed),
    }
    return dataclasses.replace(result, metrics=dataclasses.replace(result.metrics, **intervals))


def _compared(dataset: Dataset, protocol: Protocol, features: Features, rank: Rank, draw: str | None = None) -> Evaluation:
    """The result without intervals, of one draw where the protocol has some."""
    query, gallery = dataset.query_and_gallery(protocol, draw)
    galleries = single_shot_galleries(gallery, protocol.single_shot_repeats) if protocol.single_shot_repeats else (gallery,)
    query_features, query_labels = features.of(query), Labels.of(query)
    rankings = tuple(
        rank(query_features, features.of(items), query_labels, Labels.of(items), protocol.rule, features.measure) for items in galleries
    )
    if protocol.single_shot_repeats:
        rankings = drawn_again(query, gallery, galleries, rankings, protocol.rule, features.closeness)
    require_valid(*rankings, context=(f"protocol '{protocol.name}'", f"rule '{protocol.rule.value}'"))
    metrics = _mean([summarise(r) for r in rankings if r.valid.any()], rankings)
    return Evaluation(protocol, metrics, query, galleries, rankings)


def _mean(parts: Sequence[Metrics], rankings: Sequence[Ranking]) -> Metrics:
    """Mean of the shares over repeats; a query counts as valid when it is in any of them."""
    if len(rankings) == 1:
        return parts[0]
    valid = int(np.any([r.valid for r in rankings], axis=0).sum())
    shares: dict[str, Any] = {name: float(np.mean([getattr(p, name) for p in parts])) for name in _SHARES}
    return dataclasses.replace(parts[0], **shares, valid=valid, skipped=parts[0].queries - valid)


def mean_over_repeats(rankings: Sequence[Ranking], values: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Per query that is valid in any repeat, the mean of its values over the repeats where it is."""
    valid = np.stack([r.valid for r in rankings])
    total = np.where(valid, np.stack(values), 0).sum(axis=0, dtype=np.float64)
    count = valid.sum(axis=0)
    mean: NDArray[np.float64] = total[count > 0] / count[count > 0]
    return mean
