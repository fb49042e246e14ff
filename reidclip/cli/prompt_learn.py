"""``reidclip prompt-learn``: options -> stage -> summary line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reidclip.cli import options
from reidclip.cli.training import run_training

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.stages.train_job import Progress, TrainJob


def prompt_learn(
    data: options.Sources = None,
    method: Annotated[
        str | None, typer.Option("--method", help="Method whose prompts to learn. Default: ccaf.", show_default=False)
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
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn text prompts: one context per identity (and per outfit, for CCAF and SCI), with both encoders frozen.

    Reads a data set, and masks when the method needs them; writes a [bold]prompts[/] artifact. An interrupted run goes on when the same
    command is given again.

    Example: reidclip prompt-learn data/prcc --method ccaf --recipe prcc
    """

    def plan() -> TrainJob:
        from reidclip.artifacts.store import Store
        from reidclip.cli.console import say
        from reidclip.stages.choose import method_for

        if not dry_run:
            Store(store).check_writable()
        if method is not None:
            method_for(method, "prompt-learn")  # a wrong name is told before the seconds that importing torch takes
        from reidclip.stages.prompt_learn import plan_prompt_learn

        return plan_prompt_learn(
            data,
            Store(store, dry=dry_run),
            method=method,
            layout=dataset,
            recipe=recipe,
            config=config,
            assignments=options.assignments(set_, clip, blur_faces=blur_faces),
            masks=masks,
            parsing=parsing,
            name=name,
            seed=seed,
            device=device,
            precision=precision,
            workers=workers,
            save_seconds=save_every,
            cache=cache,
            on_error=on_error,
            say=say,
        )

    def run(job: TrainJob, progress: Progress) -> Artifact | None:
        from reidclip.stages.prompt_learn import prompt_learn as run_job

        return run_job(job, progress)

    run_training(plan, run, fresh=fresh, as_json=json_, dry_run=dry_run, quiet=quiet)
