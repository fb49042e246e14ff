"""Test features of pictures and tracklets, as ``reidclip evaluate`` needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder
from reidclip.data.cache import Cache
from reidclip.data.face_blur import FaceBlur
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.transforms import Transform, finish
from reidclip.evaluation.protocols import Features
from reidclip.formulas.distances import Measure
from reidclip.parallel.rows import batch_of, gather_rows, share_of_pictures
from reidclip.records import Sample
from reidclip.train.precision import autocast
from reidclip.train.tracklet_features import tracklet_features

if TYPE_CHECKING:
    from reidclip.stages.evaluate import EvaluateJob
    from reidclip.stages.plan_shape import ShapeJob

_TRACKLETS = 8  # whose clip features are kept until they are averaged


def extract_features(
    encoder: InferenceEncoder,
    job: EvaluateJob | ShapeJob,
    samples: Sequence[Sample],
    progress: Callable[[int, int], None] | None = None,
    blur: FaceBlur | None = None,
) -> Features:
    """Test features of the samples, (N, width) float32 on the CPU, resized and normalised as the encoder says; faces blurred by ``blur``.

    A tracklet's feature is the mean over its clips of the mean over their frames, normalised after the mean (Simple-CCReID on CCVID).
    Of several processes each reads its part of the samples; all get all features.
    """
    kept = Cache("none" if job.cache == "auto" else job.cache, job.store.cache_dir, say=job.say)
    source = ImageSource.of(job.dataset, samples, cache=kept, decoding=job.settings.decode, blur=blur)
    own = share_of_pictures(len(samples))
    size = job.settings.batch_size if source.groups is None else _TRACKLETS
    plan = [own[start : start + size] for start in range(0, len(own), size)]
    parts = _of_pictures if source.groups is None else _of_tracklets
    rows: list[Tensor] = []
    done = 0
    for indices, part in zip(plan, parts(encoder, job, source, samples, plan), strict=True):
        rows.append(part)
        done += len(indices)
        if progress:
            progress(done * len(samples) // len(own), len(samples))  # shares are alike: the others are as far
    with batch_of(len(samples)):
        measure: Measure = "similarity" if encoder.options.normalise else "distance"
        return Features(tuple(s.path for s in samples), gather_rows(torch.cat(rows)), measure)


def _of_pictures(
    encoder: InferenceEncoder, job: EvaluateJob | ShapeJob, source: ImageSource, samples: Sequence[Sample], plan: Sequence[Sequence[int]]
) -> Iterator[Tensor]:
    device = next(encoder.parameters()).device
    for batch in fetch(source, samples, plan, transform=_transform(encoder), workers=job.workers, device=device):
        images, camera = _views(encoder, batch)
        with autocast(device, job.precision):
            yield encoder.features(images, camera).float().cpu()


def _of_tracklets(
    encoder: InferenceEncoder, job: EvaluateJob | ShapeJob, source: ImageSource, samples: Sequence[Sample], plan: Sequence[Sequence[int]]
) -> Iterator[Tensor]:
    device, settings = next(encoder.parameters()).device, job.settings

    @torch.no_grad()
    def encode(batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images, camera = _views(encoder, batch)
        with autocast(device, job.precision):
            return {"feature": encoder.raw(images, camera).float().cpu()}

    for means in tracklet_features(
        source,
        samples,
        plan,
        encode,
        transform=_transform(encoder),
        frames=settings.clip_frames,
        stride=settings.clip_stride,
        pictures=settings.batch_size,
        workers=job.workers,
        device=device,
    ):
        yield encoder.normalised(means["feature"])


def _transform(encoder: InferenceEncoder) -> Transform:
    height, width = encoder.image_encoder.config.image_size
    return Transform(height, width, encoder.options.resize)


def _views(encoder: InferenceEncoder, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Normalised pictures and cameras, on the encoder's device."""
    device = next(encoder.parameters()).device
    moved = {name: value.to(device) for name, value in batch.items()}
    return finish(moved, encoder.options.normalisation)["x"], moved["camid"]
