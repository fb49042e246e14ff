"""A table over several targets: per row the mean over them, seed by seed, and its paired comparison with another row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ablation.comparer import Comparer, Run
from ablation.paired import Paired
from ablation.results import RowResult, Value, about
from ablation.rows import Row
from ablation.scores import METRICS, read_metrics


@dataclass(frozen=True)
class AverageResult:
    """What is known of one row over all targets.

    Attributes:
        targets: results by target; a target without an evaluation yet is missing.
        runs: per seed that has an evaluation of every target, those, in the order of the targets.
        values: protocol -> metric -> mean over targets: one number per seed, which the interval is taken over. Empty without such a seed.
        paired: protocol -> metric -> comparison with ``against``, of seeds that both rows have whole.
    """

    row: Row
    targets: Mapping[str, RowResult]
    runs: Mapping[int, Run]
    values: Mapping[str, Mapping[str, Value]]
    paired: Mapping[str, Mapping[str, Paired]]
    against: str | None


def average(
    rows: Sequence[Row], results: Mapping[str, Sequence[RowResult]], protocols: Sequence[str], comparer: Comparer
) -> list[AverageResult]:
    """Rows that have an evaluation on any target, top to bottom.

    Args:
        results: target -> rows, for every target of the table.
    """
    by_row = {row.name: {target: r for target, found in results.items() for r in found if r.row.name == row.name} for row in rows}
    runs = {name: _whole(found, len(results)) for name, found in by_row.items()}
    return [_average(row, by_row[row.name], runs, protocols, comparer) for row in rows if by_row[row.name]]


def _whole(found: Mapping[str, RowResult], targets: int) -> dict[int, Run]:
    """Seeds with an evaluation of every target."""
    if len(found) < targets:
        return {}
    seeds = set.intersection(*(set(result.evaluations) for result in found.values()))
    return {seed: tuple(result.evaluations[seed] for result in found.values()) for seed in sorted(seeds)}


def _average(
    row: Row, found: Mapping[str, RowResult], runs: Mapping[str, Mapping[int, Run]], protocols: Sequence[str], comparer: Comparer
) -> AverageResult:
    own, other = runs[row.name], runs.get(row.compare_with or "", {})
    distinct = {tuple(a.digest for a in run): run for run in own.values()}.values()
    metrics = [[read_metrics(a) for a in run] for run in distinct]
    shared = sorted(set(own) & set(other))
    pairs = [(own[seed], other[seed]) for seed in shared]
    return AverageResult(
        row,
        found,
        own,
        {p: {m: Value.of([float(np.mean([of[p][m] for of in run])) for run in metrics]) for m in METRICS} for p in protocols if metrics},
        {p: {m: comparer.compare(pairs, p, m) for m in METRICS} for p in protocols if shared},
        row.compare_with if shared else None,
    )


def average_as_json(result: AverageResult) -> dict[str, Any]:
    """Everything of a row, shares in 0..1: its average, and below "targets" what a table of that target alone would say."""
    return {
        **about(result.row),
        "average": {p: {m: asdict(v) for m, v in metrics.items()} for p, metrics in result.values.items()},
        "compared_with": result.against,
        "paired": {p: {m: v.as_json() for m, v in metrics.items()} for p, metrics in result.paired.items()},
        "targets": {target: found.as_json() for target, found in result.targets.items()},
    }
