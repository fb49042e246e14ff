"""``reidclip distill`` as a function: train a small student on what a teacher knows, write a ``checkpoint`` artifact."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from reidclip.artifacts.store import Artifact
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import load_clip
from reidclip.data.cache import Cache
from reidclip.data.loader import ImageSource
from reidclip.interfaces import Distiller, StageContext
from reidclip.stages.choose import naming_the_recipe
from reidclip.stages.describe import describe, read_descriptions
from reidclip.stages.distill_bodies import true_choices
from reidclip.stages.distill_plan import DistillJob, plan_distill, plan_labels
from reidclip.stages.distill_teacher import teacher_settings
from reidclip.stages.train_context import build_context
from reidclip.stages.train_job import Progress, TrainJob, labels_of
from reidclip.stages.train_run import describe_run, draft_by_first, finish_run, run_stages
from reidclip.train.settings import DistillSettings

__all__ = ["DistillJob", "described", "distill", "plan_distill", "plan_labels", "teacher_settings"]


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
            told = replace(told, choices=true_choices(job.dataset, context.train))
        context = replace(context, descriptions=told)
    if job.meshes is not None:
        pictures = job.meshes.dataset.split("train")
        cache = Cache(job.cache, job.store.cache_dir, "", say=job.say, progress=progress)
        source = ImageSource.of(job.meshes.dataset, pictures, cache=cache, decoding=settings.decode)
        context = replace(context, meshes=job.meshes, mesh_source=source, body=job.body)
    return context
