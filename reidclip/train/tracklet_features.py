"""Features of whole tracklets: the mean over the clips of `reidclip.data.clips.all_clips` of the mean over their frames.

Memory holds the pictures of a few clips at a time, however long a tracklet is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from reidclip.data.clips import FRAMES, STRIDE, all_clips
from reidclip.data.loader import ImageSource, Loader
from reidclip.data.transforms import Transform
from reidclip.records import LabelMap, Sample

Encode = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Batch of clips (see `reidclip.data.loader.Loader`), on the CPU -> named features (B, W) of the clips, not normalised."""


def tracklet_features(
    source: ImageSource,
    samples: Sequence[Sample],
    plan: Sequence[Sequence[int]],
    encode: Encode,
    *,
    transform: Transform,
    frames: int = FRAMES,
    stride: int = STRIDE,
    pictures: int = 128,
    workers: int | None = None,
    labels: LabelMap | None = None,
    device: torch.device | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Features of tracklets, one table per name and index list: (len(indices), W) each.

    Args:
        source: of tracklets (`ImageSource.groups`).
        samples: one per group.
        plan: lists of indices into ``samples``.
        encode: what gives the features of clips; it must not depend on which clips come together.
        transform: without randomness.
        frames, stride: of the clips.
        pictures: about so many frames are encoded at once.
        workers, labels, device: as the `Loader` takes them.

    Raises:
        ValueError: the source is of pictures.
        WorkError: a broken frame; names the file.
    """
    if source.groups is None:
        raise ValueError("the source is of pictures, not of tracklets")
    clips = [[[group[i] for i in clip] for clip in all_clips(len(group), frames, stride)] for group in source.groups]
    owners = [index for index, own in enumerate(clips) for _ in own]
    starts = torch.tensor([0, *(len(own) for own in clips)]).cumsum(0).tolist()
    loader = Loader(
        source.regrouped([clip for own in clips for clip in own]),
        [samples[index] for index in owners],
        transform=transform,
        workers=workers,
        labels=labels,
        device=device,
    )
    size = max(1, pictures // frames)
    try:
        for indices in plan:
            numbers = [number for index in indices for number in range(starts[index], starts[index + 1])]
            batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
            parts = [encode(batch) for batch in loader.epoch(0, batches)]
            yield _means(parts, [len(clips[index]) for index in indices])
    finally:
        loader.close()


def _means(parts: Sequence[Mapping[str, Tensor]], counts: Sequence[int]) -> dict[str, Tensor]:
    """Features of consecutive clips -> their means over ``counts`` clips each."""
    tables = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {name: torch.stack([clips.mean(0) for clips in torch.split(table, list(counts))]) for name, table in tables.items()}
