"""Pictures in memory to vectors, by exactly what evaluation does to them: Pillow's resize, the encoder's normalisation, its feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from reidclip.clip.inference import InferenceEncoder
from reidclip.data.images import UInt8, resize
from reidclip.data.transforms import normalise
from reidclip.errors import UserError
from reidclip.train.precision import autocast

BATCH_SIZE = 128


def embed_pictures(
    encoder: InferenceEncoder,
    pictures: Sequence[UInt8],
    device: torch.device | None = None,
    precision: str = "fp32",
    batch_size: int = BATCH_SIZE,
    cameras: Sequence[int] | None = None,
) -> np.ndarray:
    """Vectors of whole pictures or crops.

    Args:
        encoder: in evaluation mode.
        pictures: N of any sizes, each (H, W, 3) uint8 RGB, upright.
        device: where the encoder is; None asks it.
        precision: "fp32", "bf16", ... (`reidclip.train.precision`).
        batch_size: pictures per forward.
        cameras: N numbers, for encoders with camera embeddings.

    Returns:
        (N, D) float32, of unit length where ``encoder.options.normalise``.

    Raises:
        UserError: an encoder with camera embeddings, and no cameras.
        ValueError: an array that is no picture.
    """
    if not len(pictures):
        return np.zeros((0, encoder.width), np.float32)
    rows = [
        embed_resized(
            encoder,
            np.stack([fitted(encoder, picture) for picture in pictures[start : start + batch_size]]),
            device,
            precision,
            None if cameras is None else cameras[start : start + batch_size],
        )
        for start in range(0, len(pictures), batch_size)
    ]
    return np.concatenate(rows)


def fitted(encoder: InferenceEncoder, picture: UInt8) -> UInt8:
    """(H, W, 3) uint8 -> (3, height, width) uint8 of the encoder's input size, by its Pillow filter."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"a picture must be uint8 (H, W, 3), got {picture.dtype} {picture.shape}")
    height, width = encoder.image_encoder.config.image_size
    return np.ascontiguousarray(resize(picture, height, width, encoder.options.resize).transpose(2, 0, 1))


def embed_resized(
    encoder: InferenceEncoder,
    pictures: UInt8,
    device: torch.device | None = None,
    precision: str = "fp32",
    cameras: Sequence[int] | None = None,
) -> np.ndarray:
    """One forward over pictures of the encoder's size, (B, 3, height, width) uint8 -> (B, D) float32; see `embed_pictures`."""
    device = device or next(encoder.parameters()).device
    if encoder.image_encoder.config.sie_cameras and cameras is None:
        raise UserError(
            "The encoder has camera embeddings, and nothing says which camera took these pictures.",
            "Extract from the data set it was trained on, or fine-tune with --set sie_camera=false.",
        )
    images = normalise(torch.from_numpy(pictures).to(device), encoder.options.normalisation)
    camera = None if cameras is None else torch.tensor(list(cameras), dtype=torch.int64, device=device)
    with autocast(device, precision):
        features = encoder.features(images, camera)
    found: np.ndarray = features.float().cpu().numpy()
    return found
