"""The table as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablation.average import AverageResult, average_as_json
from ablation.cells import cell, comparison, told
from ablation.network_costs import NetworkCost, as_json, section
from ablation.over_targets import TARGETS_LEGEND, over_targets
from ablation.results import PROBES, RowResult
from ablation.scores import METRICS
from ablation.table_file import TableFile
from reidclip.artifacts.durable import write_durable

LEGEND = """\
Per cent. Brackets after a mean: 95% interval over seeds, mean ∓ t·s/√n (Student's t with n - 1 degrees of freedom, s the standard
deviation over the n seeds); a row that nothing is trained for has one run and no interval. Δ: difference from the row it is compared with,
per query and seed, in points; brackets: t interval over the seeds' differences; p: sign-flip permutation test over people (all queries of a
person flip together); ✓: p < 0.05 and, with several seeds, an interval without 0. table.json has p over queries and the bootstrap interval
over queries as well. The p values are not corrected for the number of comparisons."""


def write_report(
    folder: Path,
    table: TableFile,
    results: Mapping[str, Sequence[RowResult]],
    averages: Sequence[AverageResult] | None,
    protocols: Sequence[str],
    facts: dict[str, object],
    costs: Mapping[str, NetworkCost],
) -> Path:
    """Write ``table.md`` and ``table.json``; returns the former.

    Args:
        results: by target; of a table without targets one entry.
        averages: over the targets, None of a table without.
        facts: what else the JSON tells: the data, the device, what is still missing.
        costs: of the rows' networks, by row; empty where the table does not ask for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [r.as_json() for found in results.values() for r in found] if averages is None else [average_as_json(a) for a in averages]
    counted = {"network_costs": as_json(costs)} if table.network_costs else {}
    document = {"title": table.title, "seeds": list(table.seeds), **facts, **counted, "rows": rows}
    write_durable(folder / "table.json", (json.dumps(document, indent=1) + "\n").encode())
    path = folder / "table.md"
    write_durable(path, markdown(table, results, averages, protocols, facts, costs).encode())
    return path


def markdown(
    table: TableFile,
    results: Mapping[str, Sequence[RowResult]],
    averages: Sequence[AverageResult] | None,
    protocols: Sequence[str],
    facts: dict[str, object],
    costs: Mapping[str, NetworkCost],
) -> str:
    """The whole Markdown document."""
    parts = [f"# {table.title}", table.note, str(facts.get("summary", ""))]
    if averages is not None:
        parts += [over_targets(averages, list(results), protocol) for protocol in protocols]
    for target, found in results.items():
        parts += [_protocol(found, protocol, target) for protocol in protocols if found]
        if any(result.clothes for result in found):
            parts.append(_clothes(found, target))
        if costs and found:
            parts.append(section(found, costs, protocols, f"## What the networks cost{_on(target)}"))
    return "\n\n".join([*filter(None, parts), LEGEND, *([TARGETS_LEGEND] if averages is not None else [])]) + "\n"


def _protocol(results: Sequence[RowResult], protocol: str, target: str) -> str:
    lines = [f"## {protocol}{_on(target)}", "", "| row | seeds | R1 | mAP | compared with | ΔR1 | ΔmAP |", "|---|---|---|---|---|---|---|"]
    for result in results:
        values = result.values[protocol]
        cells = [cell(result.row.name), str(len(result.distinct)), *(told(values[m]) for m in METRICS)]
        lines.append(f"| {' | '.join([*cells, *comparison(result.against, result.paired.get(protocol))])} |")
    return "\n".join(lines)


def _on(target: str) -> str:
    return f", target {target}" if target else ""


def _clothes(results: Sequence[RowResult], target: str) -> str:
    lines = [
        f"## Clothes left in the feature, within identity{_on(target)}",
        "",
        f"| row | {' | '.join(PROBES.values())} |",
        "|---" * (1 + len(PROBES)) + "|",
    ]
    for r in results:
        if r.clothes:
            cells = (told(r.clothes[name]) if name in r.clothes else "" for name in PROBES)
            lines.append(f"| {cell(r.row.name)} | {' | '.join(cells)} |")
    return "\n".join(lines)
