"""Frozen image features of the training pictures, computed once: nothing on the image side changes while prompts are learned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reidclip.data.loader import fetch
from reidclip.data.samplers import sequential_batches
from reidclip.data.transforms import Derived, Transform, finish
from reidclip.interfaces import StageContext
from reidclip.parallel.processes import any_process, is_first, size
from reidclip.parallel.rows import batch_of, gather_rows, share_of_pictures
from reidclip.train.feature_files import FeatureFiles
from reidclip.train.model_inputs import normalisation_of
from reidclip.train.precision import autocast
from reidclip.train.settings import ModelSettings
from reidclip.train.tracklet_features import tracklet_features

_KEYS: dict[Derived, str] = {"shield": "x_s", "clothes": "x_c"}


@torch.no_grad()
def frozen_features(
    context: StageContext,
    settings: ModelSettings,
    derived: Sequence[Derived] = (),
    *,
    batch_size: int = 128,
) -> dict[str, Tensor]:
    """Projected features of the plain CLIP for every training picture, without augmentation, resized as ``test_resize`` says.

    Of a tracklet the mean over its clips of the mean over their frames (`reidclip.train.tracklet_features`): all frames take part.
    With ``context.cache`` they are kept there as they are computed: a run that was cut goes on behind the last rows kept.

    Args:
        context, settings: what to encode and how it enters the tower; ``context.progress`` is told how far it is.
        derived: encode these instead of the raw picture: "shield" -> ``x_s``, "clothes" -> ``x_c``.
        batch_size: pictures per forward.

    Returns:
        ``x`` (N, D), or ``x_s`` / ``x_c`` as asked for, on the context's device; large ones that were kept are mapped into the CPU's
        memory (`reidclip.train.feature_files`).
    """
    keys = [_KEYS[name] for name in derived] or ["x"]
    if context.cache is None:
        return _encoded_together(context, settings, derived, batch_size)
    facts = _facts(context, settings, batch_size)
    files = FeatureFiles(context.cache / "features", facts, keys, len(context.train), context.clip.joint_width)
    if not any_process(not files.complete):  # processes on other machines may not see the folder
        return files.read(context.device)
    if size() > 1:
        tables = _encoded_together(context, settings, derived, batch_size)
        if is_first():
            with files:
                files.append({key: table[files.done :] for key, table in tables.items()})
        return tables
    with files:
        start = -(-files.done // batch_size)  # whole batches are kept, and at the end a last partial one
        for tables in _encoded(context, settings, derived, sequential_batches(len(context.train), batch_size), start):
            files.append(tables)
    return files.read(context.device)


def _encoded_together(context: StageContext, settings: ModelSettings, derived: Sequence[Derived], batch_size: int) -> dict[str, Tensor]:
    """Features of all pictures in every process; each encodes its part of them."""
    rows = share_of_pictures(len(context.train))
    plan = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with batch_of(len(context.train)):
        return {key: gather_rows(table) for key, table in _joined(_encoded(context, settings, derived, plan)).items()}


def _encoded(
    context: StageContext, settings: ModelSettings, derived: Sequence[Derived], plan: Sequence[Sequence[int]], start: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Features batch by batch, from batch number ``start`` on."""
    keys = [_KEYS[name] for name in derived] or ["x"]
    encoder = context.clip.image_encoder.to(context.device).eval()
    source, transform = context.source, Transform(settings.height, settings.width, settings.test_resize)

    @torch.no_grad()
    def encode(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved = {name: value.to(context.device) for name, value in batch.items()}
        views = finish(moved, normalisation_of(context.clip, settings), derived, source.shielding)
        with autocast(context.device, context.precision):
            return {key: encoder(views[key]).projected.float() for key in keys}

    if source.groups is None:
        batches = fetch(
            source,
            context.train,
            plan[start:],
            transform=transform,
            workers=context.workers,
            labels=context.labels,
            device=context.device,
        )
        found: Iterator[dict[str, Tensor]] = map(encode, batches)
    else:
        found = tracklet_features(
            source,
            context.train,
            plan[start:],
            encode,
            transform=transform,
            workers=context.workers,
            labels=context.labels,
            device=context.device,
        )
    for done, tables in enumerate(found, start=start + 1):
        if context.progress:
            context.progress("image features", done, len(plan))
        yield tables


def _joined(parts: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    batches = list(parts)
    return {key: torch.cat([tables[key] for tables in batches]) for key in batches[0]}


def _facts(context: StageContext, settings: ModelSettings, batch_size: int) -> dict[str, Any]:
    """What the features depend on beside the pictures' and masks' own bytes, which the key of a run's folder stands for."""
    normalisation = normalisation_of(context.clip, settings)
    pictures = hashlib.sha256("\n".join(path for s in context.train for path in s.pictures).encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "clip": context.clip.digest,
        "encoder": context.clip.image_encoder.config.to_json(),
        "normalisation": "instance" if normalisation.per_picture else [*normalisation.mean, *normalisation.std],
        "resize": settings.test_resize,
        "shielding": list(context.source.shielding),
        "precision": context.precision,
        "pictures": pictures,
        "batch": batch_size,  # rounding may depend on it; and whole batches alone are kept
    }
