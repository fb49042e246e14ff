"""``reidclip finetune`` as a function: fine-tune the image encoder by a method, write a ``checkpoint`` artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.cache import CacheKind
from reidclip.data.join import place_of
from reidclip.data.open_several import Layouts, Roots, open_datasets
from reidclip.errors import UserError
from reidclip.interfaces import Method
from reidclip.records import Dataset
from reidclip.settings import parse_assignments
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.choose import (
    Say,
    dataset_for,
    inherited_of,
    masks_for,
    method_for,
    naming_the_recipe,
    note_on_layout,
    of_data,
    prompts_for,
    recipe_for,
    settings_for,
)
from reidclip.stages.pictures import OnError
from reidclip.stages.same_pictures import check_same_pictures, inherited_beside_recipe
from reidclip.stages.train_context import build_context
from reidclip.stages.train_job import Progress, TrainJob, check_batches, labels_of
from reidclip.stages.train_run import describe_run, draft_by_first, finish_run, run_stages
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision
from reidclip.train.settings import ModelSettings

COMMAND = "finetune"


def plan_finetune(
    data: Roots | None,
    store: Store,
    *,
    method: str | None = None,
    layout: Layouts = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    prompts: str | None = None,
    masks: str | None = None,
    parsing: str | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    save_seconds: float = 120.0,
    compiled: bool = False,
    accumulate: int = 1,
    cache: CacheKind = "auto",
    on_error: OnError = "fail",
    say: Say = lambda text: None,
) -> TrainJob:
    """Decide everything, read nothing heavy.

    Args:
        data: folder of the data set, or of several, which are joined; None takes that of the prompts or masks named, else of the newest
            prompts (or of the newest masks, for methods without prompts).
        method: None takes the method of the prompts named, or of the newest ones of this data.
        recipe: None takes the recipe that the prompts were learned with.
        prompts, masks: references; None takes the newest that fit, when the method needs them.
        parsing: reference of label maps; None takes the newest of this data, when faces are blurred.
        cache, on_error: see `TrainJob`.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    check_precision(precision, pick_device(device))
    named = {role: store.open(ref, kind=role) for role, ref in (("prompts", prompts), ("masks", masks)) if ref}
    opened = open_datasets(data, layout) if data else None
    of_this_data = of_data(opened) if opened else lambda manifest: True
    learned = named.get("prompts") or store.newest("prompts", lambda m: method in (None, m.method) and of_this_data(m))
    chosen = method_for(method or _method_of(learned, opened, store, say), COMMAND)
    assigned = parse_assignments(assignments)
    inherited = _inherited(learned, chosen, recipe, say, assigned)
    recipe = recipe_for(chosen, recipe, say, learned)
    settings = cast(ModelSettings, settings_for(chosen, COMMAND, recipe, config, assigned, inherited))
    kinds = ("prompts", "masks", "parsing") if chosen.needs_prompts(settings) else ("masks", "prompts", "parsing")
    dataset = opened or dataset_for(None, layout, store, kinds, say, next(iter(named.values()), None))
    inputs = _inputs(chosen, settings, named, dataset, store, say)
    if (labels := parsing_for(parsing, settings.blur_faces, dataset, store, say)) is not None:
        inputs["parsing"] = labels
    note_on_layout(chosen, recipe, dataset, say)
    check_batches(settings, dataset, accumulate)
    return TrainJob(
        COMMAND,
        "checkpoint",
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
        compiled,
        accumulate,
        cache,
        on_error,
        say,
    )


def _method_of(learned: Artifact | None, dataset: Dataset | None, store: Store, say: Say) -> str:
    if learned is None or learned.manifest.method is None:
        of = f" of {place_of(dataset)}" if dataset else ""
        raise UserError(
            f"No method was named and there are no prompts{of} in {store.root}.",
            "Run reidclip prompt-learn first, or name a method without prompts: --method baseline.",
        )
    say(f"method: {learned.manifest.method} (of prompts {learned.ref})")
    return learned.manifest.method


def _inherited(learned: Artifact | None, method: Method, recipe: str | None, say: Say, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the prompts say: all that the method takes over; beside a recipe that was named, which says the rest, the choice of pictures."""
    if learned is None or learned.manifest.method != method.name:
        return None
    return inherited_of(learned, method, say, given) if recipe is None else inherited_beside_recipe(learned, method, recipe, say)


def _inputs(
    method: Method, settings: ModelSettings, named: Mapping[str, Artifact], dataset: Dataset, store: Store, say: Say
) -> dict[str, Artifact]:
    """What the method reads under these settings, by role; an artifact that was named but is not read is a mistake."""
    reads = {"prompts": method.needs_prompts(settings), "masks": method.needs_masks(COMMAND, settings)}
    for role in named:
        if not reads[role]:
            raise UserError(f"Method '{method.name}' reads no {role} under these settings.", f"Leave --{role} out.")
    inputs = {}
    if reads["prompts"]:
        inputs["prompts"] = prompts_for(named.get("prompts"), method.name, dataset, store, say)
        check_same_pictures(inputs["prompts"], settings)
    if reads["masks"]:
        inputs["masks"] = masks_for(named.get("masks"), dataset, store, say, settings.train_splits)
    return inputs


def finetune(job: TrainJob, progress: Progress = lambda what, done, total: None) -> Artifact | None:
    """Run a planned fine-tuning, from its last state when it was interrupted, and commit its artifact.

    Returns:
        the artifact; None in all but the first of several processes.
    """
    train, labels = labels_of(job)
    context = build_context(job, labels, train, progress)
    with draft_by_first(job) as draft:
        with naming_the_recipe(job.method, job.recipe, job.dataset):
            stages = job.method.finetune_stages(context)
        histories = run_stages(job, stages, context, progress)
        if draft is None:
            return None
        encoder = cast(InferenceEncoder, job.method.encoder(context, stages))
        encoder.save(draft.path)
        describe_run(draft, job, stages, context, histories)
    finish_run(job)
    return draft.artifact
