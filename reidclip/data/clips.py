"""Which frames of a tracklet make a clip: pieces and random clips in training, all frames at test time (Gu et al., CVPR 2022). No torch.

Rules of guxinqian/Simple-CCReID with its 8 frames, stride 4 and pieces of 64 frames as defaults. Frames are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reidclip.records import Sample

FRAMES, STRIDE, PIECE = 8, 4, 64


@dataclass(frozen=True)
class RandomClip:
    """Draws one clip of a tracklet.

    Attributes:
        frames: T, of the clip.
        stride: between them, where the tracklet is long enough.
    """

    frames: int = FRAMES
    stride: int = STRIDE

    def __call__(self, count: int, rng: np.random.Generator) -> list[int]:
        """T ascending frames of ``count``: every ``stride``-th from a random start; else one of each of T parts; else with repetition.

        The parts have floor(count / T) frames each, so that, as published, the last count mod T frames are never drawn.
        """
        if count >= self.frames * self.stride:
            start = int(rng.integers(0, count - (self.frames - 1) * self.stride))
            return list(range(start, start + self.frames * self.stride, self.stride))
        if count >= self.frames:
            size = count // self.frames
            return [int(rng.integers(first, first + size)) for first in range(0, size * self.frames, size)]
        return sorted(int(frame) for frame in rng.integers(0, count, self.frames))


def pieces(count: int, size: int = PIECE) -> list[range]:
    """Consecutive pieces of a tracklet of ``count`` frames: floor(count / size), at least one; the last takes the rest."""
    number = max(1, count // size)
    return [range(i * size, count if i == number - 1 else (i + 1) * size) for i in range(number)]


def cut(samples: Sequence[Sample], size: int = PIECE) -> tuple[Sample, ...]:
    """Training samples with every tracklet cut into `pieces`, in order; single pictures, and size 0, stay as they are."""
    return tuple(part for s in samples for part in (_pieces_of(s, size) if s.frames and size else (s,)))


def _pieces_of(tracklet: Sample, size: int) -> list[Sample]:
    frames = tracklet.frames
    return [tracklet.with_frames(frames[part.start : part.stop]) for part in pieces(len(frames), size)]


def all_clips(count: int, frames: int = FRAMES, stride: int = STRIDE) -> list[list[int]]:
    """Clips in which every one of ``count`` frames occurs: ceil(count / frames) of them.

    Each full block of frames x stride gives ``stride`` interleaved clips; what whole clips remain behind are interleaved likewise; the
    last count mod frames frames make one more, which goes through them again and again until it is full.
    """
    clips: list[list[int]] = []
    start = 0
    while count - start >= frames:
        step = min(stride, (count - start) // frames)
        clips += [list(range(start + offset, start + frames * step, step)) for offset in range(step)]
        start += frames * step
    if start < count:
        clips.append([start + i % (count - start) for i in range(frames)])
    return clips
