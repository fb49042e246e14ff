"""Input pipeline of the CLIP-ReID family: geometry on uint8 pictures in the workers, everything else on the device.

Order, as published (Syliz517/CLIP-ReID): resize, flip, pad with black, random crop, normalise, erase. The geometry of a
picture, its mask and its derived images is drawn once. Workers hand over uint8 (`apply`); `finish` normalises on the device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reidclip.data.images import Filter, UInt8, resize, resize_nearest

Derived = Literal["shield", "clothes"]


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of pictures scaled to [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALISATIONS: Mapping[str, Normalisation] = {
    "half": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # CLIP-ReID's ViT recipes
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # CLIP-ReID's RN50 recipes
    "clip": Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # OpenAI's own
}


@dataclass(frozen=True)
class Transform:
    """What happens to a picture before normalisation. The defaults are those of testing: resize only.

    Attributes:
        height, width: of the result, in pixels.
        resize: bilinear in stage 1 and at test time, bicubic in stage 2's training, as published.
        flip: probability of mirroring.
        pad: black pixels added on each side before a random crop back to height x width; 0 for no crop.
        erase: probability of erasing one box.
        erase_area: share of the picture that the box covers, drawn uniformly.
        erase_ratio: height / width of the box, drawn log-uniformly.

    The box follows timm's RandomErasing with its defaults, which is what CLIP-ReID runs (mode "pixel", one box).
    Simple-CCReID draws the area in 0.02..0.4 and the ratio uniformly.
    """

    height: int = 256
    width: int = 128
    resize: Filter = "bilinear"
    flip: float = 0.0
    pad: int = 0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    erase_ratio: tuple[float, float] = (0.3, 1 / 0.3)


def training(height: int = 256, width: int = 128, method: Filter = "bicubic") -> Transform:
    """CLIP-ReID's stage-2 training transform: flip 0.5, pad 10 and crop, erase 0.5."""
    return Transform(height, width, method, flip=0.5, pad=10, erase=0.5)


@dataclass(frozen=True)
class Geometry:
    """The random choices made for one picture.

    Attributes:
        flip: mirrored or not.
        top, left: corner of the crop in the padded picture.
        erase: top, left, height, width of the erased box; zeros when there is none.
        erase_seed: seed of the noise in the box.
    """

    flip: bool
    top: int
    left: int
    erase: tuple[int, int, int, int]
    erase_seed: int


def draw(transform: Transform, rng: np.random.Generator) -> Geometry:
    """Draw the geometry of one picture. Every choice consumes its random numbers whether or not it is used."""
    raise NotImplementedError


def apply(transform: Transform, geometry: Geometry, image: UInt8, keep: UInt8 | None = None) -> tuple[UInt8, UInt8 | None]:
    """Mirror, pad and crop a picture of the final size and its mask alike.

    Args:
        transform, geometry: what to do.
        image: (H, W, 3), already resized.
        keep: (H, W), 1 = not clothes, already resized; the padded border counts as not clothes.

    Returns:
        image (3, H, W) and keep (H, W) or None.
    """
    raise NotImplementedError


def finish(batch: Mapping[str, Tensor], normalisation: Normalisation, derived: Collection[Derived] = ()) -> dict[str, Tensor]:
    """Normalise and erase on the batch's device.

    Args:
        batch: "image" uint8 (B, 3, H, W), "erase" (B, 4), "erase_seed" (B,); "keep" uint8 (B, H, W) for derived images.
        normalisation: mean and standard deviation.
        derived: which images to add, CCAF eq. (4) and (11), computed on 0..255 values before normalisation:
            "shield" -> ``x_s`` = M x + (1 - M) 255 and "clothes" -> ``x_c`` = (1 - M) x + M 255, M = keep.
            All images of a sample share the erased box and its noise.

    Returns:
        ``x`` float32 (B, 3, H, W), and ``x_s``, ``x_c`` of the same shape as asked for.

    Raises:
        ValueError: derived images without "keep".
    """
    raise NotImplementedError
