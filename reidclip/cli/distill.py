"""``reidclip distill``: options -> stage -> summary line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet
from reidclip.cli.training import note_on_weights, tell

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.records import Dataset
    from reidclip.stages.describe import DescribeJob
    from reidclip.stages.distill import DistillJob


def distill(
    data: options.Sources = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="Method to distil by. Default: clip3dreid; rkd if the teacher is a checkpoint.", show_default=False),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student",
            help="Network that is trained: resnet50:imagenet, timm:NAME, timm:NAME:FILE, random:timm:NAME; short for --set student=...",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="What it learns from: a CLIP (reidclip-tiny, ViT-L-14:openai, a weights file), or for rkd a checkpoint (ccaf-prcc@v3); "
            "short for --set teacher=...",
            show_default=False,
        ),
    ] = None,
    meshes: Annotated[
        Path | None,
        typer.Option("--meshes", metavar="DIR", help="Rendered bodies: reidclip synth DIR --meshes.", show_default=False),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            "--body",
            metavar="NAME[:FILE]",
            help="Body model of the meshes: anny, smpl:FILE. Default: the one they name.",
            show_default=False,
        ),
    ] = None,
    descriptions: Annotated[
        str | None,
        typer.Option(
            "--descriptions", help="Descriptions artifact. Default: the newest that fit; made first if there are none.", show_default=False
        ),
    ] = None,
    label_only: Annotated[
        bool, typer.Option("--label-only", help="Describe the pictures (descriptions artifact), show the table of phrases, and stop.")
    ] = False,
    all_pictures: Annotated[
        bool, typer.Option("--all-pictures", help="Describe those of test splits too. Default: only where the data set is not large.")
    ] = False,
    blur_faces: options.BlurFaces = None,
    parsing: options.Parsing = None,
    dataset: options.Layouts = None,
    name: options.Name = None,
    recipe: options.Recipe = None,
    config: options.Config = None,
    set_: options.Set = None,
    fresh: options.Fresh = False,
    save_every: options.SaveEvery = 120.0,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    on_error: options.SkipBroken = "fail",
    compile_: options.Compile = False,
    accumulate: options.Accumulate = 1,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a small student on what a teacher knows.

    Reads a data set and a teacher: a CLIP that describes bodies in words (clip3dreid, with rendered bodies), or a fine-tuned checkpoint
    (rkd). Writes a [bold]checkpoint[/] artifact; at test time the student runs alone. An interrupted run goes on when the same command is
    given again.

    Example: reidclip synth data/meshes --meshes && reidclip distill data/prcc --teacher ViT-L-14:openai --meshes data/meshes

    Example: reidclip distill data/prcc --teacher ccaf-prcc@v3 --student timm:mobilenetv4_conv_small

    Example: reidclip distill data/prcc --label-only --teacher reidclip-tiny
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages.choose import method_for

    if not dry_run:
        Store(store).check_writable()
    if method is not None:
        method_for(method, "distill")  # a wrong name is told before the seconds that importing torch takes
    from reidclip.stages.distill import plan_distill, plan_labels

    place = Store(store, dry=dry_run)
    common: dict[str, Any] = {
        "method": method,
        "layout": dataset,
        "recipe": recipe,
        "config": config,
        "assignments": options.assignments(set_, student=student, teacher=teacher, blur_faces=blur_faces),
        "descriptions": descriptions,
        "parsing": parsing,
        "name": name,
        "seed": seed,
        "device": device,
        "precision": precision,
        "workers": workers,
        "on_error": on_error,
        "say": say,
    }
    if label_only:
        _label(*plan_labels(data, place, all_pictures=all_pictures or None, **common), dry_run=dry_run, as_json=json_)
        return
    job = plan_distill(
        data,
        place,
        meshes=meshes,
        body=body,
        save_seconds=save_every,
        compiled=compile_,
        accumulate=accumulate,
        cache=cache,
        **common,
    )
    if dry_run:
        note_on_weights(job.train.settings.network, "--student resnet50:FILE or --student timm:NAME:FILE")
        console.print_json(json.dumps(job.plan()))
    else:
        _train(job, fresh, json_)


def _label(dataset: Dataset, planned: DescribeJob | Artifact, *, dry_run: bool, as_json: bool) -> None:
    """Describe, or take the descriptions that are there, and show them."""
    from reidclip.parallel.processes import is_first, joined
    from reidclip.stages.describe import DescribeJob, describe
    from reidclip.train.device import pick_device

    if dry_run:
        console.print_json(json.dumps(planned.plan() if isinstance(planned, DescribeJob) else {"descriptions": planned.ref}))
        return
    found = not isinstance(planned, DescribeJob)
    if isinstance(planned, DescribeJob):
        with joined(pick_device(planned.device)), progress_bars() as progress:
            planned = describe(planned, progress)
            first = is_first()
        if not first:
            return
    from reidclip.cli.describe_view import show
    from reidclip.stages.describe_table import description_table

    show(planned, description_table(planned, dataset), as_json, found)


def _train(job: DistillJob, fresh: bool, as_json: bool) -> None:
    from reidclip.parallel.processes import is_first, joined, wait_for_all
    from reidclip.stages.distill import described
    from reidclip.stages.distill import distill as run
    from reidclip.stages.train_run import start_over
    from reidclip.train.device import pick_device

    with joined(pick_device(job.train.device)), progress_bars() as progress:
        training = described(job, progress)
        if fresh and is_first():
            start_over(training)
        wait_for_all()
        artifact = run(training, progress)
    if artifact is not None:
        tell(artifact, as_json)
