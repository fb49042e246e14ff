"""The table as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ablation.paired import Paired
from ablation.results import PROBES, RowResult, Value, as_json
from ablation.scores import METRICS
from ablation.table_file import TableFile
from reidclip.artifacts.durable import write_durable

LEGEND = """\
Per cent. Brackets after a mean: 95% interval over seeds, mean ∓ t·s/√n (Student's t with n - 1 degrees of freedom, s the standard
deviation over the n seeds); a row that nothing is trained for has one run and no interval. Δ: difference from the row it is compared with,
per query and seed, in points; brackets: t interval over the seeds' differences; p: sign-flip permutation test over people (all queries of a
person flip together); ✓: p < 0.05 and, with several seeds, an interval without 0. table.json has p over queries and the bootstrap interval
over queries as well. The p values are not corrected for the number of comparisons."""


def write_report(folder: Path, table: TableFile, results: Sequence[RowResult], protocols: Sequence[str], facts: dict[str, object]) -> Path:
    """Write ``table.md`` and ``table.json``; returns the former.

    Args:
        facts: what else the JSON tells: the data, the device, what is still missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = {"title": table.title, "seeds": list(table.seeds), **facts, "rows": [as_json(result) for result in results]}
    write_durable(folder / "table.json", (json.dumps(document, indent=1) + "\n").encode())
    path = folder / "table.md"
    write_durable(path, markdown(table, results, protocols, facts).encode())
    return path


def markdown(table: TableFile, results: Sequence[RowResult], protocols: Sequence[str], facts: dict[str, object]) -> str:
    """The whole Markdown document."""
    parts = [f"# {table.title}", table.note, str(facts.get("summary", ""))]
    parts += [_protocol(results, protocol) for protocol in protocols]
    if any(result.clothes for result in results):
        parts.append(_clothes(results))
    return "\n\n".join([*filter(None, parts), LEGEND]) + "\n"


def _protocol(results: Sequence[RowResult], protocol: str) -> str:
    lines = [f"## {protocol}", "", "| row | seeds | R1 | mAP | compared with | ΔR1 | ΔmAP |", "|---|---|---|---|---|---|---|"]
    for result in results:
        values = result.values[protocol]
        paired = result.paired.get(protocol)
        deltas = [_delta(paired[metric]) for metric in METRICS] if paired else ["", ""]
        cells = [
            _cell(result.row.name),
            str(len(result.distinct)),
            *(_value(values[m]) for m in METRICS),
            _cell(result.against or ""),
            *deltas,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _clothes(results: Sequence[RowResult]) -> str:
    lines = [
        "## Clothes left in the feature, within identity",
        "",
        f"| row | {' | '.join(PROBES.values())} |",
        "|---" * (1 + len(PROBES)) + "|",
    ]
    for r in results:
        if r.clothes:
            cells = (_value(r.clothes[name]) if name in r.clothes else "" for name in PROBES)
            lines.append(f"| {_cell(r.row.name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _value(value: Value) -> str:
    if value.interval is None:
        return f"{100 * value.mean:.1f}"
    return f"{100 * value.mean:.1f} [{100 * value.interval[0]:.1f}, {100 * value.interval[1]:.1f}]"


def _delta(paired: Paired) -> str:
    interval = f" [{100 * paired.seed_interval[0]:+.1f}, {100 * paired.seed_interval[1]:+.1f}]" if paired.seed_interval else ""
    p = "p < 0.001" if paired.p_identities < 0.001 else f"p = {paired.p_identities:.3f}"
    return f"{100 * paired.difference:+.1f}{interval}, {p}{' ✓' if paired.significant else ''}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
