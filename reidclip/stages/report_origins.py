"""Settings, averages and environments of evaluations, as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reidclip.artifacts.manifest import Environment
from reidclip.artifacts.store import Artifact, Store
from reidclip.report.contents import Table
from reidclip.report.origins import settings_table
from reidclip.stages.evaluate_again import WAYS
from reidclip.stages.report_heat import checkpoint_of
from reidclip.stages.report_read import SUMMARY, Read, read_json

_SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")


def settings_of(reads: Sequence[Read], store: Store) -> tuple[Table, ...]:
    """What the evaluations were made with, and the trainings of their checkpoints, side by side."""
    columns = [read.ref for read in reads]
    tables = [settings_table("Evaluation", columns, [_facts(read.artifact) for read in reads])]
    trainings = [checkpoint_of(read.artifact, store) for read in reads]
    if any(one is not None for one in trainings):
        tables.append(settings_table("Training of the checkpoint", columns, [None if one is None else _facts(one) for one in trainings]))
    return tuple(tables)


def _facts(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    told: dict[str, Any] = {"method": manifest.method, "seed": manifest.seed}
    return {**told, **{key: value for key, value in manifest.config.items() if key != "writes"}}


def averages_of(summary: Artifact) -> Table:
    """A summary's rows: targets, and averages over them, with intervals over seeds (of one seed, over queries)."""
    found = read_json(summary, SUMMARY)
    rows: list[tuple[str, tuple[str, ...]]] = []
    for way, part in [("", found), *((f", {way}", found[way]) for way in WAYS if way in found)]:
        rows += [(f"{row['target']}, {row['protocol']}{way}", _told(row)) for row in part.get("targets", [])]
        rows += [(f"average of {row['targets']}, {row['protocol']}{way}", _told(row)) for row in part.get("average", [])]
    seeds = found.get("seeds") or []
    over = f"mean and 95 % interval over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else "95 % interval over queries"
    return Table(f"{summary.ref}: percent; {over}", _SHARES, tuple(rows))


def _told(row: Mapping[str, Any]) -> tuple[str, ...]:
    told = []
    for share in _SHARES:
        value, interval = row.get(share), row.get(f"{share}_interval")
        brackets = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
        told.append("–" if value is None else f"{100 * value:.1f}{brackets}")
    return tuple(told)


def environment_of(artifact: Artifact) -> tuple[str, Environment, str, str]:
    """Reference, where it ran, when, and with which version."""
    manifest = artifact.manifest
    return artifact.ref, manifest.environment, f"{manifest.created:%Y-%m-%d %H:%M} UTC", manifest.toolkit_version
