"""Pictures per second of an encoder, without reading them from disk."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder
from reidclip.train.precision import autocast

WARM_UP = 2


def inputs(encoder: InferenceEncoder, batch_size: int) -> Tensor:
    """(B, 3, H, W) normalised noise on the encoder's device, laid out as evaluation does."""
    images = torch.randn(batch_size, 3, *encoder.image_encoder.config.image_size, generator=torch.Generator().manual_seed(0))
    return images.to(next(encoder.parameters()).device)


def prepare(encoder: InferenceEncoder) -> InferenceEncoder:
    """The encoder in evaluation mode with its weights laid out as evaluation does."""
    if encoder.image_encoder.config.is_resnet:
        encoder.to(memory_format=torch.channels_last)
    return encoder.eval()


def images_per_second(encoder: InferenceEncoder, batch_size: int, repeats: int, precision: str = "fp32") -> float:
    """Median over ``repeats`` forwards of one batch, after some that do not count."""
    images = inputs(encoder, batch_size)
    seconds = [_forward(encoder, images, precision) for _ in range(WARM_UP + repeats)][WARM_UP:]
    return batch_size / statistics.median(seconds)


def _forward(encoder: InferenceEncoder, images: Tensor, precision: str) -> float:
    """Seconds of one forward, waited for."""
    _wait(images.device)
    start = time.perf_counter()
    with autocast(images.device, precision):
        encoder.features(images)
    _wait(images.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
