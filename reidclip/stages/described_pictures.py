"""Which pictures of a data set a CLIP describes: all of a small one, the training half of a large one, some frames of tracklets."""

from __future__ import annotations

from collections.abc import Sequence

from reidclip.data.training_samples import choose_samples
from reidclip.records import Dataset, Sample

MOST_FRAMES = 8
"""Frames that a tracklet's description is the mean of, at most."""
SPACING = 8
"""Long tracklets: every 8th frame is described. So each piece of 8 frames or more has one, wherever a training cuts it."""
LARGE = 50_000
"""Data sets of more pictures than these have only their training splits described, unless all are asked for."""


def described_frames(frames: Sequence[str]) -> tuple[str, ...]:
    """The frames of a tracklet that are described: all of up to 15, else every so many-th, so that 8 remain at least."""
    return tuple(frames[:: max(1, min(SPACING, len(frames) // MOST_FRAMES))])


def pictures_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Relative paths of the pictures, and of tracklets the `described_frames`, each once, in the samples' order."""
    return tuple(dict.fromkeys(path for s in samples for path in (described_frames(s.frames) if s.frames else (s.path,))))


def pictures_to_describe(dataset: Dataset, splits: Sequence[str], all_pictures: bool | None) -> tuple[tuple[str, ...], bool]:
    """The pictures, and whether they are those of all splits.

    Args:
        splits: those that are trained on, which are always described; as a training's ``train_splits``.
        all_pictures: those of all other splits too, on which the phrases can then be judged; None: where there are few, see `LARGE`.
    """
    whole = pictures_of(dataset.samples)
    if all_pictures or (all_pictures is None and len(whole) <= LARGE):
        return whole, True
    return pictures_of(choose_samples(dataset, splits, "identity").samples), False


def evenly(rows: Sequence[int], most: int = MOST_FRAMES) -> list[int]:
    """At most so many of the rows, evenly spread: of 16 and 8 those numbered 1, 3, 5 ... from 0, the middles of 8 equal parts."""
    if len(rows) <= most:
        return list(rows)
    return [rows[(2 * part + 1) * len(rows) // (2 * most)] for part in range(most)]
