"""How descriptions look on a terminal: the pairs of phrases, how they are used, and how true they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from reidclip.cli.console import console, say

if TYPE_CHECKING:
    from reidclip.artifacts.artifact import Artifact
    from reidclip.evaluation.phrases import Agreement
    from reidclip.stages.describe_table import DescriptionTable

COLUMNS = (
    "first: pictures on which the first phrase won; margin: mean difference of both cosines; texts: cosine of both texts, at 1 one text to "
    "the CLIP; consistent: a person's pictures that agree with most of them (by chance)"
)
"""What the columns of the table mean; those of true bodies are told in a line of their own."""


def show(artifact: Artifact, table: DescriptionTable, as_json: bool, found: bool = False) -> None:
    """The inspection table on stdout, notes and warnings on stderr; as JSON all of it in one object.

    Args:
        found: they were in the store already.
    """
    manifest = artifact.manifest
    if as_json:
        entry = {"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), "teacher": manifest.config.get("teacher")}
        console.print_json(json.dumps({**entry, "notes": manifest.notes, **table.as_json()}))
        return
    for note in manifest.notes:
        say(f"note: {note}")
    console.print(pair_table(table))
    console.print(COLUMNS, soft_wrap=True)
    if table.people:
        console.print(
            f"accuracy against the true bodies of {table.people} people, each counted once, with 95 % intervals over people; "
            "AUC: people ranked by s1 - s2",
            soft_wrap=True,
        )
    for warning in table.warnings:
        say(f"warning: {warning}")
    verb = "found" if found else "wrote"
    console.print(f"{verb} {artifact.kind}/{artifact.ref} by {manifest.method} ({table.pictures} pictures)", markup=False, soft_wrap=True)


def pair_table(table: DescriptionTable) -> Table:
    """One row per pair."""
    out = Table(box=None, pad_edge=False)
    out.add_column("first / second phrase", no_wrap=True)
    titles = ["first", "margin", "texts", "consistent\n(chance)"]
    if table.people:
        titles += ["accuracy\n(chance)", "balanced\n[95 %]", "AUC"]
    for title in titles:
        out.add_column(title, justify="right", no_wrap=True)
    for pair in table.pairs:
        agrees = "-" if pair.consistency is None else f"{pair.consistency:.0%} ({pair.consistency_chance:.0%})"
        cells = [f"{pair.first_share:.0%}", f"{pair.margin:.4f}", f"{pair.texts:.3f}", agrees]
        style = "yellow" if pair.degenerate or pair.alike else None
        out.add_row(f"{pair.first} / {pair.second}", *cells, *(_told(pair.agreement) if table.people else ()), style=style)
    return out


def _told(agreement: Agreement | None) -> tuple[str, str, str]:
    if agreement is None:
        return "-", "-", "-"
    balanced, auc = "-", "-"
    if agreement.balanced is not None and agreement.balanced_interval is not None:
        low, high = agreement.balanced_interval
        balanced = f"{agreement.balanced:.0%} [{low:.0%}, {high:.0%}]"
    if agreement.auc is not None:
        auc = f"{agreement.auc:.2f}"
    return f"{agreement.accuracy:.0%} ({agreement.chance:.0%})", balanced, auc


def pair_lines(metrics: Mapping[str, Any]) -> str:
    """What a manifest's metrics say of the pairs, one line each, for `reidclip artifacts show`."""
    return "\n".join(
        f"{name}: first on {pair['first_share']:.0%}, margin {pair['margin']:.4f}, texts {pair['texts']:.3f}"
        for name, pair in metrics.get("pairs", {}).items()
    )
