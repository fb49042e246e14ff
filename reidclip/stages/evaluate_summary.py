"""What several evaluations come to: per target, over the targets, over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reidclip.evaluation.over_seeds import mean_and_interval

SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")
Metrics = Mapping[str, Any]  # of one protocol, an entry of metrics.json
Row = dict[str, Any]


def summarise_targets(runs: Sequence[Sequence[Mapping[str, Metrics]]], names: Sequence[str], own: bool) -> dict[str, list[Row]]:
    """The rows of a summary, shares in 0..1.

    Args:
        runs: per seed, per target, the metrics by protocol.
        names: of the targets.
        own: each target is averaged by the first of its protocols, whatever it is called; else those are averaged that all targets have.

    Returns:
        "targets": one row per target and protocol: the mean over seeds, with an interval over them where there are several (of a single
        one that of the bootstrap over queries), and the values of each seed. "average": plain means over targets, as papers print them
        (the mean of each seed's means), by protocol; empty where targets have no protocol in common, or there is but one.
    """
    first = runs[0]
    rows = [
        {"target": name, "protocol": protocol, **_over_seeds([run[i][protocol] for run in runs])}
        for i, name in enumerate(names)
        for protocol in first[i]
    ]
    if len(names) == 1:
        return {"targets": rows, "average": []}
    common = [None] if own else [p for p in first[0] if all(p in metrics for metrics in first)]
    average = []
    for protocol in common:
        taken = [protocol or next(iter(metrics)) for metrics in first]
        means = [_mean_of_targets([metrics[p] for metrics, p in zip(run, taken, strict=True)]) for run in runs]
        average.append({"protocol": protocol or "each its own", "targets": len(names), **_over_seeds(means)})
    return {"targets": rows, "average": average}


def _mean_of_targets(parts: Sequence[Metrics]) -> Metrics:
    """Plain means; a share that one of them lacks (protocols that tell no mAP) has none."""
    return {share: _mean([part.get(share) for part in parts]) for share in SHARES}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _over_seeds(parts: Sequence[Metrics]) -> Row:
    row: Row = {}
    for share in SHARES:
        values = [part.get(share) for part in parts]
        known = [float(v) for v in values if v is not None]
        row[share] = None
        if known and len(known) == len(values):
            row[share], interval = mean_and_interval(known)
            if len(parts) == 1:
                interval = parts[0].get(f"{share}_interval")
            if interval is not None:
                row[f"{share}_interval"] = list(interval)
            if len(parts) > 1:
                row[f"{share}_each"] = known
    for count in ("queries", "valid", "gallery"):
        if count in parts[0]:
            row[count] = parts[0][count]
    return row
