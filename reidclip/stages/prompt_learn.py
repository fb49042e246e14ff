"""``reidclip prompt-learn`` as a function: learn text prompts for a method, write a ``prompts`` artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from safetensors.torch import save_file

from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.cache import CacheKind
from reidclip.data.open_several import Layouts, Roots
from reidclip.errors import UserError
from reidclip.settings import parse_assignments
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.choose import (
    DEFAULT_METHOD,
    Say,
    dataset_for,
    masks_for,
    method_for,
    naming_the_recipe,
    note_on_layout,
    recipe_for,
    settings_for,
)
from reidclip.stages.pictures import OnError
from reidclip.stages.train_context import build_context
from reidclip.stages.train_job import Progress, TrainJob, check_batches, labels_of
from reidclip.stages.train_run import describe_run, draft_by_first, finish_run, run_stages
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision
from reidclip.train.settings import ModelSettings

COMMAND = "prompt-learn"


def plan_prompt_learn(
    data: Roots | None,
    store: Store,
    *,
    method: str | None = None,
    layout: Layouts = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    masks: str | None = None,
    parsing: str | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    save_seconds: float = 120.0,
    cache: CacheKind = "auto",
    on_error: OnError = "fail",
    say: Say = lambda text: None,
) -> TrainJob:
    """Decide everything, read nothing heavy.

    Args:
        data: folder of the data set, or of several, which are joined; None takes the data of the masks named, or of the newest.
        method: name of a method with a prompt-learn stage; None takes CCAF.
        masks: reference of a masks artifact; None takes the newest of this data, when the method needs masks.
        parsing: reference of label maps; None takes the newest of this data, when faces are blurred.
        cache, on_error: see `TrainJob`.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    check_precision(precision, pick_device(device))
    if method is None:
        method = DEFAULT_METHOD
        say(f"method: {method} (the default)")
    chosen = method_for(method, COMMAND)
    recipe = recipe_for(chosen, recipe, say)
    settings = cast(ModelSettings, settings_for(chosen, COMMAND, recipe, config, parse_assignments(assignments)))
    named = store.open(masks, kind="masks") if masks else None
    dataset = dataset_for(data, layout, store, ("masks", "parsing", "prompts"), say, named)
    note_on_layout(chosen, recipe, dataset, say)
    check_batches(settings, dataset)
    inputs = {}
    if chosen.needs_masks(COMMAND, settings):
        inputs["masks"] = masks_for(named, dataset, store, say, settings.train_splits)
    elif named:
        raise UserError(f"Method '{chosen.name}' reads no masks under these settings.", "Leave --masks out.")
    if (labels := parsing_for(parsing, settings.blur_faces, dataset, store, say)) is not None:
        inputs["parsing"] = labels
    return TrainJob(
        COMMAND,
        "prompts",
        check_name(name or safe_name(f"{chosen.name}-{dataset.name}")),
        chosen,
        recipe,
        settings,
        dataset,
        store,
        inputs,
        seed,
        device,
        precision,
        workers,
        save_seconds,
        cache=cache,
        on_error=on_error,
        say=say,
    )


def prompt_learn(job: TrainJob, progress: Progress = lambda what, done, total: None) -> Artifact | None:
    """Run a planned prompt learning, from its last state when it was interrupted, and commit its artifact.

    Returns:
        the artifact; None in all but the first of several processes.
    """
    train, labels = labels_of(job)
    context = build_context(job, labels, train, progress)
    with draft_by_first(job) as draft:
        with naming_the_recipe(job.method, job.recipe, job.dataset):
            stages = job.method.prompt_stages(context)
        histories = run_stages(job, stages, context, progress)
        if draft is None:
            return None
        tensors = {k: v.detach().cpu().contiguous() for k, v in job.method.prompt_tensors(context, stages).items()}
        save_file(tensors, draft.path / "prompts.safetensors")
        facts = {
            "clip": context.clip.spec,
            "clip_digest": context.clip.digest,
            "pids": sorted(labels.pids, key=labels.pids.__getitem__),
            "clothes": sorted(labels.clothes, key=labels.clothes.__getitem__),
        }
        (draft.path / "labels.json").write_text(json.dumps(facts), encoding="utf-8")
        describe_run(draft, job, stages, context, histories)
    finish_run(job)
    return draft.artifact
