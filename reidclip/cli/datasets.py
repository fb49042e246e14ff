"""`reidclip datasets`: which data sets are supported, where to get them, and whether a copy is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet

app = typer.Typer(
    no_args_is_help=True,
    help="Data sets: what is supported, whether a copy is whole, pictures out of a release, random splits, copies without faces.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `reidclip datasets list` shows it.")]
Folder = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the data set.")]
Counts = Annotated[bool, typer.Option("--counts/--no-counts", help="Compare with the published counts; not for a part of a data set.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open every picture and look for copies; without, labels alone are checked.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on warnings as well.")]
Show = Annotated[int, typer.Option("--show", metavar="N", min=0, help="Name at most N files per finding; --json names all.")]
SplitFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write the splits as JSON to this file.", show_default=False)
]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Also write the report as JSON to this file.", show_default=False)
]


@app.command("list")
def list_datasets(json_: options.Json = False, verbose: options.Verbose = False, quiet: options.Quiet = False) -> None:
    """List the data sets that are supported; each is recognised from its tree.

    One that cannot be loaded is a line with its error. `reidclip datasets show NAME` tells where to ask for a data set, which
    tree is expected and every published count.
    """
    set_quiet(quiet)
    from reidclip.cli import datasets_view as view
    from reidclip.stages.datasets import list_layouts
    from reidclip.synth.benchmarks import BENCHMARKS

    layouts = list_layouts()
    if json_:
        rendered = {name: {"title": known.title, **known.parameters} for name, known in BENCHMARKS.items()}
        _print_json({"datasets": [layout.as_json() for layout in layouts], "rendered": rendered})
        return
    console.print(view.list_table([layout for layout in layouts if layout.error is None]))
    for layout in layouts:
        if layout.error is not None:
            console.print(view.broken_line(layout), markup=False, soft_wrap=True)
    console.print(view.benchmark_table(BENCHMARKS))
    say("Tree, source and all counts of one: reidclip datasets show NAME")


@app.command()
def show(name: Name, json_: options.Json = False, verbose: options.Verbose = False, quiet: options.Quiet = False) -> None:
    """Show where to ask for a data set, the tree that is expected, its protocols, and its published counts with how well each is known.

    Example: reidclip datasets show prcc
    """
    set_quiet(quiet)
    from reidclip.cli import datasets_view as view
    from reidclip.stages.datasets import show_layout

    layout = show_layout(name)
    if json_:
        _print_json(layout.as_json())
    else:
        view.print_layout(layout)


@app.command()
def verify(
    data: Folder,
    dataset: options.Dataset = None,
    counts: Counts = True,
    open_: Open = True,
    strict: Strict = False,
    show_files: Show = 5,
    output: Output = None,
    workers: options.Workers = None,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Verify a copy of a data set: counts against the published ones, every protocol, every picture.

    Opens all pictures; names those that are unreadable, cut off or empty, and those that are there twice: worst, under two
    identities or in training and test. Counts the queries of every protocol that have a match.
    Exit code 1 when anything is at fault; warnings and notes are printed only ([bold]--strict[/] makes warnings count).
    Changes nothing. Rendered sets (synth.json) are not compared with published counts; the fixed benchmarks of `reidclip synth --preset`
    are compared with their own counts and digests.

    Example: reidclip datasets verify data/prcc
    """
    set_quiet(quiet)
    from reidclip.cli import verify_view as view
    from reidclip.errors import UserError
    from reidclip.stages.verify import verify as verify_data

    if output is not None and (output.is_dir() or not output.parent.is_dir()):  # told now, not after minutes of reading
        raise UserError(f"{output} is no place for a file.", "Name a file in a folder that exists.")
    with progress_bar("open") as progress:
        report = verify_data(data, dataset, counts=counts, open_pictures=open_, workers=workers, progress=progress)
    told = report.as_json(strict)
    if output is not None:
        output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if json_:
        _print_json(told)
    else:
        view.print_report(report, show_files, strict)
    if not report.passed(strict):
        raise typer.Exit(1)


@app.command()
def extract(data: Folder, json_: options.Json = False, verbose: options.Verbose = False, quiet: options.Quiet = False) -> None:
    """Take the pictures out of a release that keeps them in one file: CUHK03's cuhk-03.mat.

    Writes images_labeled/, images_detected/ (PNG) and testsets.json (the 20 classic test sets) beside it. Pictures that are there are left
    as they are: repeated, it goes on where it was interrupted. Needs h5py: pip install 'reidclip\\[cuhk03]'.

    Example: reidclip datasets extract data/cuhk03
    """
    set_quiet(quiet)
    from reidclip.stages.datasets_extract import extract as extract_pictures

    with progress_bar("extract") as progress:
        done = extract_pictures(data, progress)
    if json_:
        _print_json({"root": str(done.root), "pictures": done.pictures, "written": done.written})
    else:
        for folder, number in done.pictures.items():
            console.print(f"{folder}: {number:,} pictures", markup=False)
        say(f"wrote {done.written:,} pictures and testsets.json in {done.root}")


@app.command()
def splits(
    data: Folder,
    dataset: options.Dataset = None,
    output: SplitFile = None,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Show the random splits of a data set that an evaluation averages over, or write them to a file.

    They are those of a file in the data's folder (reidclip-splits.json, or what published programs keep: splits.json,
    splits_single_shot.json); without one they are drawn, from sorted names and a fixed seed, the same on every machine. A file written here
    and put into the folder as reidclip-splits.json pins them.

    Example: reidclip datasets splits data/viper --output viper-splits.json
    """
    set_quiet(quiet)
    from reidclip.errors import UserError
    from reidclip.stages.datasets_splits import read_splits

    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise UserError(f"{output} is no place for a file.", "Name a file in a folder that exists.")
    found = read_splits(data, dataset)
    if output is not None:
        found.write(output)
    if json_:
        _print_json(found.document)
        return
    for name, sides in found.document["splits"].items():
        console.print(f"{name}: " + ", ".join(f"{side} {len(paths):,}" for side, paths in sides.items()), markup=False)
    console.print(f"digest {found.document['digest']}", markup=False, soft_wrap=True)
    for note in found.dataset.notes:
        say(f"note: {note}")
    if output is not None:
        say(f"wrote {output}")


@app.command("blur-faces")
def blur_faces(
    data: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the copy; it must not be there yet.")],
    parsing: Annotated[
        str | None,
        typer.Option(
            "--parsing",
            metavar="REF|DIR",
            help="Parsing artifact, or a folder of label maps made elsewhere. Default: the newest of this data.",
            show_default=False,
        ),
    ] = None,
    label_set: Annotated[
        str | None,
        typer.Option(
            "--label-set",
            metavar="NAME|FILE",
            help="Labels of maps made elsewhere: lip, atr, pascal, scnet, or a TOML file. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    dataset: options.Dataset = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Copy a data set with every face blurred past recognition, for other programs; training and evaluation here take --blur-faces.

    Labels Face and Sunglasses (Head where a label set has no faces) are blurred by a Gaussian of a quarter of the face's size; hair stays.
    Other pictures, lists and tables are copied as they are; JPEGs are written at quality 97. The copy says of itself what it is
    (blurred-faces.json), and is read by the same layout.

    Example: reidclip parse data/prcc && reidclip datasets blur-faces data/prcc data/prcc-blur
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages.datasets_blur import blur_copy, plan_blur

    plan = plan_blur(data, out, Store(store), parsing=parsing, label_set=label_set, layout=dataset, say=say)
    with progress_bar("blur") as progress:
        copy = blur_copy(plan, progress)
    if json_:
        counts = {"pictures": copy.pictures, "blurred": copy.blurred, "not_copied": copy.not_copied}
        _print_json({"root": str(copy.root), "labels": list(plan.names), **counts})
        return
    for note in copy.notes():
        say(f"note: {note}")
    console.print(
        f"wrote {copy.root}: {copy.pictures:,} pictures, faces of {copy.blurred:,} blurred ({' and '.join(plan.names)})",
        markup=False,
        soft_wrap=True,
    )


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))
