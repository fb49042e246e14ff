"""``reidclip import``: options -> stage -> summary line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reidclip.cli import options
from reidclip.cli.console import console, say, set_quiet
from reidclip.importers.options import ImportOptions, read_size

if TYPE_CHECKING:
    from reidclip.stages.import_checkpoint import ImportJob

_HELD = "What the file does not say"


def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File of weights (.pth, .pt, .bin, .tar, .safetensors); of a CLIP also FILE::ARCH.")
    ],
    kind: Annotated[
        str, typer.Option("--kind", help="auto, clipreid, clip, schp or simple-ccreid: refuse a file that is anything else.")
    ] = "auto",
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Input size, 256x128. Default: what the weights' position table allows.",
            rich_help_panel=_HELD,
            show_default=False,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride",
            min=1,
            help="Stride of a ViT's patches, overall stride of a ResNet. Default: as --size.",
            rich_help_panel=_HELD,
            show_default=False,
        ),
    ] = None,
    neck: Annotated[
        Literal["before", "after"] | None,
        typer.Option(
            "--neck", help="Features before or after BatchNorm. Default: as published.", rich_help_panel=_HELD, show_default=False
        ),
    ] = None,
    sie_coefficient: Annotated[
        float | None,
        typer.Option(
            "--sie-coefficient",
            help="Factor of CLIP-ReID's camera embedding. Default: 1.",
            rich_help_panel=_HELD,
            show_default=False,
        ),
    ] = None,
    pooling: Annotated[
        Literal["max+avg", "avg", "max"] | None,
        typer.Option(
            "--pooling",
            help="Pooling of a ResNet-50: max+avg, avg or max. Default: max+avg where the widths fit.",
            rich_help_panel=_HELD,
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the artifact that is written. Default: made from kind and file.", show_default=False),
    ] = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Import weights of other programs as a [bold]checkpoint[/]: CLIP-ReID, CLIP, Simple-CCReID, SCHP.

    Reads tensors alone: a file that holds anything else is refused, and nothing in it is run.
    How features are made (normalisation, neck, mirror image) is as the paper's program does it.

    Example: reidclip import ViT-B-16_60.pth && reidclip evaluate data/market1501
    """
    set_quiet(quiet)
    told = ImportOptions(None if size is None else read_size(size), stride, neck, sie_coefficient, pooling)
    from reidclip.artifacts.store import Store

    if not dry_run:
        Store(store).check_writable()
    from reidclip.stages.import_checkpoint import import_checkpoint, plan_import

    job = plan_import(source, Store(store), kind=kind, name=name, options=told)
    for note in job.imported.notes:
        say(f"note: {note}")
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    artifact = import_checkpoint(job)
    if json_:
        console.print_json(json.dumps({"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), **_summary(job)}))
    else:
        console.print(f"{_sentence(job)}; wrote checkpoint/{artifact.ref} to {artifact.path}", markup=False, soft_wrap=True)


def _summary(job: ImportJob) -> dict[str, Any]:
    plan = job.plan()
    return {
        "imported": plan["kind"],
        "method": job.imported.method,
        **{key: plan[key] for key in ("source", "holds", "notes")},
        **job.imported.facts,
    }


def _sentence(job: ImportJob) -> str:
    """One line: what it is, for how many people, how it is read."""
    facts = job.imported.facts
    if job.imported.holds == "parser":
        return f"{facts['parser']}, {len(facts['labels'])} labels"
    people = f", trained on {facts['identities']} identities" if facts.get("identities") else ""
    height, width = facts["size"]
    return f"{job.imported.method}: {facts['architecture']}, {height}x{width} at stride {facts['stride']}{people}"
