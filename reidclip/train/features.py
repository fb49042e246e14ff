"""Frozen image features of the training pictures, computed once: nothing on the image side changes while prompts are learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reidclip.data.loader import fetch
from reidclip.data.samplers import sequential_batches
from reidclip.data.transforms import Derived, Transform, finish
from reidclip.interfaces import StageContext
from reidclip.train.model_inputs import normalisation_of
from reidclip.train.precision import autocast
from reidclip.train.settings import ModelSettings


@torch.no_grad()
def frozen_features(
    context: StageContext,
    settings: ModelSettings,
    derived: Sequence[Derived] = (),
    *,
    batch_size: int = 128,
) -> dict[str, Tensor]:
    """Projected features of the plain CLIP for every training picture, without augmentation, resized bilinearly as published.

    Args:
        context, settings: what to encode and how it enters the tower; ``context.progress`` is told how far it is.
        derived: encode these instead of the raw picture: "shield" -> ``x_s``, "clothes" -> ``x_c``.
        batch_size: pictures per forward.

    Returns:
        ``x`` (N, D), or ``x_s`` / ``x_c`` as asked for, on the context's device.
    """
    keys = [_KEYS[name] for name in derived] or ["x"]
    encoder = context.clip.image_encoder.to(context.device).eval()
    rows: dict[str, list[Tensor]] = {key: [] for key in keys}
    transform = Transform(settings.height, settings.width, "bilinear")
    plan = sequential_batches(len(context.train), batch_size)
    batches = fetch(context.source, context.train, plan, transform=transform, workers=context.workers, labels=context.labels)
    for done, batch in enumerate(batches, start=1):
        moved = {name: value.to(context.device) for name, value in batch.items()}
        views = finish(moved, normalisation_of(context.clip, settings), derived, context.source.shielding)
        with autocast(context.device, context.precision):
            for key in keys:
                rows[key].append(encoder(views[key]).projected.float())
        if context.progress:
            context.progress("image features", done, len(plan))
    return {key: torch.cat(parts) for key, parts in rows.items()}


_KEYS: dict[Derived, str] = {"shield": "x_s", "clothes": "x_c"}
