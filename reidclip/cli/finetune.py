"""``reidclip finetune``: options -> stage -> summary line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reidclip.cli import options
from reidclip.cli.training import run_training

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.stages.train_job import Progress, TrainJob


def finetune(
    data: options.Sources = None,
    method: Annotated[
        str | None, typer.Option("--method", help="Method to fine-tune by. Default: that of the newest prompts.", show_default=False)
    ] = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="Prompts artifact, ccaf-prcc@v3. Default: the newest that fit.", show_default=False)
    ] = None,
    masks: Annotated[
        str | None, typer.Option("--masks", help="Masks artifact. Default: the newest of this data.", show_default=False)
    ] = None,
    blur_faces: options.BlurFaces = None,
    parsing: options.Parsing = None,
    clip: options.Clip = None,
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
    """Fine-tune the image encoder by a method.

    Reads a data set, prompts and masks when the method needs them; writes a [bold]checkpoint[/] artifact. An interrupted run goes on when
    the same command is given again.

    Example: reidclip finetune data/prcc --method ccaf --recipe prcc --prompts ccaf-prcc@v1
    """

    def plan() -> TrainJob:
        from reidclip.artifacts.store import Store
        from reidclip.cli.console import say
        from reidclip.stages.choose import method_for

        if not dry_run:
            Store(store).check_writable()
        if method is not None:
            method_for(method, "finetune")  # a wrong name is told before the seconds that importing torch takes
        from reidclip.stages.finetune import plan_finetune

        return plan_finetune(
            data,
            Store(store, dry=dry_run),
            method=method,
            layout=dataset,
            recipe=recipe,
            config=config,
            assignments=options.assignments(set_, clip, blur_faces=blur_faces),
            prompts=prompts,
            masks=masks,
            parsing=parsing,
            name=name,
            seed=seed,
            device=device,
            precision=precision,
            workers=workers,
            save_seconds=save_every,
            compiled=compile_,
            accumulate=accumulate,
            cache=cache,
            on_error=on_error,
            say=say,
        )

    def run(job: TrainJob, progress: Progress) -> Artifact | None:
        from reidclip.stages.finetune import finetune as run_job

        return run_job(job, progress)

    run_training(plan, run, fresh=fresh, as_json=json_, dry_run=dry_run, quiet=quiet)
