"""`reidclip artifacts`: look at what is in the store, check it, and clean it up.

The store is imported inside the commands: pydantic would be a third of the time that `reidclip --help` may take.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from reidclip.cli.console import console, say, set_quiet
from reidclip.cli.options import DEFAULT_STORE, Json, Quiet, StoreDir, Verbose

app = typer.Typer(no_args_is_help=True, help="List, inspect, verify and remove artifacts.")

Ref = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME@v3, KIND/NAME@v3, or the path of an artifact.")]
VersionRef = Annotated[str, typer.Argument(metavar="REF", help="NAME@v3, KIND/NAME@v3, or the path of an artifact.")]
OptionalRef = Annotated[str | None, typer.Argument(metavar="[REF]", help="One artifact. Default: all of them.", show_default=False)]
Days = Annotated[float, typer.Option("--days", min=0, help="Age after which unfinished work that nobody touched is removed.")]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


@app.command("list")
def list_artifacts(
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind.", show_default=False)] = None,
    store: StoreDir = DEFAULT_STORE,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List all artifacts, also damaged ones and those of a newer toolkit."""
    set_quiet(quiet)
    from reidclip.artifacts import kinds
    from reidclip.artifacts.store import Store
    from reidclip.cli import artifacts_view as view

    if kind is not None:
        kinds.get(kind)
    found = Store(store).scan(kind)
    if as_json:
        _print_json(view.scan_json(store, found))
    elif not found.artifacts and not found.unreadable:
        say(f"No artifacts in {store}. `reidclip mask DATA` makes the first one.")
    else:
        console.print(view.scan_table(found))


@app.command()
def show(
    ref: Ref,
    files: Annotated[bool, typer.Option("--files", help="List every payload file.")] = False,
    store: StoreDir = DEFAULT_STORE,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show the manifest of one artifact."""
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli import artifacts_view as view

    artifact = Store(store).open(ref)
    if as_json:
        _print_json(view.artifact_json(artifact, files))
    else:
        console.print(view.artifact_table(artifact))
        if files:
            console.print(view.files_table(artifact))


@app.command()
def verify(
    ref: OptionalRef = None, store: StoreDir = DEFAULT_STORE, as_json: Json = False, verbose: Verbose = False, quiet: Quiet = False
) -> None:
    """Read every payload file and compare it with its digest; exit code 1 when something is wrong."""
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli import artifacts_view as view
    from reidclip.stages import artifacts as stage

    reports = stage.verify(Store(store), ref)
    states = [view.verified_state(report) for report in reports]
    whole = set(states) <= {"ok"}
    if as_json:
        told = zip(reports, states, strict=True)
        entries = [{"kind": r.kind, "ref": r.ref, "path": str(r.path), "state": state, "problems": r.problems} for r, state in told]
        _print_json({"ok": whole, "artifacts": entries})
    for report, state in [] if as_json else zip(reports, states, strict=True):
        console.print(view.verdict(report, state))
    if "newer" in states:
        say("Artifacts of a newer toolkit could not be checked: verify them with a reidclip that reads their schema.")
    if "damaged" in states:
        say("Damaged artifacts: `reidclip artifacts rm --force KIND/NAME@vN` removes one; then make it again.")
    if not whole:
        raise typer.Exit(1)


@app.command()
def lineage(ref: Ref, store: StoreDir = DEFAULT_STORE, as_json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Show what an artifact was made from, back to the data."""
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli import artifacts_view as view

    opened = Store(store)
    node = opened.lineage(opened.open(ref))
    if as_json:
        _print_json(view.lineage_json(node))
    else:
        console.print(view.lineage_tree(node))


@app.command()
def rm(
    ref: VersionRef,
    force: Annotated[
        bool, typer.Option("--force", help="Also when other artifacts were made from it, or an index's database does not answer.")
    ] = False,
    store: StoreDir = DEFAULT_STORE,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Remove one version of an artifact; its version number is not used again. What an index has in a database goes with it."""
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages import artifacts as stage

    opened = Store(store)
    opened.locate_version(ref)  # what is gone is gone: the newest version is never meant by default
    path = stage.remove(opened, ref, force, say)
    _report_removed([path], as_json, "Removed")


@app.command()
def gc(
    days: Days = 14.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    store: StoreDir = DEFAULT_STORE,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Remove what killed processes left: temporary and empty folders, and old states of unfinished work."""
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages import artifacts as stage

    removed = stage.gc(Store(store), days, dry_run, say)
    _report_removed(removed, as_json, "Would remove" if dry_run else "Removed")
    if not removed and not as_json:
        say("Nothing to remove.")


def _report_removed(paths: list[Path], as_json: bool, verb: str) -> None:
    if as_json:
        _print_json({"removed": [str(path) for path in paths]})
    for path in [] if as_json else paths:
        console.print(f"{verb} {path}", markup=False, soft_wrap=True)
