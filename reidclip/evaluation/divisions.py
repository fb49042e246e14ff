"""Protocols that average over random divisions of a small data set: which of them, and their mean with its interval."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidclip.errors import UserError
from reidclip.evaluation.bootstrap import bootstrap_interval
from reidclip.evaluation.protocols import Evaluation, mean_over_repeats
from reidclip.evaluation.ranking import Metrics, Ranking
from reidclip.records import Protocol

_SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")
_COUNTS = ("queries", "valid", "skipped", "gallery")


def of_divisions(protocols: Sequence[Protocol], numbers: Sequence[int]) -> tuple[Protocol, ...]:
    """The protocols, those with draws narrowed to the divisions of these numbers; all of them when no number is given.

    Args:
        protocols: as a data set has them.
        numbers: places in ``Protocol.draws``, from 0, as published programs count their splits.

    Raises:
        UserError: a number that a protocol does not have, or no protocol with random divisions.
    """
    if not numbers:
        return tuple(protocols)
    if not any(p.draws for p in protocols):
        names = ", ".join(p.name for p in protocols)
        raise UserError(f"--split chooses among random divisions, and there are none under {names}.", "Leave --split out.")
    for protocol in protocols:
        wrong = [n for n in numbers if protocol.draws and not 0 <= n < len(protocol.draws)]
        if wrong:
            raise UserError(
                f"There is no split {wrong[0]} under protocol {protocol.name}.",
                f"It has {len(protocol.draws)}: --split 0 to {len(protocol.draws) - 1}; without --split all are averaged.",
            )
    chosen = sorted(set(numbers))
    return tuple(dataclasses.replace(p, draws=tuple(p.draws[n] for n in chosen)) if p.draws else p for p in protocols)


def averaged(protocol: Protocol, divisions: Mapping[str, Evaluation], resamples: int, seed: int) -> Evaluation:
    """The mean over divisions.

    Numbers are means over the divisions (counts are rounded). Intervals resample the query pictures, each with its values in all
    divisions in which it is a query: a picture that several divisions share is one observation, not several.

    Args:
        protocol: what was evaluated.
        divisions: the result of each of its draws.
        resamples: bootstrap samples; 0 gives no intervals.
        seed: of the bootstrap.
    """
    results = list(divisions.values())
    parts = [result.metrics for result in results]
    shares: dict[str, Any] = {name: float(np.mean([getattr(p, name) for p in parts])) for name in _SHARES}
    counts: dict[str, Any] = {name: round(float(np.mean([getattr(p, name) for p in parts]))) for name in _COUNTS}
    intervals: dict[str, Any] = {}
    if resamples:
        intervals = {
            "R1_interval": _interval(results, lambda r: r.first_rank == 1, resamples, seed),
            "mAP_interval": _interval(results, lambda r: r.average_precision, resamples, seed),
        }
    metrics = Metrics(**shares, **counts, **intervals)
    first = results[0]
    return Evaluation(protocol, metrics, first.query, first.galleries, first.rankings, dict(divisions))


def _interval(
    results: Sequence[Evaluation], value: Callable[[Ranking], NDArray[np.generic]], resamples: int, seed: int
) -> tuple[float, float]:
    total: dict[str, float] = defaultdict(float)
    times: dict[str, int] = defaultdict(int)
    for result in results:
        valid = np.any([r.valid for r in result.rankings], axis=0)
        values = mean_over_repeats(result.rankings, [value(r) for r in result.rankings])
        for sample, one in zip((s for s, known in zip(result.query, valid, strict=True) if known), values, strict=True):
            total[sample.path] += float(one)
            times[sample.path] += 1
    weights = np.array(list(times.values()), np.float64)
    return bootstrap_interval(np.array(list(total.values())) / weights, resamples, seed, weights=weights)
