"""``reidclip mask``: options -> stages -> summary line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.parse import OnError, Parser, Weights, tell, with_weights


def mask(
    data: options.Data = None,
    parser: Parser = "schp",
    parsing: Annotated[
        str | None,
        typer.Option(
            "--parsing",
            metavar="REF|DIR",
            help="Parsing artifact, or a folder of LIP label maps made elsewhere. Default: the newest that fits, else parse now.",
            show_default=False,
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a contact sheet: original, labels, shielding, clothes.")] = False,
    weights: Weights = None,
    on_error: OnError = "fail",
    dataset: options.Dataset = None,
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
    Settings: clothes (list of labels), dilation and min_area in pixels; those of the parser begin with "parse.".

    Example: reidclip mask data/prcc --parser schp --preview
    """
    from reidclip.artifacts.store import Store
    from reidclip.cli.console import console, progress_bar, say, set_quiet
    from reidclip.stages.plan_pictures import plan_mask

    set_quiet(quiet)
    plan = plan_mask(
        data,
        Store(store),
        parser=parser,
        parsing=parsing,
        layout=dataset,
        config=config,
        assignments=with_weights(set_, weights, "parse.weights"),
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
    label_maps = plan.label_maps
    if label_maps is None:
        with progress_bar("parse") as progress:
            label_maps = plan.parse(progress)
        say(f"wrote parsing/{label_maps.ref}")
    with progress_bar("mask") as progress:
        artifact = plan.run(label_maps, progress)
    tell(artifact, json_)
