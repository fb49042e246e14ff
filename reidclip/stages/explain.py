"""``reidclip explain`` as a function: heat maps of checkpoints, what share of them lies on clothes, sheets and overlays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError
from reidclip.explain.maps import MapKind, choose_kind, heat_maps
from reidclip.explain.placing import cells_of
from reidclip.explain.regions import regions_of
from reidclip.stages.choose import Say
from reidclip.stages.explain_job import (
    TRANSPORT,
    Explained,
    ExplainJob,
    Progress,
    batches,
    feature_of,
    load_encoder,
    mass_on_picture,
    shares_of,
)
from reidclip.stages.explain_phrases import explain_phrases
from reidclip.stages.explain_pictures import Labels, choose_pictures, with_labels
from reidclip.train.device import pick_device

__all__ = ["ExplainJob", "Explained", "Progress", "explain", "mass_on_picture", "plan_explain"]


def plan_explain(
    checkpoint: str,
    images: Sequence[Path],
    store: Store,
    *,
    against: Sequence[str] = (),
    output: Path | None = None,
    shares_only: bool = False,
    layout: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    labels: str | None = None,
    label_set: str | None = None,
    map: str = "auto",
    phrases: Sequence[str] = (),
    teacher: str | None = None,
    towards: Path | None = None,
    per_sheet: int = 24,
    batch_size: int = 32,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> ExplainJob:
    """Decide what is explained.

    Args:
        checkpoint: reference; ``against``: further ones.
        images, layout, split, limit: see `reidclip.stages.explain_pictures.choose_pictures`.
        output: a folder that is not there yet, or is empty; may be left out with ``shares_only``.
        shares_only: draw nothing; needs ``labels``.
        labels, label_set: see `reidclip.stages.explain_pictures.with_labels`.
        phrases, teacher: of map "transport" alone, see `ExplainJob`.

    Raises:
        UserError: anything that does not fit.
    """
    pick_device(device)
    if output is None and not shares_only:
        raise UserError("Nobody said where the pictures go.", "Name a new folder with --output, or ask for --shares-only.")
    if shares_only and labels is None:
        raise UserError("--shares-only needs label maps.", "Name them with --labels: a folder, or a parsing or masks artifact.")
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is there already and not empty.", "Name a new folder with --output, or empty this one.")
    if towards is not None and not towards.is_file():
        raise UserError(f"There is no picture {towards}.", "Check the path given with --towards.")
    _check_words(map, phrases, teacher, towards)
    chosen = [store.open(ref, kind="checkpoint") for ref in (checkpoint, *against)]
    pictures = choose_pictures(images, layout, split, limit, seed, not shares_only, say)
    dataset = pictures.dataset
    found: Labels | None = None
    if labels is not None:
        dataset, found = with_labels(dataset, labels, label_set, store, say)
        regions_of(found.label_set)  # what is clothes must be known before the work
    checkpoints = tuple({a.digest: a for a in chosen}.values())
    draw = not shares_only
    where = (output, draw, per_sheet, batch_size, device, workers, seed, pictures)
    return ExplainJob(checkpoints, dataset, map, found, towards, *where, tuple(phrases), teacher)


def _check_words(map: str, phrases: Sequence[str], teacher: str | None, towards: Path | None) -> None:
    if map == TRANSPORT and towards is not None:
        raise UserError("Transport maps take no account of --towards.", "Leave --towards out.")
    if map != TRANSPORT and (phrases or teacher is not None):
        given = "--phrase" if phrases else "--teacher"
        raise UserError(f"{given} is for transport maps.", f"Add --map {TRANSPORT}, or leave {given} out.")


def explain(job: ExplainJob, progress: Progress = lambda done, total: None) -> list[Explained]:
    """Compute the maps of every checkpoint and, with labels, their shares; writes nothing.

    Raises:
        UserError: a map that does not fit an encoder, or labels that do not fit a picture.
        WorkError: a picture that cannot be read, or a damaged checkpoint.
    """
    encoders = [load_encoder(artifact, job) for artifact in job.checkpoints]
    if job.map == TRANSPORT:
        return explain_phrases(job, encoders, progress)
    kinds = [choose_kind(encoder.image_encoder, job.map) for encoder in encoders]  # all of them before the work
    if job.towards is not None and "rollout" in kinds:
        raise UserError("Attention rollout takes no account of --towards.", "Use --map gradient, or leave --towards out.")
    total = len(job.checkpoints) * len(job.paths)
    results = []
    for number, (artifact, encoder, kind) in enumerate(zip(job.checkpoints, encoders, kinds, strict=True)):
        done = partial(_told, progress, number * len(job.paths), total)
        results.append(_of_checkpoint(job, artifact, encoder, kind, done))
    return results


def _told(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _of_checkpoint(
    job: ExplainJob, artifact: Artifact, encoder: InferenceEncoder, kind: MapKind, progress: Callable[[int], None]
) -> Explained:
    cells = cells_of(encoder.image_encoder.config)
    regions = None if job.labels is None else regions_of(job.labels.label_set)
    towards = None if job.towards is None else feature_of(job.towards, encoder)
    heat: list[np.ndarray] = []
    mass, pixels = [], []
    for images, camera in batches(job, encoder):
        heat += list(heat_maps(encoder, images, kind, camera, towards).cpu().numpy())
        for index in range(len(heat) - len(images), len(heat)):
            if regions is not None:
                on, of = shares_of(job, job.paths[index], heat[index], cells, regions)
                mass.append(on)
                pixels.append(of)
        progress(len(heat))
    zero = tuple(index for index, one in enumerate(heat) if not one.any())
    if regions is None:
        return Explained(artifact, kind, cells, np.stack(heat), None, None, zero)
    return Explained(artifact, kind, cells, np.stack(heat), np.stack(mass), np.stack(pixels), zero)
