"""``reidclip synth``: options -> stage -> summary line."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet


class Layout(str, Enum):
    """Trees that can be written."""

    prcc = "prcc"
    pairs = "pairs"


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; an unfinished set there is continued.")],
    layout: Annotated[
        Layout, typer.Option("--layout", help="prcc: cameras A, B, C with other clothes in C. pairs: flat, for pre-training.")
    ] = Layout.prcc,
    ids: Annotated[int, typer.Option("--ids", min=1, help="Number of people.")] = 60,
    test_ids: Annotated[
        int | None, typer.Option("--test-ids", min=0, help="How many of them are for testing. Default: a third.", show_default=False)
    ] = None,
    outfits: Annotated[
        int | None,
        typer.Option(
            "--outfits",
            min=0,
            help="Outfits per person. prcc: the first is worn under A and B, the others in turn under C (default 2). "
            "pairs: default a new one per picture.",
            show_default=False,
        ),
    ] = None,
    images_per_camera: Annotated[int, typer.Option("--images-per-camera", min=1, help="Pictures per person and camera.")] = 4,
    val_images: Annotated[int, typer.Option("--val-images", min=0, help="Held-out pictures per training person and camera (prcc).")] = 0,
    control: Annotated[bool, typer.Option("--control", help="Add camera C in the clothes of camera A: rgb/test/C_same (prcc).")] = False,
    size: Annotated[str, typer.Option("--size", metavar="HxW", help="Height and width of the pictures.")] = "256x128",
    seed: options.Seed = 0,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes. Default: one per core.", show_default=False)] = None,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Render a data set of people whose identity does not depend on their clothes.

    Writes pictures, exact LIP label maps (parsing/), captions and all attributes (attributes.jsonl). The same seed gives the
    same bytes. An interrupted run continues when repeated.

    Example: reidclip synth data/synth --layout prcc --ids 60 --outfits 3
    """
    set_quiet(quiet)
    from reidclip.stages.synth import default_workers, plan_synth
    from reidclip.stages.synth import synth as render

    worn = outfits if outfits is not None else (2 if layout is Layout.prcc else 0)
    parameters = {
        "layout": layout.value,
        "ids": ids,
        "test_ids": test_ids,
        "outfits": worn,
        "images_per_camera": images_per_camera,
        "val_images": val_images,
        "control": control,
        "size": _size(size),
        "seed": seed,
    }
    plan = plan_synth(**parameters)  # type: ignore[arg-type]
    if dry_run:
        console.print_json(json.dumps({"command": "synth", "out": str(out), **plan.as_dict()}))
        return
    with progress_bar("Rendering", "pictures") as progress:
        summary = render(out, workers=workers or default_workers(), progress=progress, **parameters)  # type: ignore[arg-type]
    if json_:
        result = {
            "out": str(summary.out),
            "layout": summary.layout,
            "identities": summary.identities,
            "pictures": summary.pictures,
            "rendered": summary.rendered,
            "seconds": round(summary.seconds, 2),
        }
        console.print_json(json.dumps(result))
        return
    rate = summary.rendered / max(summary.seconds, 1e-9)
    say(f"{summary.rendered} of {summary.pictures} pictures rendered in {summary.seconds:.1f} s ({rate:.1f} per second).")
    console.print(f"{summary.out}: {summary.pictures} pictures of {summary.identities} people, layout {summary.layout}", soft_wrap=True)


def _size(text: str) -> tuple[int, int]:
    """``256x128`` -> (256, 128)."""
    from reidclip.errors import UserError

    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() for p in parts):
        raise UserError(f"--size must look like 256x128 (height x width), not '{text}'.", "For example: --size 256x128")
    return int(parts[0]), int(parts[1])
