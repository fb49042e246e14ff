"""``reidclip finetune`` as a function: fine-tune the image encoder by a method, write a ``checkpoint`` artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError
from reidclip.settings import parse_assignments
from reidclip.stages.choose import DEFAULT_RECIPE, Say, dataset_for, masks_for, method_for, prompts_for, settings_for
from reidclip.stages.training import (
    Progress,
    TrainJob,
    build_context,
    finish_run,
    input_refs,
    labels_of,
    last_losses,
    run_stages,
)
from reidclip.train.device import check_precision
from reidclip.train.settings import ModelSettings

COMMAND = "finetune"


def plan_finetune(
    data: Path | None,
    store: Store,
    *,
    method: str | None = None,
    layout: str | None = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    prompts: str | None = None,
    masks: str | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    say: Say = lambda text: None,
) -> TrainJob:
    """Decide everything, read nothing heavy.

    Args:
        data: folder of the data set; None takes that of the prompts (or of the newest masks, for methods without prompts).
        method: None takes the method of the prompts named, or of the newest ones.
        recipe: None takes the recipe that the prompts were learned with.
        prompts, masks: references; None takes the newest that fit, when the method needs them.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    learned = store.open(prompts, kind="prompts") if prompts else store.newest("prompts")
    if method is None:
        if learned is None or learned.manifest.method is None:
            raise UserError(
                f"No method was named and there are no prompts in {store.root}.",
                "Run reidclip prompt-learn first, or name a method without prompts: --method baseline.",
            )
        method = learned.manifest.method
        say(f"method: {method} (of prompts {learned.ref})")
    chosen = method_for(method, COMMAND)
    if recipe is None:
        of_prompts = learned is not None and learned.manifest.method == method
        recipe = str(learned.manifest.config.get("recipe", DEFAULT_RECIPE)) if learned is not None and of_prompts else DEFAULT_RECIPE
        say(f"recipe: {recipe} ({'of the prompts' if of_prompts else 'the default'})")
    settings = cast(ModelSettings, settings_for(chosen, COMMAND, recipe, config, parse_assignments(assignments)))
    dataset = dataset_for(
        data, layout, store, ("prompts", "masks", "parsing") if chosen.needs_prompts(settings) else ("masks", "prompts", "parsing"), say
    )
    labels_of(dataset)
    inputs: dict[str, Artifact] = {}
    if chosen.needs_prompts(settings):
        inputs["prompts"] = prompts_for(prompts, method, dataset, store, say)
    elif prompts:
        raise UserError(f"Method '{method}' reads no prompts under these settings.", "Leave --prompts out.")
    if chosen.needs_masks(COMMAND, settings):
        inputs["masks"] = masks_for(masks, dataset, store, say)
    return TrainJob(
        COMMAND,
        "checkpoint",
        name or safe_name(f"{chosen.name}-{dataset.name}"),
        chosen,
        recipe,
        settings,
        dataset,
        store,
        inputs,
        seed,
        device,
        check_precision(precision),
        workers,
    )


def finetune(job: TrainJob, progress: Progress = lambda what, done, total: None) -> Artifact:
    """Run a planned fine-tuning, from its last state when it was interrupted, and commit its artifact."""
    train, labels = labels_of(job.dataset)
    context = build_context(job, labels, train)
    with job.store.create(job.kind, job.name) as draft:
        stages = job.method.finetune_stages(context)
        histories = run_stages(job, stages, context, progress)
        encoder = cast(InferenceEncoder, job.method.encoder(context, stages))
        encoder.save(draft.path)
        (draft.path / "history.json").write_text(json.dumps(histories, indent=1), encoding="utf-8")
        draft.describe(
            config={**job.plan(), "clip_digest": context.clip.digest},
            seed=job.seed,
            method=job.method.name,
            plugin_version=job.method.version,
            dataset=DatasetRef.of(job.dataset),
            inputs=input_refs(job),
            metrics=last_losses(histories),
            device=context.device,
        )
    finish_run(job)
    return draft.artifact
