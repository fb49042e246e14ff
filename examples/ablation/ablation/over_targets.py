"""The table over several targets: a group of columns for each, and their average."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.average import AverageResult
from ablation.cells import cell, comparison, told
from ablation.scores import METRICS

TARGETS_LEGEND = """\
Over targets: every target weighs the same. A seed's number is the mean over the targets of what it reached on each, and the interval is
over those; seeds without an evaluation of every target are left out. Δ and p are over the queries of all targets, weighted so that every
target counts the same; people of two targets are different people. The bootstrap interval in table.json draws queries from all targets."""


def over_targets(results: Sequence[AverageResult], targets: Sequence[str], protocol: str) -> str:
    """R1 / mAP per target, mean over the seeds that are done there, then average and comparison."""
    groups = " | ".join(f"{cell(target)}, R1 / mAP" for target in targets)
    lines = [f"## {protocol}, average over targets", "", f"| row | seeds | {groups} | R1 | mAP | compared with | ΔR1 | ΔmAP |"]
    lines.append("|---" * (7 + len(targets)) + "|")
    for result in results:
        values = result.values.get(protocol)
        distinct = {tuple(a.digest for a in run) for run in result.runs.values()}
        averages = [told(values[m]) for m in METRICS] if values else ["", ""]
        cells = [cell(result.row.name), str(len(distinct)), *(_group(result, target, protocol) for target in targets), *averages]
        lines.append(f"| {' | '.join([*cells, *comparison(result.against, result.paired.get(protocol))])} |")
    return "\n".join(lines)


def _group(result: AverageResult, target: str, protocol: str) -> str:
    if target not in result.targets:
        return ""
    values = result.targets[target].values[protocol]
    return " / ".join(f"{100 * values[m].mean:.1f}" for m in METRICS)
