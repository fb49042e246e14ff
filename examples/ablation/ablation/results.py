"""From the evaluations of a table to its numbers: means, intervals over seeds, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ablation.comparer import Comparer
from ablation.paired import Paired
from ablation.rows import Row
from ablation.scores import METRICS, read_metrics, read_probe
from ablation.student import t_interval
from reidclip.artifacts.store import Artifact

PROBES = {
    "accuracy": "linear probe",
    "chance": "chance of the probe",
    "variance_share": "share of the variance within people",
    "within_camera_share": "the same within a camera",
}
"""Numbers of a clothes probe that the table shows. Where outfits go with cameras, only the last tells clothes from cameras."""


@dataclass(frozen=True)
class Value:
    """A number over seeds, as a share.

    Attributes:
        mean: over runs.
        interval: t 95% interval over seeds; None with one run.
        runs: the number of each run that differs from the others by its seed.
    """

    mean: float
    interval: tuple[float, float] | None
    runs: tuple[float, ...]

    @classmethod
    def of(cls, runs: Sequence[float]) -> Value:
        """Mean and interval of the runs."""
        return cls(float(np.mean(runs)), t_interval(runs), tuple(runs))


@dataclass(frozen=True)
class RowResult:
    """What is known of one row.

    Attributes:
        evaluations: by seed; a row that nothing was trained for has the same one for every seed.
        values: protocol -> metric -> value.
        paired: protocol -> metric -> comparison with ``against``.
        against: the row that it is compared with; None where there is none, or nothing in common yet.
        clothes: name of a measure of the clothes left in the feature -> value, of evaluations made with diagnostics; see `PROBES`.
    """

    row: Row
    evaluations: Mapping[int, Artifact]
    values: Mapping[str, Mapping[str, Value]]
    paired: Mapping[str, Mapping[str, Paired]]
    against: str | None
    clothes: Mapping[str, Value]

    @property
    def distinct(self) -> tuple[Artifact, ...]:
        """Each evaluation once."""
        return tuple({a.digest: a for a in self.evaluations.values()}.values())

    def as_json(self) -> dict[str, Any]:
        """Everything of a row, shares in 0..1."""
        return {
            **about(self.row),
            "evaluations": {str(seed): f"evaluation/{a.ref}" for seed, a in sorted(self.evaluations.items())},
            "protocols": {p: {m: asdict(v) for m, v in metrics.items()} for p, metrics in self.values.items()},
            "compared_with": self.against,
            "paired": {p: {m: v.as_json() for m, v in metrics.items()} for p, metrics in self.paired.items()},
            "clothes_probe": {name: asdict(value) for name, value in self.clothes.items()},
        }


def collect(
    rows: Sequence[Row], evaluations: Mapping[tuple[str, int], Artifact], protocols: Sequence[str], comparer: Comparer
) -> list[RowResult]:
    """Results of the rows that have any evaluation yet, top to bottom.

    Args:
        evaluations: (row name, seed) -> evaluation.
    """
    by_row = {row.name: {seed: a for (name, seed), a in evaluations.items() if name == row.name} for row in rows}
    return [_result(row, by_row, protocols, comparer) for row in rows if by_row[row.name]]


def _result(row: Row, by_row: Mapping[str, Mapping[int, Artifact]], protocols: Sequence[str], comparer: Comparer) -> RowResult:
    own = by_row[row.name]
    distinct = list({a.digest: a for a in own.values()}.values())
    metrics = [read_metrics(a) for a in distinct]
    values = {p: {m: Value.of([run[p][m] for run in metrics]) for m in METRICS} for p in protocols}
    other = by_row.get(row.compare_with or "", {})
    shared = sorted(set(own) & set(other))
    pairs = [((own[seed],), (other[seed],)) for seed in shared]
    paired = {p: {m: comparer.compare(pairs, p, m) for m in METRICS} for p in protocols if shared}
    probes = [probe for a in distinct if (probe := read_probe(a)) is not None]
    found = {name: [probe[name] for probe in probes if probe[name] is not None] for name in PROBES}
    clothes = {name: Value.of(runs) for name, runs in found.items() if runs}
    return RowResult(row, own, values, paired, row.compare_with if shared else None, clothes)


def about(row: Row) -> dict[str, Any]:
    """What a row is, for the JSON."""
    return {
        "name": row.name,
        "method": row.method.name if row.method else "zero-shot",
        "recipe": row.recipe,
        "masks": row.masks,
        "settings": {command: settings.model_dump(mode="json") for command, settings in row.settings.items()},
    }
