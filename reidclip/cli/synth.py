"""``reidclip synth``: options -> stage -> summary line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet
from reidclip.cli.synth_meshes import check_options, render_meshes

LAYOUTS = ("prcc", "ltcc", "vcclothes", "market1501", "pairs")
"""Trees that can be written; `reidclip.synth.layouts` is not imported for their names alone."""
PRESETS = ("synthcc", "synthcc-ltcc", "synthcc-dom-1", "synthcc-dom-2", "synthcc-dom-3", "synthcc-dom-4")
"""The fixed benchmarks, `reidclip.synth.benchmarks`."""
STYLES = ("even", "summer-square", "winter-street", "indoor", "evening-park")
"""What `reidclip.synth.styles` knows."""
_NOT_FIXED = {"out", "preset", "workers", "json_", "dry_run", "verbose", "quiet"}


def synth(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; an unfinished set there is continued.")],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help=f"A fixed benchmark, all parameters pinned and the result checked: {', '.join(PRESETS)}.",
            show_default=False,
        ),
    ] = None,
    meshes: Annotated[
        bool, typer.Option("--meshes", help="Render bare bodies of known shape, grey and without texture, in place of dressed people.")
    ] = False,
    layout: Annotated[str, typer.Option("--layout", metavar="NAME", help=f"Tree that is written: {', '.join(LAYOUTS)}.")] = "prcc",
    ids: Annotated[int, typer.Option("--ids", min=1, help="Number of people; of bodies with --meshes (default then: 1000).")] = 60,
    test_ids: Annotated[
        int | None,
        typer.Option(
            "--test-ids",
            min=0,
            help="How many of them are for testing. Default: a third (prcc), half (ltcc, vcclothes, market1501), a tenth (--meshes).",
            show_default=False,
        ),
    ] = None,
    outfits: Annotated[
        int | None,
        typer.Option(
            "--outfits",
            min=0,
            help="Outfits per person. prcc, vcclothes: the first is worn under all cameras but the last, the others in turn under that "
            "(default 2). ltcc: two to so many (4). market1501: always 1. pairs: default a new one per picture.",
            show_default=False,
        ),
    ] = None,
    images_per_camera: Annotated[
        int,
        typer.Option(
            "--images-per-camera",
            min=1,
            help="Pictures per person and camera, ltcc: and outfit. Where the tree has a folder query, test people get one more for it.",
        ),
    ] = 4,
    cameras: Annotated[
        int | None,
        typer.Option(
            "--cameras", min=2, help="Number of cameras: 2 to 12 (ltcc), 2 to 6 (market1501). Default: the most.", show_default=False
        ),
    ] = None,
    distractors: Annotated[
        int | None,
        typer.Option(
            "--distractors",
            min=0,
            help="Gallery pictures named 0000: strangers, pieces of them, empty places (market1501). Default: 3 per test person.",
            show_default=False,
        ),
    ] = None,
    junk: Annotated[
        int | None,
        typer.Option(
            "--junk",
            min=0,
            help="Gallery pictures named -1: test people in badly cut boxes (market1501). Default: 3 per test person.",
            show_default=False,
        ),
    ] = None,
    val_images: Annotated[int, typer.Option("--val-images", min=0, help="Held-out pictures per training person and camera (prcc).")] = 0,
    control: Annotated[bool, typer.Option("--control", help="Add camera C in the clothes of camera A: rgb/test/C_same (prcc).")] = False,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            metavar="NAME",
            help=f"Places, cameras, season and resolution of the whole set: {', '.join(STYLES)} (not pairs). Default: a mixture.",
            show_default=False,
        ),
    ] = None,
    poses: Annotated[
        int | None, typer.Option("--poses", min=1, help="Pictures per body (--meshes). Default: 10.", show_default=False)
    ] = None,
    body: Annotated[
        str | None,
        typer.Option("--body", metavar="NAME[:FILE]", help="Body model (--meshes): anny, smpl:FILE. Default: anny.", show_default=False),
    ] = None,
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

    prcc: cameras A and B in one outfit, C in others; training and test people.

    ltcc: 12 cameras, people in several outfits and some in constant clothes; train, query, test and the lists in info.

    vcclothes: 4 cameras, the fourth in other clothes; train, query, gallery.

    market1501: 6 cameras, one outfit; bounding_box_train, query, and bounding_box_test with distractors and junk.

    pairs: one flat folder, a new outfit and place in every picture, for pre-training.

    --meshes renders bare bodies in place of people, for distillation with shape: with the shape parameters, the measurements and the words
    that are true of each (bodies.safetensors). Sets of dressed people get that table too, where they lack it by the same command again.

    --preset synthcc makes the cloth-changing benchmark that numbers are published on, -ltcc the same idea with two to eight outfits per
    person, -dom-1 to -dom-4 four domains for generalisation.

    Example: reidclip synth data/synth --layout ltcc --ids 60 --outfits 3

    Example: reidclip synth data/synthcc --preset synthcc

    Example: reidclip synth data/meshes --meshes
    """
    set_quiet(quiet)
    given = _given(context)
    check_options(given | ({"preset"} if preset is not None else set()), meshes)
    if meshes:
        asked = {"ids": ids if "ids" in given else None, "test_ids": test_ids, "poses": poses, "body": body}
        drawn = {"size": _size(size), "seed": seed} | {name: value for name, value in asked.items() if value is not None}
        return render_meshes(out, drawn, workers=workers, dry_run=dry_run, as_json=json_)
    from reidclip.stages.benchmarks import OTHER_PIXELS, render_benchmark
    from reidclip.stages.synth import default_workers, pictures_of, plan_synth
    from reidclip.stages.synth import synth as render

    parameters = {
        "layout": layout,
        "ids": ids,
        "test_ids": test_ids,
        "outfits": outfits,
        "images_per_camera": images_per_camera,
        "val_images": val_images,
        "control": control,
        "cameras": cameras,
        "distractors": distractors,
        "junk": junk,
        "size": _size(size),
        "seed": seed,
        "style": style,
    }
    if preset is not None:
        parameters = _pinned(given, preset)
    plan = plan_synth(**parameters)  # type: ignore[arg-type]
    if dry_run:
        console.print_json(json.dumps({"command": "synth", "out": str(out), **plan.as_dict(), "pictures": sum(pictures_of(plan).values())}))
        return
    with progress_bar("Rendering", "pictures") as progress:
        if preset is None:
            summary, check = render(out, workers=workers or default_workers(), progress=progress, **parameters), None  # type: ignore[arg-type]
        else:
            summary, check = render_benchmark(preset, out, workers=workers or default_workers(), progress=progress)
    if check is not None and not check.pixels:
        say(f"{preset}: {OTHER_PIXELS}")
    if json_:
        result = {
            "out": str(summary.out),
            "layout": summary.layout,
            "identities": summary.identities,
            "pictures": summary.pictures,
            "rendered": summary.rendered,
            "seconds": round(summary.seconds, 2),
        }
        if check is not None:
            result |= {"preset": check.name, "same_pixels": check.pixels}
        console.print_json(json.dumps(result))
        return
    rate = summary.rendered / max(summary.seconds, 1e-9)
    say(f"{summary.rendered} of {summary.pictures} pictures rendered in {summary.seconds:.1f} s ({rate:.1f} per second).")
    console.print(f"{summary.out}: {summary.pictures} pictures of {summary.identities} people, layout {summary.layout}", soft_wrap=True)


def _given(context: typer.Context) -> set[str]:
    """Options on the command line that decide what is rendered."""
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in _NOT_FIXED}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _pinned(given: set[str], preset: str) -> dict[str, object]:
    """The parameters of a benchmark; giving one of them as well is a mistake."""
    from reidclip.errors import UserError
    from reidclip.synth.benchmarks import benchmark

    parameters = dict(benchmark(preset).parameters)
    also = sorted(given)
    if also:
        named = ", ".join("--" + name.replace("_", "-") for name in also)
        raise UserError(f"The preset {preset} fixes {named}.", "Leave out the preset or those options; a set of your own is no benchmark.")
    return parameters


def _size(text: str) -> tuple[int, int]:
    """``256x128`` -> (256, 128)."""
    from reidclip.errors import UserError

    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() for p in parts):
        raise UserError(f"--size must look like 256x128 (height x width), not '{text}'.", "For example: --size 256x128")
    return int(parts[0]), int(parts[1])
