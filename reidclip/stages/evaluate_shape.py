"""``reidclip evaluate --task shape`` as a function: bodies predicted from pictures of held-out people, beside the true ones.

CLIP3DReID (Liu et al., CVPR 2024): the shape head reads f_id of a picture, the body model makes vertices in the canonical pose.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact
from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError
from reidclip.evaluation.shape import mean_per_person, spread
from reidclip.parallel.processes import is_first
from reidclip.stages.evaluate_encoder import load_checkpoint
from reidclip.stages.evaluate_features import extract_features
from reidclip.stages.evaluate_shape_errors import Surfaces, shape_errors
from reidclip.stages.evaluate_shape_meshes import SHEET, bodies_sheet, export_meshes
from reidclip.stages.evaluate_shape_report import MEAN, SINGLE, Judged, headline, told, write_shapes, write_tables
from reidclip.stages.plan_shape import ShapeJob
from reidclip.train.device import pick_device

Progress = Callable[[str, int, int], None]
_SHOWN = 8  # people on the sheet


def evaluate_shape(job: ShapeJob, progress: Progress = lambda what, done, total: None) -> tuple[Artifact, dict[str, Any]] | None:
    """Run a planned evaluation and commit its artifact.

    Args:
        progress: (what, done, total), of the features and of the surfaces.

    Returns:
        the artifact and its metrics (`reidclip.stages.evaluate_shape_report.told` for `SINGLE` and `MEAN`); None in all but the first of
        several processes, which only extract their part of the features.
    """
    encoder = _encoder(job)
    if not is_first():
        _shapes(encoder, job, progress)
        return None
    with job.store.create("evaluation", job.name) as draft:
        predicted = _shapes(encoder, job, progress)
        rows, mean = job.data.rows, job.head.mean.cpu().numpy()
        people, means = mean_per_person(predicted, rows)
        judged = spread(len(rows), job.settings.single_pictures, job.seed)
        surfaces = Surfaces(job.session, job.data.table, mean, samples=job.settings.surface_samples, seed=job.seed)
        single = _judge(job, SINGLE, predicted[judged], rows[judged], surfaces, job.settings.chamfer_pictures, progress)
        whole = _judge(job, MEAN, means, people, surfaces, job.settings.chamfer_people, progress)
        metrics = {way: told(found, job.settings.resamples, job.seed) for way, found in ((SINGLE, single), (MEAN, whole))}
        metrics[SINGLE]["of_pictures"] = len(rows)
        (draft.path / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
        pids = {int(row): sample.pid for row, sample in zip(rows, job.data.samples, strict=True)}
        write_tables(draft.path, single, judged, whole, pids, job.data.samples)
        true = job.data.table.shape[people]
        tensors = {"predicted": predicted, "rows": rows, "people": people, "mean_of_person": means, "true": true, "mean_body": mean}
        write_shapes(draft.path, [s.path for s in job.data.samples], tensors, {"body": job.session.name, "version": job.session.version})
        names = [f"{pids[int(row)]:04d}" for row in people]
        bodies_sheet(job.session, names[:_SHOWN], means, true, mean).save(draft.path / SHEET)
        draft.describe(
            config=job.plan(),
            seed=job.seed,
            method=job.checkpoint.manifest.method,
            plugin_version=job.checkpoint.manifest.plugin_version,
            dataset=DatasetRef.of(job.dataset),
            inputs=[InputRef.of(job.checkpoint, role="checkpoint")],
            metrics=headline(metrics),
            notes=job.notes,
            device=pick_device(job.device),
        )
    if job.export is not None:
        first = slice(job.export.people)
        export_meshes(job.export.folder, job.export.kind, job.session, names[first], means[first], true[first])
    return draft.artifact, metrics


def _encoder(job: ShapeJob) -> InferenceEncoder:
    """The student, giving f_id as the head read it in training: before any BatchNorm, not normalised.

    Raises:
        UserError: an encoder whose feature is of another width than the head reads.
    """
    encoder = load_checkpoint(job.checkpoint, pick_device(job.device), job.settings.flip)
    encoder.options = dataclasses.replace(encoder.options, neck="before", normalise=False)
    if encoder.width != job.head.width:
        raise UserError(
            f"Checkpoint {job.checkpoint.ref}: its shape head reads features of width {job.head.width}, its encoder gives {encoder.width}.",
            "Distil again: its files are not of one training.",
        )
    return encoder


def _shapes(encoder: InferenceEncoder, job: ShapeJob, progress: Progress) -> np.ndarray:
    """(N, S) float32 predicted from every held-out picture."""
    features = extract_features(encoder, job, job.data.samples, lambda done, total: progress("features", done, total))
    with torch.no_grad():
        shapes: np.ndarray = job.head(features.matrix.float().cpu()).numpy()
    return shapes


def _judge(job: ShapeJob, what: str, shapes: np.ndarray, rows: np.ndarray, surfaces: Surfaces, most: int, progress: Progress) -> Judged:
    """What is found of predicted shapes (N, S) and of the mean body; surfaces of at most ``most`` of them."""
    table, mean = job.data.table, job.head.mean.cpu().numpy()
    errors = shape_errors(job.session, table, shapes, rows)
    people, back = np.unique(rows, return_inverse=True)
    of_mean = shape_errors(job.session, table, np.repeat(mean[None], len(people), 0), people).of(back)
    chosen = spread(len(rows), most, job.seed)
    title = f"surfaces, {what.replace('_', ' ')}"
    apart = surfaces.errors(shapes[chosen], rows[chosen], lambda done, total: progress(title, done, total)) if len(chosen) else None
    return Judged(rows, shapes, errors, of_mean, apart, chosen)
