"""The prompts that a checkpoint was fine-tuned against, measured on the training pictures that they were learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reidclip.artifacts.lineage import LineageNode
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.load import ClipModel, load_clip
from reidclip.data.cache import Cache
from reidclip.data.loader import ImageSource
from reidclip.data.preview import spread
from reidclip.data.training_samples import choose_samples
from reidclip.errors import ReidclipError
from reidclip.evaluation.diagnostics.prompts import PromptDistances, prompt_distances
from reidclip.interfaces import StageContext
from reidclip.records import Dataset, LabelMap, Sample, training_labels
from reidclip.stages.choose import of_data
from reidclip.stages.read_prompts import read_prompts
from reidclip.stages.reopen import open_again
from reidclip.stages.use_masks import KEEP, keep_file, shielding_of, with_masks, without_mask
from reidclip.train.device import pick_device
from reidclip.train.features import frozen_features
from reidclip.train.settings import ModelSettings

if TYPE_CHECKING:
    from reidclip.stages.evaluate import EvaluateJob

MOST_PICTURES = 1024  # evenly spread over the training split


class Skipped(Exception):  # noqa: N818 - no error: the evaluation goes on without this part
    """Why the prompts cannot be measured, in one sentence."""


@dataclass(frozen=True)
class MeasuredPrompts:
    """Distances by kind of prompt ("identity", "clothes"), and what they were measured with."""

    by_prompt: dict[str, PromptDistances]
    facts: dict[str, Any] = field(default_factory=dict)


def measure_prompts(job: EvaluateJob, progress: Callable[[int, int], None] | None = None) -> MeasuredPrompts:
    """Distances of prompts to shielding and clothes images, as the frozen CLIP that they were learned with sees them.

    The masks are those that the prompts (or the checkpoint) were made with, else the newest of the same data: CLIP-ReID reads none, and
    is to be compared with methods that do.

    Raises:
        Skipped: no checkpoint, prompts, masks, or their data are at hand.
    """
    if job.checkpoint is None:
        raise Skipped("a plain CLIP has no learned prompts")
    nodes = list(_below(job.store.lineage(job.checkpoint)))
    prompts = next((n.artifact for n in nodes if n.kind == "prompts" and n.artifact), None)
    if prompts is None:
        raise Skipped("the checkpoint was fine-tuned without prompts, or they are no longer in the store")
    try:
        dataset = _data_of(prompts, job.dataset)
        masks = next((n.artifact for n in nodes if n.kind == "masks" and n.artifact), None) or _newest_masks(job.store, dataset)
        return _measure(job, prompts, masks, dataset, progress)
    except ReidclipError as error:
        raise Skipped(error.what) from error


def _below(node: LineageNode) -> Iterator[LineageNode]:
    yield node
    for below in node.inputs:
        yield from _below(below)


def _data_of(prompts: Artifact, evaluated: Dataset) -> Dataset:
    """The data that the prompts were learned from."""
    if of_data(evaluated)(prompts.manifest):
        return evaluated
    made = prompts.manifest.dataset
    if made is None or not all(Path(part.root).is_dir() for part in made.parts):
        raise Skipped("the data that the prompts were learned from are no longer there")
    dataset = open_again(made, f"prompts {prompts.ref}")
    if not of_data(dataset)(prompts.manifest):
        raise Skipped("the data that the prompts were learned from have changed")
    return dataset


def _newest_masks(store: Store, dataset: Dataset) -> Artifact:
    masks = store.newest("masks", of_data(dataset))
    if masks is None:
        raise Skipped("there are no masks of the training data")
    return masks


def _measure(
    job: EvaluateJob, prompts: Artifact, masks: Artifact, dataset: Dataset, progress: Callable[[int, int], None] | None
) -> MeasuredPrompts:
    used = prompts.manifest.config.get("settings", {})
    settings = ModelSettings.model_validate({key: value for key, value in used.items() if key in ModelSettings.model_fields})
    trained = choose_samples(dataset, settings.train_splits, settings.distractors).samples
    labels = training_labels(trained)
    clip = load_clip(settings.clip, image_size=(settings.height, settings.width), stride=settings.stride, device=pick_device(job.device))
    tensors = read_prompts(prompts, clip, labels)
    left_out = set(without_mask(masks, trained))
    covered = [s for s in trained if s not in left_out]
    pictures = with_masks(masks, [covered[i] for i in spread(len(covered), MOST_PICTURES)])
    views = _views(job, settings, clip, dataset, pictures, labels, masks, progress)
    targets = {
        "identity": torch.tensor([labels.pids[s.pid] for s in pictures]),
        "clothes": torch.tensor([labels.clothes[s.clothes_id] for s in pictures]),
    }
    found = {
        name: distances
        for name, target in targets.items()
        if f"{name}.text" in tensors and (distances := prompt_distances(tensors[f"{name}.text"], views, target)) is not None
    }
    if not found:
        raise Skipped(f"prompts {prompts.ref} hold neither identity nor clothes texts")
    facts = {"prompts": prompts.ref, "masks": masks.ref, "clip": clip.spec, "pictures": len(pictures)}
    return MeasuredPrompts(found, facts)


def _views(
    job: EvaluateJob,
    settings: ModelSettings,
    clip: ClipModel,
    dataset: Dataset,
    pictures: tuple[Sample, ...],
    labels: LabelMap,
    masks: Artifact,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Tensor]:
    """Projected features of pictures, shielding images and clothes images: ``x``, ``x_s``, ``x_c``, (N, D) each, on the CPU."""
    for path in (path for sample in pictures for path in sample.pictures):
        masks.file(keep_file(path))
    source = ImageSource.of(dataset, pictures, masks=masks.path / KEEP, cache=Cache("none"), shielding=shielding_of(masks))
    context = StageContext(
        settings=settings,
        clip=clip,
        train=pictures,
        labels=labels,
        source=source,
        device=pick_device(job.device),
        seed=job.seed,
        workers=job.workers,
        precision=job.precision,
        progress=(lambda what, done, total: progress(done, total)) if progress else None,
    )
    views = {**frozen_features(context, settings), **frozen_features(context, settings, ("shield", "clothes"))}
    return {name: table.cpu() for name, table in views.items()}
