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

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reidclip import __version__
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.phrases import PAIRS, TEMPLATE
from reidclip.clip.load import ClipModel
from reidclip.counted import counted, which
from reidclip.data.cache import Cache
from reidclip.data.loader import ImageSource
from reidclip.data.training_samples import training_samples
from reidclip.errors import UserError, WorkError
from reidclip.evaluation.phrases import texts_alike
from reidclip.formulas.phrases import PhraseChoice, choose_phrases
from reidclip.interfaces import StageContext
from reidclip.parallel.processes import from_first, is_first
from reidclip.records import Dataset, Sample, training_labels
from reidclip.stages.broken_pictures import find_broken
from reidclip.stages.describe_teacher import check_template, check_text_side, load_teacher, text_features
from reidclip.stages.described_pictures import pictures_to_describe
from reidclip.stages.pictures import OnError
from reidclip.stages.read_descriptions import FILE, KIND, PHRASES, PICTURES, descriptions_for, entering, read_descriptions
from reidclip.train.device import pick_device
from reidclip.train.features import frozen_features
from reidclip.train.precision import check_precision
from reidclip.train.settings import ModelSettings, PictureSettings

__all__ = ["KIND", "DescribeJob", "describe", "descriptions_for", "plan_description", "read_descriptions"]

Progress = Callable[[str, int, int], None]
"""(what, done, total)"""


@dataclass(frozen=True)
class DescribeJob:
    """A description with everything decided and nothing loaded.

    Attributes:
        name: of the artifact that is written.
        teacher: spec of the CLIP, see `reidclip.clip.sources`.
        settings: how pictures enter it.
        pictures: relative paths, in the order of the rows.
        all_pictures: whether they are those of all splits.
        seed: for the manifest: nothing is drawn, unless the CLIP's weights are random.
    """

    dataset: Dataset
    store: Store
    name: str
    teacher: str
    settings: ModelSettings
    pictures: tuple[str, ...]
    all_pictures: bool
    template: str = TEMPLATE
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    on_error: OnError = "fail"
    batch_size: int = 128

    @cached_property
    def key(self) -> str:
        """Digest of what the rows depend on; the CLIP's own digest stands beside the features of an unfinished run."""
        parts = [__version__, self.dataset.fingerprint, self.config, self.precision, self.on_error, self.batch_size, self.pictures]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def run_folder(self) -> Path:
        """Where the state of the unfinished run lies."""
        return self.store.resume_dir(KIND, self.name, self.key)

    @property
    def config(self) -> dict[str, Any]:
        """What decides whether descriptions fit a training; see `reidclip.stages.read_descriptions.descriptions_for`."""
        s = self.settings
        chosen = {"train_splits": sorted(set(s.train_splits)), "all_pictures": self.all_pictures}
        return {"teacher": self.teacher, "template": self.template, **entering(s), **chosen}

    def plan(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "data": str(self.dataset.root),
            "pictures": len(self.pictures),
            **self.config,
            "writes": f"{KIND}/{self.name}",
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "on_error": self.on_error,
        }


def plan_description(
    dataset: Dataset,
    store: Store,
    *,
    teacher: str,
    settings: PictureSettings,
    template: str = TEMPLATE,
    all_pictures: bool | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    on_error: OnError = "fail",
    batch_size: int = 128,
    say: Callable[[str], None] = lambda text: None,
) -> DescribeJob:
    """Decide everything, load nothing.

    Args:
        dataset: whose pictures are described.
        teacher: spec of a CLIP with text.
        settings: of the training that will read it. Its size, resize filter, decoding and training splits are taken; its
            stride and normalisation are the student's: the CLIP keeps its own.
        template: the sentence, with {phrase} in it.
        all_pictures: those of test splits too; None: where the data set is not large (`reidclip.stages.described_pictures.LARGE`).
        name: of the artifact; None makes it from CLIP and data.
        say: is told what was decided.

    Raises:
        UserError: a CLIP without text, a sentence without {phrase}, a data set without training pictures.
    """
    check_precision(precision, pick_device(device))
    check_template(template)
    check_text_side(teacher)
    pictures, whole = pictures_to_describe(dataset, settings.train_splits, all_pictures)
    if not whole:
        training_samples(dataset, settings.train_splits, settings.distractors)  # tells what is wrong with the splits
        say(f"descriptions: of the {len(pictures)} pictures of the training splits (--all-pictures describes those of test splits too)")
    if not pictures:
        raise UserError(f"There are no pictures in {dataset.root}.", "Name a data set with pictures.")
    taken = ("height", "width", "test_resize", "decode", "train_splits")
    reading = ModelSettings(clip=teacher, **{key: getattr(settings, key) for key in taken})
    called = safe_name(f"{Path(teacher).stem if Path(teacher).is_file() else teacher}-{dataset.name}")
    checked = check_name(name or called)
    return DescribeJob(
        dataset, store, checked, teacher, reading, pictures, whole, template, seed, device, precision, workers, on_error, batch_size
    )


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
    context = StageContext(
        settings=job.settings,
        clip=clip,
        train=samples,
        labels=training_labels(samples),
        source=ImageSource.of(job.dataset, samples, cache=Cache("none"), decoding=job.settings.decode),
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
