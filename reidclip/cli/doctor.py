"""``reidclip doctor``: options -> stage -> findings."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from reidclip.cli import options

if TYPE_CHECKING:
    from reidclip.stages.doctor_finding import Finding

_MARKS = {"ok": "[green]ok[/]", "absent": "[dim]-[/]", "warning": "[yellow]warning[/]", "broken": "[bold red]broken[/]"}


def doctor(
    verify: Annotated[bool, typer.Option("--verify", help="Also read every file of the store and compare digests.")] = False,
    store: options.StoreDir = options.DEFAULT_STORE,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what is here and what is missing: versions, devices, weights, plugins, extras, video codecs, the store, disk space.

    Exit code 1 when something is broken: a plugin that does not load, an artifact whose manifest is damaged (with --verify: any of its
    files), a package that is missing. Warnings, and what nobody needs to have, do not count; -q prints warnings and faults alone.

    Example: reidclip doctor --verify
    """
    from reidclip.cli.console import console, progress_bar, set_quiet
    from reidclip.stages.doctor import examine

    set_quiet(quiet)
    if verify:
        with progress_bar("verify", "artifacts") as progress:
            findings = list(examine(store, True, progress))
    else:
        findings = list(examine(store))
    broken = sum(f.state == "broken" for f in findings)
    if json_:
        console.print_json(json.dumps({"ok": not broken, "findings": [f.to_json() for f in findings]}))
    else:
        _print([f for f in findings if not quiet or f.state in ("warning", "broken")])
        warnings = sum(f.state == "warning" for f in findings)
        console.print(f"\n{broken or 'nothing'} broken, {warnings} warning{'' if warnings == 1 else 's'}")
    if broken:
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from reidclip.cli.console import console

    for section, group in groupby(findings, key=lambda f: f.section):
        table = Table(title=section, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
        table.add_column(min_width=7)
        table.add_column(min_width=18, overflow="fold")
        table.add_column(overflow="fold")
        for f in group:
            told = escape(f.told) + (f"\n[dim]{escape(f.remedy)}[/]" if f.remedy else "")
            table.add_row(_MARKS[f.state], escape(f.name), told)
        console.print(table)
