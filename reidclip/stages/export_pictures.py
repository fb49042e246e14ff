"""The pictures that an export is verified on: some of a data set, or rendered people where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from reidclip.clip.inference import InferenceEncoder
from reidclip.data.images import UInt8, read_picture, resize
from reidclip.data.transforms import normalise
from reidclip.errors import UserError
from reidclip.records import Dataset
from reidclip.synth.layouts import LAYOUTS
from reidclip.synth.people import photographs

_RENDERED = (4, 17)  # people, seed of those that are rendered


@dataclass(frozen=True)
class TrialPictures:
    """Pictures at their own sizes, and as an encoder wants them.

    Attributes:
        paths: what each is called in reports.
        pictures: uint8 (H, W, 3) RGB each.
        camera: (N,) int64 cameras, all of which the encoder knows.
        source: where they are from, in words.
    """

    paths: tuple[str, ...]
    pictures: tuple[UInt8, ...]
    camera: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.paths)

    def sized(self, encoder: InferenceEncoder) -> UInt8:
        """(N, H, W, 3) uint8 of the encoder's size, resized by Pillow as evaluation does."""
        return _Sized(self, encoder).pictures


@dataclass(frozen=True)
class _Sized:
    trial: TrialPictures
    encoder: InferenceEncoder

    @cached_property
    def pictures(self) -> UInt8:
        height, width = self.encoder.image_encoder.config.image_size
        return np.stack([resize(p, height, width, self.encoder.options.resize) for p in self.trial.pictures])


def normalised(pictures: UInt8, encoder: InferenceEncoder) -> np.ndarray:
    """(B, H, W, 3) uint8 -> what the encoder takes, (B, 3, H, W) float32."""
    planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    found: np.ndarray = normalise(planes, encoder.options.normalisation).numpy()
    return found


def trial_pictures(dataset: Dataset | None, count: int, cameras: int) -> TrialPictures:
    """``count`` pictures spread evenly over the data set, of tracklets their first frames; repeated where there are fewer.

    Args:
        dataset: None renders people instead, always the same.
        count: how many.
        cameras: how many the encoder has embeddings of; 0 for none.

    Raises:
        UserError: a data set without pictures. WorkError: a broken picture.
    """
    if dataset is None:
        return _rendered(count, cameras)
    known = [s for s in dataset.samples if not cameras or 0 <= s.camid < cameras]
    if not known:
        raise UserError(f"{dataset.root} has no pictures that the encoder can be tried on.", "Name other data with --data.")
    chosen = [known[i * len(known) // count] for i in range(count)]
    paths = [s.pictures[0] for s in chosen]
    once = {path: read_picture(dataset.file(path)) for path in dict.fromkeys(paths)}
    camera = np.array([s.camid for s in chosen], dtype=np.int64)
    return TrialPictures(tuple(paths), tuple(once[p] for p in paths), camera, f"{len(once)} pictures of {dataset.root}")


def _rendered(count: int, cameras: int) -> TrialPictures:
    from reidclip.stages.synth import plan_synth
    from reidclip.synth.body import body_model

    people, seed = _RENDERED
    plan = plan_synth(ids=people, test_ids=0, images_per_camera=1, seed=seed)
    drawn: list[tuple[str, UInt8]] = []
    for pid in range(1, people + 1):
        for shot, picture, _ in photographs(body_model(), plan, pid, LAYOUTS[plan.layout].shots(plan, pid)):
            drawn += [(shot.path, picture.image), (f"{shot.path}, mirrored", np.ascontiguousarray(picture.image[:, ::-1]))]
    named = _repeated(drawn, count)
    camera = np.arange(count, dtype=np.int64) % max(cameras, 1)
    return TrialPictures(tuple(p for p, _ in named), tuple(i for _, i in named), camera, f"{min(count, len(drawn))} rendered pictures")


def _repeated(drawn: Sequence[tuple[str, UInt8]], count: int) -> list[tuple[str, UInt8]]:
    return [drawn[i % len(drawn)] for i in range(count)]
