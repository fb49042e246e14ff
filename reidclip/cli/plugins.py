"""`reidclip plugins`: which methods, parsers, bodies and layouts there are, what they take, and where their equations are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from reidclip.cli import plugins_view as view
from reidclip.cli.console import console, set_quiet
from reidclip.cli.options import Json, Quiet, Verbose
from reidclip.stages import plugins as stage

app = typer.Typer(no_args_is_help=True, help="Methods, parsers, bodies and data layouts: list, describe, check, find equations.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `reidclip plugins list` shows it.")]
Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Number of the equation in the paper: 10, or eq10.")]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


@app.command("list")
def list_plugins(as_json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """List all plugins; one that cannot be loaded is a line with its error."""
    set_quiet(quiet)
    infos = stage.all_plugins()
    if as_json:
        _print_json({"plugins": [view.info_json(info) for info in infos]})
        return
    working = [info for info in infos if info.error is None]
    console.print(view.list_table(working))
    for info in infos:
        if info.error is not None:
            console.print(view.broken_line(info), markup=False, soft_wrap=True)


@app.command()
def show(
    name: Name,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Print the values of every setting under this recipe of the method.", show_default=False)
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show a plugin's title, stages, settings, recipes and published results.

    Example: reidclip plugins show ccaf --recipe prcc
    """
    set_quiet(quiet)
    found = stage.show(name, recipe)
    if as_json:
        _print_json({"plugins": [view.details_json(details) for details in found]})
        return
    for details in found:
        view.print_details(details)


@app.command("eq")
def eq(name: Name, number: Number, as_json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Print where a method codes an equation of its paper, as path:line.

    Example: reidclip plugins eq ccaf 10
    """
    set_quiet(quiet)
    places = stage.equation(name, number)
    if as_json:
        _print_json({"equations": [{"path": str(p.path), "line": p.line, "summary": p.summary} for p in places]})
        return
    for found in places:
        console.print(f"{_short(found.path)}:{found.line}", markup=False, soft_wrap=True)
        console.print(f"  {found.summary}", markup=False, soft_wrap=True)


@app.command()
def check(as_json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Load every plugin and compare it with its interface, its PAPER.md and its recipes; exit code 1 when something is wrong."""
    set_quiet(quiet)
    from reidclip.stages.check_plugins import check_plugins

    findings = check_plugins()
    if as_json:
        entries = [{"kind": f.kind, "name": f.name, "problem": f.problem} for f in findings]
        _print_json({"ok": not findings, "findings": entries})
    else:
        for finding in findings:
            console.print(f"{finding.kind} {finding.name}: {finding.problem}", markup=False, soft_wrap=True)
        if not findings:
            console.print(f"{len(stage.all_plugins())} plugins, nothing wrong.")
    if findings:
        raise typer.Exit(1)


def _short(path: Path) -> Path:
    """Relative to the working folder when it lies below it: a terminal makes a link of either."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else Path(relative)
