"""``reidclip distill`` as a function: train a small student on what a teacher knows, write a ``checkpoint`` artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.mesh_set import MeshSet, open_meshes
from reidclip.bodies.phrases import TEMPLATE
from reidclip.bodies.spec import body_of
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import load_clip
from reidclip.clip.published import TINY
from reidclip.clip.sources import weights_file
from reidclip.clip.student import no_student
from reidclip.clip.timm_net import is_network, known_name
from reidclip.clip.trunk_source import is_timm, is_without_text
from reidclip.clip.weights import SUFFIXES
from reidclip.data.cache import Cache, CacheKind
from reidclip.data.join import place_of
from reidclip.data.loader import ImageSource
from reidclip.data.open_several import Layouts, Roots
from reidclip.errors import ReidclipError, UserError, nearest
from reidclip.interfaces import Distiller, DistillNeeds, StageContext
from reidclip.records import Dataset, Sample
from reidclip.settings import parse_assignments
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.choose import Say, dataset_for, learned_from, method_for, naming_the_recipe, note_on_layout, recipe_for, settings_for
from reidclip.stages.describe import DescribeJob, describe, descriptions_for, plan_description, read_descriptions
from reidclip.stages.describe_table import true_words
from reidclip.stages.pictures import OnError
from reidclip.stages.train_context import build_context
from reidclip.stages.train_job import Progress, TrainJob, check_batches, labels_of
from reidclip.stages.train_run import describe_run, draft_by_first, finish_run, run_stages
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision
from reidclip.train.settings import DistillSettings, PictureSettings

COMMAND = "distill"
DEFAULT_METHOD = "clip3dreid"
FROM_CHECKPOINT = "rkd"
"""Taken where no method was named and the teacher is a checkpoint."""


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
    method = method or _method_of(assigned.get("teacher"), store, say)
    chosen, settings, recipe = _method_and_settings(method, recipe, config, assigned, say)
    needs = chosen.distill_needs(settings)
    _check_student(settings.student)
    _check_teacher(chosen, needs, settings, store)
    dataset = dataset_for(data, layout, store, ("descriptions", "checkpoint"), say)
    note_on_layout(chosen, recipe, dataset, say)
    check_batches(settings, dataset, accumulate)
    inputs: dict[str, Artifact] = {}
    if (maps := parsing_for(parsing, settings.blur_faces, dataset, store, say)) is not None:
        inputs["parsing"] = maps
    if needs.teacher == "checkpoint":
        inputs["teacher"] = _teacher(settings, dataset, store, say)
    mesh_set = _meshes(chosen, needs, meshes, say)
    if body and mesh_set is None:
        raise UserError(f"Method '{chosen.name}' reads no bodies under these settings.", "Leave --body out.")
    if descriptions and not needs.descriptions:
        raise UserError(f"Method '{chosen.name}' reads no descriptions under these settings.", "Leave --descriptions out.")
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
        _true_choices(dataset, job.training_samples())  # tells now what it would after the teacher's work
    if not needs.descriptions:
        return DistillJob(job)
    return _with_descriptions(job, descriptions)


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
    reading, template = teacher_settings(settings), _template(settings)
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


def described(job: DistillJob, progress: Progress = lambda what, done, total: None) -> TrainJob:
    """The training with its descriptions, which are made now where there were none; in every one of several processes."""
    if job.describes is None:
        return job.train
    return replace(job.train, inputs={**job.train.inputs, "descriptions": describe(job.describes, progress)})


def distill(job: TrainJob, progress: Progress = lambda what, done, total: None) -> Artifact | None:
    """Run a planned distillation, from its last state when it was interrupted, and commit its artifact.

    Returns:
        the artifact; None in all but the first of several processes.
    """
    train, labels = labels_of(job)
    context = _with_teacher(job, build_context(job, labels, train, progress), progress)
    method = cast(Distiller, job.method)
    with draft_by_first(job) as draft:
        with naming_the_recipe(job.method, job.recipe, job.dataset):
            stages = method.distill_stages(context)
        histories = run_stages(job, stages, context, progress)
        if draft is None:
            return None
        encoder = cast(InferenceEncoder, method.encoder(context, stages))
        encoder.save(draft.path)
        write = getattr(method, "extras", None)
        if write is not None:
            write(context, stages, draft.path)
        describe_run(draft, job, stages, context, histories)
    finish_run(job)
    return draft.artifact


def teacher_settings(settings: DistillSettings) -> PictureSettings:
    """How pictures enter the teacher: as the student's settings say, at a size of its own where they name one."""
    own = {key: getattr(settings, f"teacher_{key}", None) for key in ("height", "width")}
    return settings.model_copy(update={key: value for key, value in own.items() if value is not None})


def _method_and_settings(
    method: str, recipe: str | None, config: Path | None, assigned: dict[str, Any], say: Say
) -> tuple[Distiller, DistillSettings, str | None]:
    chosen = cast(Distiller, method_for(method, COMMAND))
    recipe = recipe_for(chosen, recipe, say)
    return chosen, cast(DistillSettings, settings_for(chosen, COMMAND, recipe, config, assigned)), recipe


def _template(settings: DistillSettings) -> str:
    """The sentence about a body, where the method lets it be chosen."""
    template: str = getattr(settings, "template", TEMPLATE)
    return template


def _method_of(teacher: Any, store: Store, say: Say) -> str:
    if isinstance(teacher, str) and _checkpoint(teacher, store) is not None:
        say(f"method: {FROM_CHECKPOINT} (the teacher is a checkpoint)")
        return FROM_CHECKPOINT
    say(f"method: {DEFAULT_METHOD} (the default)")
    return DEFAULT_METHOD


def _checkpoint(ref: str, store: Store) -> Artifact | None:
    try:
        return store.open(ref, kind="checkpoint")
    except ReidclipError:
        return None


def _check_teacher(method: Distiller, needs: DistillNeeds, settings: DistillSettings, store: Store) -> None:
    """A method that asks a CLIP cannot ask a checkpoint, which has no text; nor something that is neither."""
    spec = settings.teacher
    if needs.teacher != "clip" or spec == TINY or ":" in spec or spec.endswith(SUFFIXES) or Path(spec).is_dir():
        return
    if _checkpoint(spec, store) is not None:
        raise UserError(
            f"Method '{method.name}' asks a CLIP, and {spec} is a checkpoint: an image encoder without text.",
            f"Name a CLIP (--teacher reidclip-tiny), or distil from the checkpoint: --method {FROM_CHECKPOINT}.",
        )
    names = [TINY, *(artifact.name for artifact in store.list("checkpoint"))] if store.root.is_dir() else [TINY]
    hint = nearest(spec, names)
    raise UserError(f"Teacher '{spec}' is no CLIP and no checkpoint in {store.root}.", f"{hint} A CLIP is named as ARCH:TAG, or is a file.")


def _check_student(spec: str) -> None:
    """The spec names a network without text that there is; nothing is built."""
    if not is_without_text(spec):
        bare = spec.removeprefix("random:").partition("@")[0]
        if is_network(bare):
            raise UserError(
                f"'{spec}' is no student, but timm has a network of that name.", f"Did you mean {spec.replace(bare, f'timm:{bare}')}?"
            )
        raise no_student()
    if is_timm(spec):
        known_name(spec.removeprefix("random:").removeprefix("timm:").partition(":")[0].partition("@")[0])
    file = weights_file(spec)
    if file is not None and not file.is_file():
        raise UserError(
            f"There is no file {file} with the student's weights.", "Name an existing one, or random weights: random:timm:NAME."
        )


def _teacher(settings: DistillSettings, dataset: Dataset, store: Store, say: Say) -> Artifact:
    """The checkpoint that teaches: the one named, or the newest of this data that is no student itself."""
    if "teacher" in settings.model_fields_set:
        found = store.open(settings.teacher, kind="checkpoint")
        if found.manifest.config.get("holds", "encoder") != "encoder":
            raise UserError(f"{found.kind}/{found.ref} holds no image encoder.", "Name a checkpoint of finetune, distill or import.")
        return found
    learned = learned_from(dataset)
    newest = store.newest("checkpoint", lambda m: learned(m) and m.config.get("command") != COMMAND)
    if newest is None:
        raise UserError(
            f"There is no fine-tuned checkpoint of {place_of(dataset)} in {store.root}.",
            "Make one with reidclip finetune, or name a teacher: --teacher NAME@v1.",
        )
    say(f"teacher: {newest.ref} (the newest fine-tuned on this data)")
    return newest


def _meshes(method: Distiller, needs: DistillNeeds, folder: Path | None, say: Say) -> MeshSet | None:
    if not needs.meshes:
        if folder is not None:
            raise UserError(f"Method '{method.name}' reads no mesh renders under these settings.", "Leave --meshes out.")
        return None
    if folder is None:
        raise UserError(
            f"Method '{method.name}' trains on mesh renders, and no folder of them was named.",
            "Render them with reidclip synth data/meshes --meshes and give --meshes data/meshes; or do without: --set lambda_3d=0.",
        )
    found = open_meshes(folder)
    say(f"meshes: {len(found.dataset.split('train'))} training pictures of {found.table.body} bodies")
    return found


def _with_descriptions(job: TrainJob, ref: str | None) -> DistillJob:
    """The job with descriptions that fit, or with the task to make them."""
    s = cast(DistillSettings, job.settings)
    reading, template = teacher_settings(s), _template(s)
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


def _with_teacher(job: TrainJob, context: StageContext, progress: Progress) -> StageContext:
    """Add what distilling reads to the context: teacher, descriptions, bodies and their pictures."""
    needs = cast(Distiller, job.method).distill_needs(job.settings)
    settings = cast(DistillSettings, job.settings)
    device = context.device
    if needs.teacher == "checkpoint":
        teacher = InferenceEncoder.load(job.inputs["teacher"].path, device).requires_grad_(False)
        context = replace(context, teacher=teacher)
    if needs.live:
        reading = teacher_settings(settings)
        clip = load_clip(settings.teacher, image_size=(reading.height, reading.width), device=device)
        clip.image_encoder.eval().requires_grad_(False)
        context = replace(context, teacher_clip=clip)
    if needs.descriptions:
        told = read_descriptions(job.inputs["descriptions"], context.train)
        if needs.true_words:
            told = replace(told, choices=_true_choices(job.dataset, context.train))
        context = replace(context, descriptions=told)
    if job.meshes is not None:
        pictures = job.meshes.dataset.split("train")
        cache = Cache(job.cache, job.store.cache_dir, "", say=job.say, progress=progress)
        source = ImageSource.of(job.meshes.dataset, pictures, cache=cache, decoding=settings.decode)
        context = replace(context, meshes=job.meshes, mesh_source=source, body=job.body)
    return context


def _true_choices(dataset: Dataset, samples: Sequence[Sample]) -> Tensor:
    """(N, 16) words that are true of the people in the pictures."""
    known = true_words(dataset)
    unknown = next((sample for sample in samples if sample.pictures[0] not in known), None)
    if unknown is not None:
        raise UserError(
            f"words=bodies: nothing tells which body is in {dataset.absolute(unknown)}.",
            "Only rendered people have known bodies (reidclip synth); take the teacher's words: --set words=teacher.",
        )
    return torch.from_numpy(np.stack([known[sample.pictures[0]][1] for sample in samples])).long()
