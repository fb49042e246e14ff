"""``reidclip evaluate``: options -> stage -> table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet
from reidclip.cli.evaluate_shape import ONLY_RETRIEVAL, ONLY_SHAPE, check_task, run_shape
from reidclip.cli.evaluate_view import as_json, print_evaluation, print_summary, several_as_json
from reidclip.cli.training import note_on_weights


def evaluate(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="Folder of the data set, or of several, each evaluated; or one that holds the targets of a dg protocol. "
            "Default: the data of the newest fitting artifact.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="Checkpoint artifact, ccaf-prcc@v1. Default: the newest.", show_default=False)
    ] = None,
    task: Annotated[
        Literal["retrieval", "shape"],
        typer.Option("--task", help="Identities found again, or 3D bodies predicted (by checkpoints of distill with meshes)."),
    ] = "retrieval",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="general, same-clothes, cloth-changing, ...; may be repeated. Default: all of the data set but single-shot. "
            "Of generalisation: dg-1, dg-2:TARGET, dg-3:TARGET (sources and targets of CLIP-FGDI), checked against the checkpoint's.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        list[int] | None,
        typer.Option(
            "--split",
            metavar="N",
            min=0,
            help="Number, from 0, of one random split of the data; may be repeated. Default: the average over all of them.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="0,1,2",
            help="Also the checkpoints that differ from this one by the seed alone: mean and 95% interval over them.",
            show_default=False,
        ),
    ] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Evaluate the plain CLIP instead of a checkpoint.")] = False,
    clip: options.Clip = None,
    blur_faces: options.BlurFaces = None,
    parsing: options.Parsing = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average each feature with that of the mirrored picture; --set flip=true.")] = False,
    diagnostics: Annotated[
        bool,
        typer.Option(
            "--diagnostics",
            help="Also distances of pairs, prompts against pictures, clothes left in the feature, and a map of people; "
            "of several data sets, how well features tell them apart.",
        ),
    ] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Also by k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3); --set rerank_k1=50 changes one.")
    ] = False,
    expand: Annotated[
        int | None,
        typer.Option("--expand", metavar="N", min=1, help="Also with each query averaged with its N nearest.", show_default=False),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            "--body", metavar="NAME[:FILE]", help="With --task shape: the body model, where it reads your file.", show_default=False
        ),
    ] = None,
    export_mesh: Annotated[
        Path | None,
        typer.Option("--export-mesh", metavar="DIR", help="With --task shape: write predicted and true bodies there.", show_default=False),
    ] = None,
    mesh_format: Annotated[
        Literal["ply", "obj"] | None, typer.Option("--mesh-format", help="Of --export-mesh. Default: ply.", show_default=False)
    ] = None,
    export_people: Annotated[
        int | None, typer.Option("--export-people", min=1, help="How many people's, the first. Default: 10.", show_default=False)
    ] = None,
    dataset: options.Dataset = None,
    name: options.Name = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Pictures per forward. Default: 128.", show_default=False)
    ] = None,
    recipe: options.Recipe = None,
    config: options.Config = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate a checkpoint: exact CMC, mAP and mINP, with bootstrap 95% intervals over queries; or the 3D bodies that it predicts.

    Reads a data set and a checkpoint; writes an [bold]evaluation[/] artifact with metrics, per-query ranks and features. Prints the
    published numbers beside its own when the checkpoint's recipe and the data set are those of the paper, unchanged; data that it was
    not trained on is named as such. Several data sets give one artifact each, and one with their average (summary.json).
    With --diagnostics the artifact also holds diagnostics.json and diagnostics/*.png. --rerank and --expand add rows, and leave the plain
    numbers as they are, which alone are compared with published ones.
    Settings: flip, batch_size, resamples (of the bootstrap; 0 gives no intervals), diagnostics, map_people, rerank, rerank_k1, rerank_k2,
    rerank_lambda, expand, expand_alpha, expand_gallery.

    With --task shape: errors of bodies predicted from pictures of held-out people (a mesh set of `reidclip synth OUT --meshes`, or a
    rendered data set), by vertices, surfaces, measurements and words, beside those of the training bodies' mean. The artifact then holds
    shapes.safetensors, errors per picture and person, and a sheet, bodies.png. Settings: single_pictures, surface_samples,
    chamfer_pictures, chamfer_people, flip, batch_size, resamples.

    Example: reidclip evaluate data/prcc --protocol cloth-changing

    Example, tested on CUHK03, which none of three trainings saw: reidclip evaluate data --protocol dg-2:cuhk03 --seeds 0,1,2

    Example, of bodies: reidclip evaluate data/meshes --task shape --checkpoint clip3dreid-prcc --export-mesh bodies
    """
    set_quiet(quiet)
    retrieval = (protocol, split, seeds, zero_shot, clip, diagnostics, recipe, blur_faces, parsing, rerank, expand)
    shape = (body, export_mesh, mesh_format, export_people)
    check_task(task, dict(zip((*ONLY_RETRIEVAL, *ONLY_SHAPE), (*retrieval, *shape), strict=True)))
    from reidclip.artifacts.store import Store

    if not dry_run:
        Store(store).check_writable()
    assignments = [
        *(set_ or []),
        *options.assignments(None, blur_faces=blur_faces),
        *(["flip=true"] if flip else []),
        *(["diagnostics=true"] if diagnostics else []),
        *(["rerank=true"] if rerank else []),
        *([f"expand={expand}"] if expand else []),
        *([f"batch_size={batch_size}"] if batch_size else []),
    ]
    if task == "shape":
        run_shape(
            data or (),
            store,
            export=export_mesh,
            mesh_format=mesh_format,
            export_people=export_people,
            as_json=json_,
            dry_run=dry_run,
            checkpoint=checkpoint,
            layout=dataset,
            body=body,
            name=name,
            config=config,
            assignments=assignments,
            device=device,
            precision=precision,
            workers=workers,
            seed=seed,
            cache=cache,
        )
        return
    from reidclip.parallel.processes import joined
    from reidclip.stages.evaluate_several import run_several
    from reidclip.stages.plan_several import plan_several
    from reidclip.stages.seeds import parse_seeds
    from reidclip.train.device import pick_device

    job = plan_several(
        data or (),
        Store(store, dry=dry_run),
        checkpoint=checkpoint,
        zero_shot=zero_shot,
        clip=clip,
        protocols=protocol or (),
        splits=split or (),
        seeds=() if seeds is None else parse_seeds(seeds),
        layout=dataset,
        name=name,
        recipe=recipe,
        config=config,
        assignments=assignments,
        device=device,
        precision=precision,
        workers=workers,
        seed=seed,
        cache=cache,
        parsing=parsing,
        say=say,
    )
    if dry_run:
        if job.first.checkpoint is None:
            note_on_weights(job.first.clip)
        console.print_json(json.dumps(job.plan()))
        return
    unit = "tracklets" if any(s.frames for s in job.first.dataset.samples) else "images"
    with joined(pick_device(job.first.device)), progress_bars(unit) as tell:
        done = run_several(job, lambda what, at, total: tell("features" if job.single else f"features, {what}", at, total), tell)
    if done is None:
        return
    if json_:
        console.print_json(json.dumps(as_json(done.runs[0][0][0]) if job.single else several_as_json(done)))
        return
    for jobs, run in zip(job.runs, done.runs, strict=True):
        for one, (artifact, results) in zip(jobs, run, strict=True):
            if len(job.runs) == 1:  # of several seeds the summary alone
                print_evaluation(one, artifact, results)
            say(f"wrote evaluation/{artifact.ref} to {artifact.path}")
    if done.artifact is not None:
        print_summary(done)
        say(f"wrote evaluation/{done.artifact.ref} to {done.artifact.path}")
