"""``reidclip mask``: options -> stages -> summary line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reidclip.cli import options
from reidclip.cli.parse import Parser, Precision, Weights, early_checks, for_parser, tell

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.stages.label_maps import LabelMaps


def mask(
    data: options.Sources = None,
    parser: Parser = "schp",
    parsing: Annotated[
        str | None,
        typer.Option(
            "--parsing",
            metavar="REF|DIR",
            help="Parsing artifact, or a folder of label maps made elsewhere. Default: the newest that fits, else parse now.",
            show_default=False,
        ),
    ] = None,
    label_set: Annotated[
        str | None,
        typer.Option(
            "--label-set",
            metavar="NAME|FILE",
            help="Labels of maps made elsewhere: lip, atr, pascal, scnet, or a TOML file (labels, clothes). Default: inferred.",
            show_default=False,
        ),
    ] = None,
    list_labels: Annotated[
        bool, typer.Option("--list-labels", help="Print every label set (or the one of --label-set) with what is clothes in it, and stop.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a contact sheet: original, labels, shielding, clothes.")] = False,
    weights: Weights = None,
    precision: Precision = None,
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option(
            "--on-error", help="At a broken picture, or one without a label map: stop, or leave it out and say so in the artifact."
        ),
    ] = "fail",
    dataset: options.Layouts = None,
    name: options.Name = None,
    config: options.Config = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    workers: options.Workers = None,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Mask the clothes of every picture (M of CCAF eq. 4).

    Reads a data set or any folder of pictures; parses it first when that is not done yet; writes a [bold]masks[/] artifact.
    Settings (--set): clothes, a list of labels, by default the label set's own table (LIP, ATR, Pascal ...; see --list-labels);
    dilation and min_area in pixels; shielding, the colour in place of clothes; when_all_clothes (keep-picture or shield); for label
    maps made elsewhere resize and colours; those of the parser begin with "parse.". Several processes (torchrun) share the parsing; the
    first one makes the masks.

    Example: reidclip mask data/prcc --parser schp --preview
    """
    from reidclip.cli.console import console, progress_bar, say, set_quiet

    set_quiet(quiet)
    if list_labels:
        tell_labels(label_set, json_)
        return
    early_checks(parser, weights, store, dry_run)
    from reidclip.artifacts.store import Store
    from reidclip.parallel.processes import is_first, joined
    from reidclip.stages.plan_pictures import plan_mask

    plan = plan_mask(
        data,
        Store(store),
        parser=parser,
        parsing=parsing,
        label_set=label_set,
        layout=dataset,
        config=config,
        assignments=for_parser(set_, weights, precision, "parse."),
        name=name,
        preview=preview,
        device=device,
        workers=workers,
        on_error=on_error,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(plan.plan()))
        return
    label_maps: LabelMaps | Artifact | None = plan.label_maps
    if label_maps is None and plan.parse_plan is not None:
        with joined(plan.parse_plan.device), progress_bar("parse") as progress:
            made = plan.parse(progress)
        say(f"wrote parsing/{made.ref}")
        label_maps = made
    if not is_first() or label_maps is None:
        return  # the first process makes the masks: that is reading and writing small files
    with progress_bar("mask") as progress:
        artifact = plan.run(label_maps, progress)
    tell(artifact, json_)


def tell_labels(name: str | None, as_json: bool) -> None:
    """The label sets on stdout: every label with its number, and whether it is clothes by default."""
    from reidclip.cli.console import console
    from reidclip.data.label_set_file import label_set_for
    from reidclip.data.label_sets import LABEL_SETS

    chosen = list(LABEL_SETS.values()) if name is None else [label_set_for(name)]
    if as_json:
        rows = [{"name": s.name, "labels": list(s.labels), "clothes": list(s.clothes), "note": s.note} for s in chosen]
        console.print_json(json.dumps(rows))
        return
    for label_set in chosen:
        console.print(f"{label_set.name}: {len(label_set.labels)} labels. {label_set.note}".rstrip(), markup=False, soft_wrap=True)
        for index, label, clothes in label_set.table():
            console.print(f"  {index:3d}  {label}{'  (clothes)' if clothes else ''}", markup=False)
