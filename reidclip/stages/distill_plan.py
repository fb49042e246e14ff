"""A planned distillation: what ``reidclip distill`` decides before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.spec import body_of
from reidclip.data.cache import CacheKind
from reidclip.data.open_several import Layouts, Roots
from reidclip.errors import UserError
from reidclip.interfaces import Distiller, DistillNeeds
from reidclip.records import Dataset
from reidclip.settings import parse_assignments
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.choose import Say, dataset_for, method_for, note_on_layout, recipe_for, settings_for
from reidclip.stages.describe import DescribeJob, descriptions_for, plan_description
from reidclip.stages.distill_bodies import meshes_for, true_choices
from reidclip.stages.distill_student import check_student
from reidclip.stages.distill_teacher import COMMAND, DEFAULT_METHOD, check_teacher, method_of, teacher_for, teacher_settings, template_of
from reidclip.stages.pictures import OnError
from reidclip.stages.train_job import TrainJob, check_batches
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision
from reidclip.train.settings import DistillSettings


@dataclass(frozen=True)
class DistillJob:
    """A distillation with everything decided and nothing loaded.

    Attributes:
        train: the training; where ``describes`` is not None, without its descriptions.
        describes: what the teacher has to describe first.
    """

    train: TrainJob
    describes: DescribeJob | None = None

    def plan(self) -> dict[str, Any]:
        """For --dry-run."""
        first = {"describes first": self.describes.plan()} if self.describes else {}
        return {**self.train.plan(), **first}


def plan_distill(
    data: Roots | None,
    store: Store,
    *,
    method: str | None = None,
    layout: Layouts = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    meshes: Path | None = None,
    body: str | None = None,
    descriptions: str | None = None,
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
) -> DistillJob:
    """Decide everything. Of what is heavy only the teacher's weights are read, where the store has descriptions that may be its own.

    Args:
        data: folder of the data set, or of several, which are joined; None takes that of the newest descriptions or checkpoint.
        method: None takes "rkd" where the teacher is a checkpoint, else "clip3dreid".
        meshes: folder of rendered bodies, for methods that train on them.
        body: "anny", "smpl:FILE": the body model of the meshes; None takes their own where its package holds it.
        descriptions: reference; None takes the newest that fit, and makes them where there are none.
        parsing: reference of label maps; None takes the newest of this data, when faces are blurred.
        cache, on_error: see `TrainJob`.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    check_precision(precision, pick_device(device))
    assigned = parse_assignments(assignments)
    method = method or method_of(assigned.get("teacher"), store, say)
    chosen, settings, recipe = _method_and_settings(method, recipe, config, assigned, say)
    needs = chosen.distill_needs(settings)
    check_student(settings.student)
    check_teacher(chosen, needs, settings, store)
    dataset = dataset_for(data, layout, store, ("descriptions", "checkpoint"), say)
    note_on_layout(chosen, recipe, dataset, say)
    check_batches(settings, dataset, accumulate)
    inputs = _inputs(needs, settings, parsing, dataset, store, say)
    mesh_set = meshes_for(chosen, needs, meshes, say)
    _check_read(chosen, body=bool(body) and mesh_set is None, descriptions=bool(descriptions) and not needs.descriptions)
    job = TrainJob(
        command=COMMAND,
        kind="checkpoint",
        name=check_name(name or safe_name(f"{chosen.name}-{dataset.name}")),
        method=chosen,
        recipe=recipe,
        settings=settings,
        dataset=dataset,
        store=store,
        inputs=inputs,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
        save_seconds=save_seconds,
        compiled=compiled,
        accumulate=accumulate,
        cache=cache,
        on_error=on_error,
        say=say,
        meshes=mesh_set,
        body=body_of(mesh_set.table, f"mesh set {mesh_set.dataset.root}", body, say) if mesh_set else None,
    )
    if needs.true_words:
        true_choices(dataset, job.training_samples())  # tells now what it would after the teacher's work
    return _with_descriptions(job, descriptions) if needs.descriptions else DistillJob(job)


def plan_labels(
    data: Roots | None,
    store: Store,
    *,
    method: str | None = None,
    layout: Layouts = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    descriptions: str | None = None,
    parsing: str | None = None,
    all_pictures: bool | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    on_error: OnError = "fail",
    say: Say = lambda text: None,
) -> tuple[Dataset, DescribeJob | Artifact]:
    """What ``--label-only`` does: the description to be made, or the descriptions that are there. Arguments as of `plan_distill`.

    Args:
        all_pictures: describe those of test splits too; None: where the data set is not large.
    """
    check_precision(precision, pick_device(device))
    chosen, settings, _ = _method_and_settings(method or DEFAULT_METHOD, recipe, config, parse_assignments(assignments), say)
    if chosen.distill_needs(settings).teacher != "clip":
        raise UserError(f"Method '{chosen.name}' asks no CLIP, so there are no words.", f"Use --method {DEFAULT_METHOD}.")
    dataset = dataset_for(data, layout, store, ("descriptions", "checkpoint"), say)
    reading, template = teacher_settings(settings), template_of(settings)
    maps = parsing_for(parsing, settings.blur_faces, dataset, store, say)
    found = descriptions_for(
        descriptions, dataset, store, teacher=settings.teacher, settings=reading, template=template, parsing=maps, say=say
    )
    if found is not None and (not all_pictures or found.manifest.config["all_pictures"]):
        return dataset, found
    asked = plan_description(
        dataset,
        store,
        teacher=settings.teacher,
        settings=reading,
        template=template,
        parsing=maps,
        all_pictures=all_pictures,
        name=name,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
        on_error=on_error,
        say=say,
    )
    return dataset, asked


def _method_and_settings(
    method: str, recipe: str | None, config: Path | None, assigned: dict[str, Any], say: Say
) -> tuple[Distiller, DistillSettings, str | None]:
    chosen = cast(Distiller, method_for(method, COMMAND))
    recipe = recipe_for(chosen, recipe, say)
    return chosen, cast(DistillSettings, settings_for(chosen, COMMAND, recipe, config, assigned)), recipe


def _inputs(
    needs: DistillNeeds, settings: DistillSettings, parsing: str | None, dataset: Dataset, store: Store, say: Say
) -> dict[str, Artifact]:
    """What is read besides data and descriptions, by role."""
    inputs: dict[str, Artifact] = {}
    if (maps := parsing_for(parsing, settings.blur_faces, dataset, store, say)) is not None:
        inputs["parsing"] = maps
    if needs.teacher == "checkpoint":
        inputs["teacher"] = teacher_for(settings, dataset, store, say)
    return inputs


def _check_read(method: Distiller, *, body: bool, descriptions: bool) -> None:
    """What was named, but is not read under these settings, is a mistake."""
    if body:
        raise UserError(f"Method '{method.name}' reads no bodies under these settings.", "Leave --body out.")
    if descriptions:
        raise UserError(f"Method '{method.name}' reads no descriptions under these settings.", "Leave --descriptions out.")


def _with_descriptions(job: TrainJob, ref: str | None) -> DistillJob:
    """The job with descriptions that fit, or with the task to make them."""
    s = cast(DistillSettings, job.settings)
    reading, template = teacher_settings(s), template_of(s)
    maps = job.inputs.get("parsing")
    found = descriptions_for(ref, job.dataset, job.store, teacher=s.teacher, settings=reading, template=template, parsing=maps, say=job.say)
    if found is not None:
        return DistillJob(replace(job, inputs={**job.inputs, "descriptions": found}))
    asked = plan_description(
        job.dataset,
        job.store,
        teacher=s.teacher,
        settings=reading,
        template=template,
        parsing=maps,
        seed=job.seed,
        device=job.device,
        precision=job.precision,
        workers=job.workers,
        on_error=job.on_error,
        say=job.say,
    )
    return DistillJob(job, asked)
