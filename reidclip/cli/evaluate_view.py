"""What ``reidclip evaluate`` prints: a table per data set, and one over data sets and seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reidclip.cli.console import console
from reidclip.cli.diagnostics_view import domain_lines, lines

WAYS = ("expanded", "reranked")  # `reidclip.stages.evaluate_again`, which needs torch

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.evaluation.protocols import Evaluation
    from reidclip.stages.compare import Comparison
    from reidclip.stages.evaluate import EvaluateJob
    from reidclip.stages.evaluate_several import Several


def print_evaluation(job: EvaluateJob, artifact: Artifact, results: list[Evaluation]) -> None:
    """Table, published numbers and diagnostics of one evaluation."""
    _print_table(job, artifact, results)
    _print_published(results, job.comparison)
    _print_diagnostics(artifact)


def as_json(artifact: Artifact) -> dict[str, Any]:
    """One evaluation as --json prints it."""
    metrics = json.loads((artifact.path / "metrics.json").read_text(encoding="utf-8"))
    found = diagnostics_of(artifact)
    told = {"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), "metrics": metrics}
    return told if found is None else {**told, "diagnostics": found}


def several_as_json(done: Several) -> dict[str, Any]:
    """A summary and its evaluations as --json prints them."""
    assert done.artifact is not None
    found = diagnostics_of(done.artifact)
    return {
        "artifact": done.artifact.ref,
        "kind": done.artifact.kind,
        "path": str(done.artifact.path),
        "summary": done.summary,
        "evaluations": [as_json(artifact) for run in done.runs for artifact, _ in run],
        **({} if found is None else {"diagnostics": found}),
    }


def print_summary(done: Several) -> None:
    """The table over data sets, with their average, and over seeds."""
    from rich import box
    from rich.table import Table

    assert done.artifact is not None
    summary = done.summary
    seeds = summary["seeds"]
    over = f"mean over seeds {', '.join(map(str, seeds))}, brackets: 95% interval over them (Student's t)" if len(seeds) > 1 else ""
    how = over or "brackets: bootstrap 95% interval over queries"
    caption = f"percent, by {summary['distance']} distance; {how}; average: plain mean over data sets"
    table = Table(title=_title(done), caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("data set", "protocol", "R1", "mAP", "R5", "R10", "mINP"):
        table.add_column(column, justify="left" if column in ("data set", "protocol") else "right", no_wrap=column == "data set")
    parts = [("", summary), *((f", {way}", summary[way]) for way in WAYS if way in summary)]
    for way, part in parts:
        for row in part["targets"]:
            table.add_row(row["target"], f"{row['protocol']}{way}", *_cells(row))
    if summary["average"]:
        table.add_section()
    for way, part in parts:
        for row in part["average"]:
            table.add_row(f"average of {row['targets']}", f"{row['protocol']}{way}", *_cells(row))
    console.print(table)
    if len(summary["data"]) > 1 and not summary["average"]:
        console.print("no average: the data sets have no protocol in common; name one with --protocol", markup=False, soft_wrap=True)
    found = diagnostics_of(done.artifact)
    for line in domain_lines(found) if found else ():
        console.print(line, markup=False, soft_wrap=True)


def _title(done: Several) -> str:
    """The summary's artifact, the protocol, and what was trained on."""
    assert done.artifact is not None
    facts = done.summary["data"]
    sources = list(dict.fromkeys(source["domain"] for fact in facts for source in fact["trained_on"]))
    parts = [done.artifact.ref]
    if done.summary["protocol"]:
        parts.append(f"protocol {done.summary['protocol']}")
    if sources:
        parts.append(f"trained on {' + '.join(sources)}")
    known = [fact["target"] for fact in facts if fact["relation"] in ("same", "source", "other copy")]
    if sources and known:
        parts.append(f"not new to it: {', '.join(known)}")
    seen = [fact["target"] for fact in facts if fact["test_pictures_trained_on"]]
    if seen:
        parts.append(f"test pictures trained on: {', '.join(seen)}")
    return "; ".join(parts)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        "-" if row[share] is None else _with_interval(row[share], row.get(f"{share}_interval") if share in ("R1", "mAP") else None)
        for share in ("R1", "mAP", "R5", "R10", "mINP")
    ]


def _print_table(job: EvaluateJob, artifact: Artifact, results: list[Evaluation]) -> None:
    from rich import box
    from rich.table import Table

    distance = artifact.manifest.config["feature"]["distance"]
    caption = f"percent, by {distance} distance; brackets: bootstrap 95% interval over queries; valid: queries with a match"
    title = ": ".join(filter(None, (artifact.ref, job.provenance.told(job.dataset))))
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("protocol", "R1", "mAP", "R5", "R10", "mINP", "valid", "gallery"):
        table.add_column(column, justify="left" if column == "protocol" else "right", no_wrap=column == "protocol")
    told = json.loads(artifact.file("metrics.json").read_text(encoding="utf-8"))
    for result in results:
        m, averages = result.metrics, result.protocol.reports_map
        table.add_row(
            result.protocol.name,
            _with_interval(m.R1, m.R1_interval),
            _with_interval(m.mAP, m.mAP_interval) if averages else "-",
            *(f"{100 * v:.1f}" for v in (m.R5, m.R10)),
            f"{100 * m.mINP:.1f}" if averages else "-",
            f"{m.valid}/{m.queries}",
            str(m.gallery),
        )
        for way in WAYS:
            if way in told[result.protocol.name]:
                table.add_row(f"  {way}", *_cells(told[result.protocol.name][way]), "", "")
    console.print(table)
    for result in results:
        if result.divisions:
            names = list(result.divisions)
            told = f"mean over {len(names)} random splits, {names[0]} to {names[-1]}" if len(names) > 1 else f"{names[0]} alone"
            console.print(f"{result.protocol.name}: {told}; each in metrics.json", markup=False, soft_wrap=True)


def _print_published(results: list[Evaluation], comparison: Comparison) -> None:
    """One line per protocol with published numbers: they, and by how much these are above or below."""
    for result in results:
        row, m = comparison.rows.get(result.protocol.name), result.metrics
        if row is not None:
            here = f"here {100 * m.R1 - row.R1:+.1f}, {100 * m.mAP - row.mAP:+.1f}"
            hearsay = {"R": "", "T": "; quoted elsewhere, not read in the paper", "G": "; hearsay"}[row.status]
            line = f"published, {result.protocol.name}: R1 {row.R1:.1f}, mAP {row.mAP:.1f} ({here}) [{row.source}{hearsay}]"
            console.print(" ".join(filter(None, (line, row.note))), markup=False, soft_wrap=True)


def diagnostics_of(artifact: Artifact) -> dict[str, Any] | None:
    """What --diagnostics found; None without it."""
    if "diagnostics.json" not in artifact.files:
        return None
    found: dict[str, Any] = json.loads(artifact.file("diagnostics.json").read_text(encoding="utf-8"))
    return found


def _print_diagnostics(artifact: Artifact) -> None:
    found = diagnostics_of(artifact)
    for line in lines(found) if found else ():
        console.print(line, markup=False, soft_wrap=True)


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} \\[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
