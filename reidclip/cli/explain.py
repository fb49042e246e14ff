"""``reidclip explain``: options -> stage -> sheets and a table of shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet
from reidclip.counted import counted, which


def explain(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Checkpoint artifact, ccaf-prcc@v1.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Pictures, folders, or a data set.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New folder for sheets, overlays and tables.", show_default=False)
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Another checkpoint, side by side, same scale; may be repeated.", show_default=False),
    ] = None,
    map_: Annotated[
        str,
        typer.Option("--map", help="gradient, rollout (ViT); hirescam, gradcam (ResNet); auto takes the first; transport (distilled)."),
    ] = "auto",
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            "--phrase",
            help='Of --map transport: "long legs", or "all" pairs; may be repeated. Default: the six pairs whose maps are least even.',
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Of --map transport: where the CLIP of the distillation lies, which says what phrases fit. Default: where it was then.",
            show_default=False,
        ),
    ] = None,
    towards: Annotated[
        Path | None,
        typer.Option("--towards", help="Explain the similarity to this picture, not the picture's own feature.", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Label maps of the pictures: a folder, or a parsing or masks artifact. Adds the share of attention on clothes.",
            show_default=False,
        ),
    ] = None,
    label_set: Annotated[
        str | None,
        typer.Option("--label-set", help="Of a folder of label maps: lip, atr, ... or FILE.toml. Default: inferred.", show_default=False),
    ] = None,
    shares_only: Annotated[bool, typer.Option("--shares-only", help="Draw nothing: only the shares, for thousands of pictures.")] = False,
    split: Annotated[str | None, typer.Option("--split", help="Split of the data set: query, gallery, ...", show_default=False)] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="So many pictures at random. Default: 24 of a folder that is drawn.", show_default=False),
    ] = None,
    per_sheet: Annotated[int, typer.Option("--per-sheet", min=1, help="Pictures on one sheet.")] = 24,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures per forward.")] = 32,
    dataset: options.Dataset = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: options.Workers = None,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw where a checkpoint's features come from, and measure how much of it is clothes.

    Heat maps over pictures: for a ViT gradient-weighted attention (Chefer et al. 2021) or attention rollout (Abnar and Zuidema 2020),
    for a ResNet HiResCAM (Draelos and Carin 2020) or Grad-CAM (Selvaraju et al. 2017) on the last map. The score behind the gradients
    is the similarity to the picture's own feature, or with --towards to another picture's, which the sheets show first. Writes sheets with
    every picture beside its overlays, each overlay as a file, explain.json and, with --labels, shares.csv: which share of a map lies on
    clothes, head, limbs, background (with masks: on clothes, or not); "lift" divides it by the share of pixels there, so that 1.0 is a map
    without preference. Brackets: bootstrap 95% interval over pictures. Of a tracklet the frame in its middle is shown.

    --map transport shows where a distilled student finds each phrase (CLIP3DReID, Liu et al. 2024, figure 3): of the plan that moves its
    places to words about the body, the part of every phrase. Of a pair (tall / short) the phrase is taken that fits the picture, as the
    CLIP says that the student was distilled from; where that is not on this machine, as the student says, which is told.

    Example: reidclip explain ccaf-prcc data/prcc --split test-C --against baseline-prcc --labels parsing/schp-prcc --output looks

    A whole split in numbers alone: reidclip explain ccaf-prcc data/prcc --split test-C --labels parsing/schp-prcc --shares-only
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages import explain_report
    from reidclip.stages.explain import explain as run_job
    from reidclip.stages.explain import plan_explain

    job = plan_explain(
        checkpoint,
        images,
        Store(store),
        against=against or (),
        output=output,
        shares_only=shares_only,
        layout=dataset,
        split=split,
        limit=limit,
        labels=labels,
        label_set=label_set,
        map=map_,
        phrases=phrase or (),
        teacher=teacher,
        towards=towards,
        per_sheet=per_sheet,
        batch_size=batch_size,
        device=device,
        workers=workers,
        seed=seed,
        say=say,
    )
    with progress_bar("maps") as progress:
        results = run_job(job, progress)
    told = explain_report.summary(job, results)
    if job.output is not None:
        with progress_bar("sheets") as progress:
            told["sheets"] = explain_report.write(job, results, progress)
        told["output"] = str(job.output)
    if json_:
        console.print_json(json.dumps(told))
    else:
        _print(told)
        if job.output is not None:
            sheets = counted(len(told["sheets"]), "sheet", "sheets")
            say(f"wrote {sheets} to {job.output}" if told["sheets"] else f"wrote {job.output}")


def _print(told: Mapping[str, Any]) -> None:
    for one in told["checkpoints"]:
        if "phrase" in one:
            _print_phrase(one, told)
        if told["labels"]:
            _print_shares(one, told)
        elif "phrase" not in one:
            console.print(f"{one['checkpoint']}: {one['map']} of {told['pictures']} pictures", markup=False, soft_wrap=True)
        if one["zero"]:
            zero = one["zero"]
            told_zero = counted(
                len(zero), "picture has a map that is zero everywhere and is", "pictures have a map that is zero everywhere and are"
            )
            console.print(f"{told_zero} left out of the shares; {which(zero)}", markup=False, soft_wrap=True)
    for note in told["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for row in told.get("more_on_clothes", ()):
        if row["difference"]:
            low, high = row["difference"]["interval"]
            points = f"{100 * row['difference']['mean']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
            of = f"{row['phrase']} on clothes" if "phrase" in row else "on clothes"
            console.print(f"{of}, {row['checkpoint']} against {row['than']}: {points}", markup=False, soft_wrap=True)


def _print_phrase(one: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    said = ", ".join(f"{name} {count}" for name, count in one["said"].items())
    by = "the student" if one["chosen_by"] == "student" else one["chosen_by"]
    even = f"{100 * one['evenness']:.2f}% even"
    line = f"{one['checkpoint']}: {one['phrase']}: transport of {told['pictures']} pictures, {even} ({said}; by {by})"
    console.print(line, markup=False, soft_wrap=True)


def _print_shares(one: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    caption = f"{one['map']}, {told['pictures']} pictures; percent; brackets: bootstrap 95% interval over pictures; lift: mass / pixels"
    title = f"{one['checkpoint']}: {one['phrase']}" if "phrase" in one else one["checkpoint"]
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("region", "share of the map", "share of pixels", "lift"):
        table.add_column(column, justify="left" if column == "region" else "right")
    for name, share in one["shares"].items():
        low, high = share["interval"]
        lift = "-" if share["lift"] is None else f"{share['lift']:.2f}"
        if share["lift_interval"]:
            lift += " \\[{:.2f}, {:.2f}]".format(*share["lift_interval"])
        table.add_row(name, f"{100 * share['mass']:.1f} \\[{100 * low:.1f}, {100 * high:.1f}]", f"{100 * share['pixels']:.1f}", lift)
    console.print(table)
