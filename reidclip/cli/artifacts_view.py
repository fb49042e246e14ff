"""How artifacts look on a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from reidclip.artifacts.artifact import Artifact, is_newer
from reidclip.artifacts.lineage import LineageNode
from reidclip.artifacts.manifest import DatasetRef, Manifest
from reidclip.artifacts.store import Scan, Unreadable
from reidclip.cli.describe_view import pair_lines
from reidclip.data.called import name_by_layout
from reidclip.stages.artifacts import Verified

_STATE_STYLE = {"ok": "", "missing": "bold red", "changed": "bold yellow"}


def scan_table(found: Scan) -> Group:
    """One row per artifact, then one line per unreadable one."""
    table = Table(box=None, pad_edge=False)
    for title in ("artifact", "kind", "created (UTC)", "made by", "data", "files", "size"):
        table.add_column(title, no_wrap=title != "data", overflow="fold", justify="right" if title in ("files", "size") else "left")
    for artifact in found.artifacts:
        m = artifact.manifest
        data = _names(m.dataset) if m.dataset else ""
        cells = (artifact.ref, m.kind, _minute(m), m.method or "", data, str(m.payload.files), size(m.payload.bytes))
        table.add_row(*map(escape, cells))
    unreadable = [Text(f"{_state(b)}: {b.kind}/{b.ref}: {b.problem}", style="yellow" if b.newer else "red") for b in found.unreadable]
    return Group(*([table] if found.artifacts else []), *unreadable)


def scan_json(store: Path, found: Scan) -> dict[str, Any]:
    """The same as plain values; manifests in full."""
    return {
        "store": str(store),
        "artifacts": [artifact_json(artifact, files=False) for artifact in found.artifacts],
        "unreadable": [
            {"kind": b.kind, "ref": b.ref, "path": str(b.path), "state": _state(b), "problem": b.problem} for b in found.unreadable
        ],
    }


def artifact_json(artifact: Artifact, files: bool) -> dict[str, Any]:
    """Reference, digest and manifest, and on demand the payload table."""
    entry = {
        "ref": artifact.ref,
        "path": str(artifact.path),
        "digest": artifact.digest,
        "manifest": artifact.manifest.model_dump(mode="json"),
    }
    if files:
        entry["files"] = {name: {"size": file.size, "sha256": file.sha256} for name, file in artifact.files.items()}
    return entry


def artifact_table(artifact: Artifact) -> Table:
    """Manifest as key and value; empty entries are left out."""
    m = artifact.manifest
    rows: dict[str, str] = {
        "artifact": f"{m.kind}/{artifact.ref}",
        "path": str(artifact.path),
        "digest": artifact.digest,
        "created": f"{_minute(m)} UTC by reidclip {m.toolkit_version}, in {m.wall_seconds:.1f} s",
        "command": " ".join(m.command),
        "made by": " ".join(filter(None, (m.method, m.plugin_version and f"(version {m.plugin_version})"))),
        "seed": "" if m.seed is None else str(m.seed),
        "data": _data(m.dataset) if m.dataset else "",
        "inputs": "\n".join(f"{i.role}: {i.kind}/{i.ref}  {i.digest[:12]}" for i in m.inputs),
        "settings": _lines(m.config),
        "metrics": _lines({key: value for key, value in m.metrics.items() if m.kind != "descriptions" or key != "pairs"}),
        "phrases": pair_lines(m.metrics) if m.kind == "descriptions" else "",
        "notes": "\n".join(m.notes),
        "environment": ", ".join(f"{key} {value}" for key, value in m.environment.model_dump().items() if value),
        "payload": f"{m.payload.files} files, {size(m.payload.bytes)}",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        if value:
            table.add_row(key, escape(value))
    return table


def files_table(artifact: Artifact) -> Table:
    """Every payload file with its size and digest."""
    table = Table("file", "size", "SHA-256", box=None, pad_edge=False)
    for name, file in artifact.files.items():
        table.add_row(escape(name), size(file.size), file.sha256[:16])
    return table


def verified_state(report: Verified) -> str:
    """``"ok"``, ``"damaged"``, or ``"newer"``: written by a newer toolkit, so that nothing could be checked."""
    if not report.problems:
        return "ok"
    return "newer" if is_newer(report.path) else "damaged"


def verdict(report: Verified, state: str) -> Text:
    """``ok kind/ref``, or the problems, at most ten of them; ``state`` is that of `verified_state`."""
    title = f"{report.kind}/{report.ref}"
    if not report.problems:
        return Text.assemble(("ok  ", "green"), title)
    more = [f"    and {len(report.problems) - 10} more"] if len(report.problems) > 10 else []
    lines = [f"    {problem}" for problem in report.problems[:10]] + more
    mark = ("newer ", "bold yellow") if state == "newer" else ("BAD ", "bold red")
    return Text.assemble(mark, title, "\n" + "\n".join(lines))


def lineage_tree(node: LineageNode) -> Tree:
    """The artifact at the root, its inputs below, data sets as leaves."""
    tree = Tree(_label(node))
    if node.artifact and node.artifact.manifest.dataset:
        tree.add(Text(f"data: {_data(node.artifact.manifest.dataset)}", style="dim"))
    for below in node.inputs:
        tree.children.append(lineage_tree(below))
    return tree


def lineage_json(node: LineageNode) -> dict[str, Any]:
    """The tree as nested objects."""
    dataset = node.artifact.manifest.dataset if node.artifact else None
    return {
        "kind": node.kind,
        "ref": node.ref,
        "digest": node.digest,
        "role": node.role,
        "state": node.state,
        "dataset": dataset.model_dump(mode="json") if dataset else None,
        "inputs": [lineage_json(below) for below in node.inputs],
    }


def size(number: int) -> str:
    """Bytes as a person reads them: ``"12.3 MB"`` (decimal units)."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _state(broken: Unreadable) -> str:
    return "newer" if broken.newer else "damaged"


def _label(node: LineageNode) -> Text:
    role = f"{node.role}: " if node.role else ""
    method = f"  {node.artifact.manifest.method}" if node.artifact and node.artifact.manifest.method else ""
    state = "" if node.state == "ok" else f"  {node.state}"
    return Text.assemble(role, (f"{node.kind}/{node.ref}", "bold"), f"  {node.digest[:12]}{method}", (state, _STATE_STYLE[node.state]))


def _minute(manifest: Manifest) -> str:
    return manifest.created.strftime("%Y-%m-%d %H:%M")


def _names(dataset: DatasetRef) -> str:
    """What a column has room for: the folder's name, or the domains; of more than two the first and how many more."""
    names = list(dataset.sources) or [name_by_layout(dataset.layout, dataset.root) or Path(dataset.root).name]
    return " + ".join(names) if len(names) <= 2 else f"{names[0]} + {len(names) - 1} more"


def _data(dataset: DatasetRef) -> str:
    """One line per data set; those of joined data under their domains."""
    own = _one_set(dataset)
    return "\n".join([own, *(f"  {domain}: {_one_set(source)}" for domain, source in dataset.sources.items())])


def _one_set(dataset: DatasetRef) -> str:
    splits = ", ".join(f"{name} {count}" for name, count in dataset.splits.items())
    return f"{dataset.root} ({dataset.layout}; {dataset.samples} samples: {splits}; fingerprint {dataset.fingerprint[:12]})"


def _lines(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
