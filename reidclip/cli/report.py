"""``reidclip report``: options -> stage -> one HTML file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet


def report(
    evaluation: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EVALUATION]...",
            help="Evaluation artifacts, ccaf-prcc@v1, side by side; a summary stands for those it summarises. Default: the newest.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the page to this file, to hand it on.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --output.")] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Where the data lies now; may be repeated. Default: where it was evaluated. Checked to be the same data.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[int, typer.Option("--queries", min=1, help="Queries per protocol that the page holds ranked lists of.")] = 60,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Show pictures of people, or their paths alone.")] = True,
    heat_maps: Annotated[
        int, typer.Option("--heat-maps", min=0, metavar="N", help="Draw heat maps of so many queries per data set (reads checkpoints).")
    ] = 0,
    map_people: Annotated[int, typer.Option("--map-people", min=0, max=40, help="Identities on the map of features; 0: no map.")] = 10,
    max_size: Annotated[
        float, typer.Option("--max-size", min=0.1, metavar="MB", help="Most that the pictures take; they get smaller to fit.")
    ] = 32,
    title: Annotated[str | None, typer.Option("--title", help="Of the page. Default: the evaluations' names.", show_default=False)] = None,
    name: options.Name = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: options.Workers = None,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Show evaluations as one HTML page that needs nothing beside it: tables, curves, ranked lists, distances, lineage.

    Reads [bold]evaluation[/] artifacts and the pictures of their data; writes a [bold]report[/] artifact, report.html, which asks no
    network for anything. Ranked lists as in papers: the query, then the ten nearest gallery pictures, green for the same person, red for
    another one, those that the protocol ignores left out; the page filters them (best, worst, random, cloth-changing) and puts several
    evaluations of one data set side by side. Where the data is gone, the page holds numbers and curves alone. Faces are blurred where the
    evaluation blurred them. The page holds pictures of people: hand it on as you would the data, or use --no-pictures.

    Example: reidclip report --output report.html

    Example: reidclip report ccaf-prcc baseline-prcc --heat-maps 12 --output compared.html
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages.report import PAGE, make_report, plan_report

    if output is not None:
        _check_output(output, force)
    if not dry_run:
        Store(store).check_writable()
    job = plan_report(
        evaluation or (),
        Store(store),
        data=data or (),
        name=name,
        title=title,
        queries=queries,
        pictures=pictures,
        heat_maps=heat_maps,
        people=map_people,
        most_megabytes=max_size,
        seed=seed,
        device=device,
        workers=workers,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bars("steps") as tell:
        artifact = make_report(job, tell)
    page = artifact.path / PAGE
    if output is not None:
        _copy(page, output)
    told = {"report": artifact.ref, "page": str(output or page), **artifact.manifest.metrics}
    if json_:
        console.print_json(json.dumps(told))
        return
    height = told["picture_height"]
    shown = f"{told['pictures']} pictures, up to {height} pixels high" if told["pictures"] else "no pictures"
    console.print(f"{told['page']}: {told['bytes'] / 1e6:.1f} MB, {shown}", markup=False, soft_wrap=True)
    say(f"wrote report/{artifact.ref} to {artifact.path}")


def _check_output(path: Path, force: bool) -> None:
    """Before the work.

    Raises:
        UserError: it is there, a folder, or its own folder is not there.
    """
    from reidclip.errors import UserError

    if path.is_dir():
        raise UserError(f"{path} is a folder.", "Name a file with --output, for example report.html.")
    if path.exists() and not force:
        raise UserError(f"{path} is there already.", "Name another file with --output, or overwrite it with --force.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder {path.absolute().parent}.", "Make it first, or write the file elsewhere.")


def _copy(page: Path, path: Path) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        shutil.copyfile(page, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
