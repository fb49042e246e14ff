"""Input pipeline of the CLIP-ReID family: geometry on uint8 pictures in the workers, everything else on the device.

Order, as published (Syliz517/CLIP-ReID): resize, flip, pad with black, random crop, normalise, erase. The geometry of a
picture, its mask and its derived images is drawn once. Workers hand over uint8 (`apply`); `finish` normalises on the device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reidclip.data.images import Filter, UInt8
from reidclip.data.shielding import WHITE, Colour

Derived = Literal["shield", "clothes"]
NO_BOX = (0, 0, 0, 0)

# Name of a derived image -> its key in the result, and the mask value whose pixels stay; the others get the shielding colour.
_DERIVED: Mapping[str, tuple[str, bool]] = {"shield": ("x_s", True), "clothes": ("x_c", False)}


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
    """Draw the geometry of one picture from its own generator."""
    flip = bool(rng.random() < transform.flip)
    top, left = (int(v) for v in rng.integers(0, 2 * transform.pad + 1, size=2))
    erase_seed = int(rng.integers(0, 2**62))
    erased = bool(rng.random() < transform.erase)
    return Geometry(flip, top, left, _draw_box(transform, rng) if erased else NO_BOX, erase_seed)


def _draw_box(transform: Transform, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """One box smaller than the picture on both sides; after ten misses there is none, as in timm."""
    low, high = math.log(transform.erase_ratio[0]), math.log(transform.erase_ratio[1])
    for _ in range(10):
        area = rng.uniform(*transform.erase_area) * transform.height * transform.width
        ratio = math.exp(rng.uniform(low, high))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < transform.height and w < transform.width:
            top = int(rng.integers(0, transform.height - h + 1))
            left = int(rng.integers(0, transform.width - w + 1))
            return top, left, h, w
    return NO_BOX


def apply(transform: Transform, geometry: Geometry, planes: UInt8, out: UInt8, fill: int) -> None:
    """Mirror, pad and crop planes of the final size, those of a picture and of its mask alike.

    Args:
        transform: gives the padding.
        geometry: what was drawn for this picture.
        planes: (C, H, W), already resized.
        out: (C, H, W), where the result is written.
        fill: value of the padded border: 0 (black) in pictures, 1 (not clothes) in masks.
    """
    if geometry.flip:
        planes = _mirrored(planes)
    if not transform.pad:
        out[:] = planes
        return
    # result[y, x] = planes[y + shift_y, x + shift_x] where that exists, else the border
    shifts = (geometry.top - transform.pad, geometry.left - transform.pad)
    sizes = planes.shape[1:]
    (to_y, from_y), (to_x, from_x) = (
        (slice(max(0, -s), n - max(0, s)), slice(max(0, s), n - max(0, -s))) for s, n in zip(shifts, sizes, strict=True)
    )
    out.fill(fill)
    out[:, to_y, to_x] = planes[:, from_y, from_x]


def _mirrored(planes: UInt8) -> UInt8:
    """The planes with their columns in reverse order, eight at a time where the width allows (a fifth of the time)."""
    if planes.shape[2] % 8 or not planes.flags.c_contiguous:
        return planes[:, :, ::-1]
    mirrored: UInt8 = planes.view(np.uint64)[:, :, ::-1].byteswap().view(np.uint8)
    return mirrored


def finish(
    batch: Mapping[str, Tensor], normalisation: Normalisation, derived: Collection[Derived] = (), shielding: Colour = WHITE
) -> dict[str, Tensor]:
    """Normalise and erase on the batch's device.

    Args:
        batch: as `reidclip.data.loader.Loader` gives it, on any device: "image", "erase" and "noise" (or "erase_seed" alone, from which
            the noise is drawn); "keep" for derived images.
        normalisation: mean and standard deviation.
        derived: which images to add, CCAF eq. (4) and (11), computed on 0..255 values before normalisation:
            "shield" -> ``x_s`` = M x + (1 - M) 255 and "clothes" -> ``x_c`` = (1 - M) x + M 255, M = keep.
            All images of a sample share the erased box and its noise.
        shielding: RGB in place of the 255, see `reidclip.data.source.ImageSource.shielding`.

    Returns:
        ``x`` float32 (B, 3, H, W), and ``x_s``, ``x_c`` of the same shape as asked for.

    Raises:
        ValueError: derived images without "keep", or a derived image of another name.
    """
    image = batch["image"]
    result = {"x": normalise(image, normalisation)}
    if derived:
        if "keep" not in batch:
            raise ValueError("derived images need masks: the batch has no 'keep'")
        kept = batch["keep"].bool().unsqueeze(1)  # (B, 1, H, W): M
        # To normalise each pixel and then to choose gives the same numbers as to choose first, with a third of the work.
        fill = normalise(_on_device(shielding, image.dtype, image.device), normalisation)
        for name in derived:
            if name not in _DERIVED:
                raise ValueError(f"no derived image '{name}'; there are {sorted(_DERIVED)}")
            key, wanted = _DERIVED[name]
            result[key] = torch.where(kept if wanted else ~kept, result["x"], fill)
    noise = batch["noise"] if "noise" in batch else noise_of(batch["erase"].tolist(), batch["erase_seed"].tolist()).to(image.device)
    if noise.numel():
        fill_boxes = fill_boxes_one_by_one if image.device.type == "cpu" else fill_boxes_at_once
        fill_boxes(list(result.values()), batch["erase"], noise)
    return result


def normalise(image: Tensor, normalisation: Normalisation) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 of the same shape: (v / 255 - mean) / std per channel."""
    mean = _on_device(normalisation.mean, torch.float32, image.device)
    std = _on_device(normalisation.std, torch.float32, image.device)
    return image.float().div_(255).sub_(mean).div_(std)


@lru_cache(maxsize=64)
def _on_device(values: tuple[float, float, float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A constant per channel, (3, 1, 1): made once per device, for to send numbers to a GPU waits for it."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device).view(3, 1, 1)


def noise_of(boxes: Sequence[Sequence[int]], seeds: Sequence[int]) -> Tensor:
    """N(0, 1) noise for every box (top, left, height, width), a number per channel and pixel: float32 (1, 1, n).

    Boxes follow each other, within a box channels, rows and columns. A box's noise depends on its size and seed alone and is drawn on the
    CPU, so that a run gives the same numbers on every device. (Three dimensions tell it from the columns of a batch.)
    """
    noise = [torch.randn(3 * h * w, generator=_generator(seed)) for (_, _, h, w), seed in zip(boxes, seeds, strict=True) if h]
    return torch.cat(noise).view(1, 1, -1) if noise else torch.empty(1, 1, 0)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill_boxes_one_by_one(images: Sequence[Tensor], boxes: Tensor, noise: Tensor) -> None:
    """Write each sample's noise into its box, in place and alike in all images (each (B, 3, H, W)). The fast way on a CPU."""
    flat, offset = noise.view(-1), 0
    for sample, (top, left, h, w) in enumerate(boxes.tolist()):
        patch = flat[offset : offset + 3 * h * w].view(3, h, w)
        offset += 3 * h * w
        for image in images if h else ():
            image[sample, :, top : top + h, left : left + w] = patch


def fill_boxes_at_once(images: Sequence[Tensor], boxes: Tensor, noise: Tensor) -> None:
    """The same result without looking at the boxes on the host, which would wait for the GPU."""
    _, _, height, width = images[0].shape
    top, left, h, w = boxes.to(images[0].device).view(-1, 4, 1, 1).unbind(1)  # (B, 1, 1) each
    y = torch.arange(height, device=images[0].device).view(1, -1, 1)
    x = torch.arange(width, device=images[0].device).view(1, 1, -1)
    inside = ((y >= top) & (y < top + h) & (x >= left) & (x < left + w)).unsqueeze(1)  # (B, 1, H, W)
    filled = torch.zeros_like(images[0]).masked_scatter_(inside, noise)  # takes the noise in the order of `noise_of`
    for image in images:
        torch.where(inside, filled, image, out=image)
