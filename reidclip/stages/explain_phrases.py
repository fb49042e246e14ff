"""``reidclip explain --map transport``: transport maps of distilled checkpoints, per phrase, and who says which phrases fit a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from reidclip.artifacts.store import Artifact
from reidclip.clip.geometry import Size
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import ClipModel
from reidclip.clip.sources import on_this_machine
from reidclip.data.cache import Cache
from reidclip.data.loader import ImageSource
from reidclip.errors import UserError
from reidclip.explain.phrase_maps import ALL, Column, columns_of, evenness, phrase_maps
from reidclip.explain.placing import cells_of
from reidclip.explain.regions import regions_of
from reidclip.formulas.phrases import choose_phrases
from reidclip.interfaces import StageContext
from reidclip.records import training_labels
from reidclip.stages.explain_job import TRANSPORT, Explained, ExplainJob, Progress, Words, batches, shares_of
from reidclip.train.device import pick_device
from reidclip.train.features import frozen_features
from reidclip.train.settings import ModelSettings
from reidclip.train.transport_guide import TRANSPORT_FILE, TransportGuide

STUDENT = "student"
OPEN_CLIP = "open_clip"
MOST = 6  # pairs that are shown when nobody named any
EVEN = 0.99  # maps from here on say nothing of places; see `reidclip.explain.phrase_maps.evenness`


@dataclass(frozen=True)
class _Maps:
    """Of one checkpoint: (N, Q, h, w) maps of Q columns, and (N, P) choices with who made them and why."""

    heat: np.ndarray
    choices: Tensor
    by: str
    note: str


def explain_phrases(job: ExplainJob, encoders: Sequence[InferenceEncoder], progress: Progress) -> list[Explained]:
    """Transport maps of every checkpoint, one result per phrase and checkpoint; those of one phrase stand together.

    Of each pair the phrase that fits the picture is taken, by the CLIP of the distillation where its weights are on this machine (or
    ``job.teacher``), else by the student. Where no phrases were asked for, those pairs are shown whose maps are least even on average.

    Raises:
        UserError: a checkpoint that was not distilled with optimal transport, a phrase or a CLIP that is not its own.
        WorkError: a picture that cannot be read, or a damaged checkpoint.
    """
    guides = [_guide(artifact, job) for artifact in job.checkpoints]
    phrases = guides[0].phrases
    for artifact, guide in zip(job.checkpoints, guides, strict=True):
        if guide.phrases != phrases:
            told = f"Checkpoints {job.checkpoints[0].ref} and {artifact.ref} were distilled with other phrases."
            raise UserError(told, "Explain them one by one.")
    columns = columns_of(job.phrases or (ALL,), phrases)
    found: list[_Maps] = []
    count = len(job.paths)
    for number, (encoder, guide) in enumerate(zip(encoders, guides, strict=True)):
        found.append(_maps(job, encoder, guide, columns, partial(_told, progress, number * count, len(encoders) * count)))
    shown = range(len(columns)) if job.phrases else _least_even([maps.heat for maps in found])
    results = []
    for column in shown:
        for artifact, encoder, maps in zip(job.checkpoints, encoders, found, strict=True):
            results.append(_explained(job, artifact, encoder, maps, column, _words(maps, columns[column], column, phrases)))
    return results


def notes_on_even(results: Sequence[Explained]) -> list[str]:
    """Of each checkpoint, how many of its transport maps are so even that nothing is to be seen in them, and what that means."""
    counts: dict[str, list[bool]] = {}
    for one in results:
        if one.words is not None:
            counts.setdefault(one.checkpoint.ref, []).append(float(one.words.even.mean()) >= EVEN)
    return [_even(ref, sum(even), len(even)) for ref, even in counts.items() if any(even)]


def _even(ref: str, even: int, count: int) -> str:
    which = "the map is" if count == 1 else f"{even} of {count} maps are"
    return (
        f"{ref}: {which} even to within 1 percent: the phrase takes nearly the same from every place, so the student does not say where it "
        "sees it; colours stretch what little differs"
    )


def _told(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _guide(artifact: Artifact, job: ExplainJob) -> TransportGuide:
    if TRANSPORT_FILE in artifact.files:
        artifact.file(TRANSPORT_FILE)  # verifies the digest
        return TransportGuide.load(artifact.path, pick_device(job.device)).requires_grad_(False)
    raise UserError(
        f"Checkpoint {artifact.ref} was not distilled with optimal transport: it has no {TRANSPORT_FILE}.",
        "Name one of `reidclip distill --method clip3dreid`, or take another --map.",
    )


def _maps(
    job: ExplainJob, encoder: InferenceEncoder, guide: TransportGuide, columns: Sequence[Column], progress: Callable[[int], None]
) -> _Maps:
    chosen, by, note = _choices(job, encoder, guide)
    heat: list[np.ndarray] = []
    choices: list[Tensor] = []
    for images, camera in batches(job, encoder):
        start = sum(len(part) for part in choices)
        own = None if chosen is None else chosen[start : start + len(images)]
        maps, used = phrase_maps(encoder, guide, images, columns, own, camera)
        heat.append(maps.cpu().numpy())
        choices.append(used.cpu())
        progress(start + len(images))
    return _Maps(np.concatenate(heat), torch.cat(choices), by, note)


def _choices(job: ExplainJob, encoder: InferenceEncoder, guide: TransportGuide) -> tuple[Tensor | None, str, str]:
    """(N, P) by a CLIP, its spec and ""; or None, "student" and why."""
    spec, digest = guide.teacher
    size = encoder.image_encoder.config.image_size
    if job.teacher is None:
        if not spec:
            return None, STUDENT, "the checkpoint does not say which CLIP described people"
        if not _is_here(OPEN_CLIP):
            return None, STUDENT, f"{OPEN_CLIP} is not installed, without which CLIP '{spec}', which described people, cannot be read"
        if not on_this_machine(spec):
            return None, STUDENT, f"CLIP '{spec}', which described people, is not on this machine (--teacher names it)"
    clip = _teacher(job.teacher or spec, size, pick_device(job.device))
    if clip.digest != digest:
        if job.teacher is None:
            return None, STUDENT, f"'{spec}' is not the CLIP now that described people then (--teacher names it)"
        told = f"'{job.teacher}' is not the CLIP whose words were distilled (that was '{spec}', digest {digest[:12]})."
        raise UserError(told, "Name that one, or leave --teacher out.")
    context = StageContext(
        settings=None,
        clip=clip,
        train=job.dataset.samples,
        labels=training_labels(job.dataset.samples),
        source=ImageSource.of(job.dataset, job.dataset.samples, cache=Cache("none")),
        device=pick_device(job.device),
        seed=job.seed,
        workers=job.workers,
    )
    settings = ModelSettings(clip=clip.spec, height=size[0], width=size[1], test_resize=encoder.options.resize)
    features = frozen_features(context, settings, batch_size=job.batch_size)["x"]
    return choose_phrases(features, guide.texts).choices, clip.spec, ""


def _is_here(module: str) -> bool:
    """Whether a package is installed."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _teacher(spec: str, size: Size, device: torch.device) -> ClipModel:
    from reidclip.stages.describe_teacher import load_teacher  # reads texts by open_clip, which students do without

    return load_teacher(spec, size, device)


def _least_even(heat: Sequence[np.ndarray]) -> list[int]:
    """The columns whose maps are least even, mean over pictures and checkpoints, least even first."""
    mean = np.mean([evenness(one).mean(axis=0) for one in heat], axis=0)
    return [int(column) for column in np.argsort(mean, kind="stable")[:MOST]]


def _words(maps: _Maps, column: Column, number: int, phrases: Sequence[tuple[str, str]]) -> Words:
    sides = maps.choices[:, column.pair] if column.side is None else torch.full((len(maps.choices),), column.side)
    said = tuple(phrases[column.pair][int(side)] for side in sides)
    return Words(column.title(phrases), said, evenness(maps.heat[:, number]), maps.by, maps.note)


def _explained(job: ExplainJob, artifact: Artifact, encoder: InferenceEncoder, maps: _Maps, column: int, words: Words) -> Explained:
    cells, heat = cells_of(encoder.image_encoder.config), maps.heat[:, column]
    if job.labels is None:
        return Explained(artifact, TRANSPORT, cells, heat, None, None, (), words)
    regions = regions_of(job.labels.label_set)
    shares = [shares_of(job, path, one, cells, regions) for path, one in zip(job.paths, heat, strict=True)]
    mass, pixels = (np.stack([share[side] for share in shares]) for side in (0, 1))
    return Explained(artifact, TRANSPORT, cells, heat, mass, pixels, (), words)
