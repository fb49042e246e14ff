"""Linguistic labelling of CLIP3DReID: a frozen CLIP says of every picture which phrase of each pair fits; artifact kind ``descriptions``.

=========================== ===================================================================================================
descriptions.safetensors    ``features`` (N, D) float32: the CLIP's projected image features; ``texts`` (16, 2, D): text features of
                            both phrases of each pair; ``scores`` (N, 16, 2): cosines; ``choices`` (N, 16) int64, eq. (2)
pictures.json               relative paths of the N pictures, and the broken ones that were left out
phrases.json                the pairs and the sentence
=========================== ===================================================================================================

An interrupted run of the same data, CLIP and settings is taken up again; several processes share the pictures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact
from reidclip.bodies.phrases import PAIRS
from reidclip.clip.load import ClipModel
from reidclip.counted import counted, which
from reidclip.data.cache import Cache
from reidclip.data.loader import ImageSource
from reidclip.errors import WorkError
from reidclip.evaluation.phrases import texts_alike
from reidclip.formulas.phrases import PhraseChoice, choose_phrases
from reidclip.interfaces import StageContext
from reidclip.parallel.processes import from_first, is_first
from reidclip.records import Sample, training_labels
from reidclip.stages.blurred_faces import face_blur
from reidclip.stages.broken_pictures import find_broken
from reidclip.stages.describe_job import DescribeJob, plan_description
from reidclip.stages.describe_teacher import load_teacher, text_features
from reidclip.stages.read_descriptions import FILE, KIND, PHRASES, PICTURES, descriptions_for, read_descriptions
from reidclip.train.device import pick_device
from reidclip.train.features import frozen_features

__all__ = ["KIND", "DescribeJob", "describe", "descriptions_for", "plan_description", "read_descriptions"]

Progress = Callable[[str, int, int], None]
"""(what, done, total)"""


def describe(job: DescribeJob, progress: Progress = lambda what, done, total: None) -> Artifact:
    """Run a planned description, from where it was interrupted, and commit its artifact; all of several processes get it.

    Raises:
        UserError: a CLIP that cannot be loaded or has no text, a sentence that is too long for it.
        WorkError: a broken picture (with ``on_error="fail"``), features that are not finite, a full disk.
    """
    clip = load_teacher(job.teacher, (job.settings.height, job.settings.width), pick_device(job.device))
    texts = text_features(clip, PAIRS, job.template)
    with ExitStack() as stack:
        draft = stack.enter_context(job.store.create(KIND, job.name)) if is_first() else None
        broken = _broken(job, progress)
        kept = [path for path in job.pictures if path not in broken]
        features = _features(job, clip, kept, progress).cpu()
        if draft is not None:
            _write(draft, job, clip, kept, broken, features, texts)
    if is_first():
        shutil.rmtree(job.run_folder(), ignore_errors=True)
    return job.store.open(from_first(None if draft is None else draft.artifact.ref), kind=KIND)


def _broken(job: DescribeJob, progress: Progress) -> dict[str, str]:
    """Pictures that are left out -> what is wrong with them."""
    if job.on_error == "fail":
        return {}
    found = from_first(find_broken(job.dataset, job.pictures, job.run_folder(), job.workers, progress) if is_first() else None)
    if len(found) == len(job.pictures):
        raise WorkError(f"None of the {len(found)} pictures can be read; {which(sorted(found))}.", "Check it with an image viewer.")
    return dict(found)


def _features(job: DescribeJob, clip: ClipModel, pictures: Sequence[str], progress: Progress) -> Tensor:
    """(N, D) projected features, by the encoding of prompt learning: no augmentation, evaluation mode, kept as they are computed."""
    samples = tuple(Sample(path, pid=0, camid=0, clothes_id=-1, split="") for path in pictures)  # frames one by one too
    blur = face_blur(job.dataset, samples, job.parsing, workers=job.workers, progress=progress) if job.parsing else None
    context = StageContext(
        settings=job.settings,
        clip=clip,
        train=samples,
        labels=training_labels(samples),
        source=ImageSource.of(job.dataset, samples, cache=Cache("none"), decoding=job.settings.decode, blur=blur),
        device=pick_device(job.device),
        seed=job.seed,
        workers=job.workers,
        precision=job.precision,
        progress=progress,
        cache=job.run_folder(),
    )
    try:
        features = frozen_features(context, job.settings, batch_size=job.batch_size)["x"]
    except WorkError as error:
        raise WorkError(error.what, f"{error.remedy} Or leave broken pictures out with --on-error skip.".strip()) from error
    finite = torch.isfinite(features).all(dim=1)
    if not bool(finite.all()):
        first = pictures[int((~finite).int().argmax())]
        raise WorkError(f"CLIP '{job.teacher}' gives features that are not finite, for {first} first.", "Try --precision fp32.")
    return features


def _write(
    draft: Draft, job: DescribeJob, clip: ClipModel, pictures: Sequence[str], broken: dict[str, str], features: Tensor, texts: Tensor
) -> None:
    chosen = choose_phrases(features, texts)
    ties = int(chosen.ties)
    tensors = {"features": features, "texts": texts, "scores": chosen.scores, "choices": chosen.choices}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft.path / FILE)
    draft.write(PICTURES, _json({"pictures": list(pictures), "left out": sorted(broken)}))
    pairs = [{"first": p.first, "second": p.second, "verb": p.verb, "measure": p.measure} for p in PAIRS]
    draft.write(PHRASES, _json({"template": job.template, "pairs": pairs}))
    notes = []
    if broken:
        what = counted(len(broken), "broken picture was left out", "broken pictures were left out")
        notes.append(f"{what}; {which(sorted(broken))}.")
    if ties:
        notes.append(counted(ties, "score was a tie", "scores were ties") + ", given to the first phrase.")
    draft.describe(
        config={**job.config, "teacher_digest": clip.digest, "precision": job.precision, "on_error": job.on_error},
        seed=job.seed,
        method=clip.name,
        dataset=DatasetRef.of(job.dataset),
        inputs=[InputRef.of(job.parsing, role="parsing")] if job.parsing else [],
        metrics={"pictures": len(pictures), "ties": ties, "pairs": _spread(chosen, texts)},
        notes=notes,
        device=pick_device(job.device),
    )


def _spread(chosen: PhraseChoice, texts: Tensor) -> dict[str, dict[str, float]]:
    """What `reidclip artifacts show` tells of the pairs; the whole table is `reidclip.stages.describe_table`'s."""
    first = (chosen.choices == 0).double().mean(0).tolist()
    margin = (chosen.scores[..., 0] - chosen.scores[..., 1]).abs().mean(0).tolist()
    alike = texts_alike(texts.double().numpy()).tolist()
    names = [f"{pair.first} / {pair.second}" for pair in PAIRS]
    return {n: {"first_share": f, "margin": m, "texts": t} for n, f, m, t in zip(names, first, margin, alike, strict=True)}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
