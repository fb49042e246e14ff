"""Input pipeline of the CLIP-ReID family: geometry on uint8 pictures in the workers, everything else on the device.

Order, as published (Syliz517/CLIP-ReID): resize, flip, pad with black, random crop, normalise, erase. The geometry of a
picture, its mask and its derived images is drawn once. Workers hand over uint8 (`apply`); `finish` normalises on the device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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


def apply(transform: Transform, geometry: Geometry, image: UInt8, keep: UInt8 | None = None) -> tuple[UInt8, UInt8 | None]:
    """Mirror, pad and crop a picture of the final size and its mask alike.

    Args:
        transform: gives the padding.
        geometry: what was drawn for this picture.
        image: (H, W, 3), already resized.
        keep: (H, W), 1 = not clothes, already resized; the padded border counts as not clothes.

    Returns:
        image (3, H, W) and keep (H, W) or None, both contiguous.
    """
    if geometry.flip:
        image = image[:, ::-1]
        keep = None if keep is None else keep[:, ::-1]
    if transform.pad:
        shift = (geometry.top - transform.pad, geometry.left - transform.pad)
        image = _shifted(image, shift, fill=0)
        keep = None if keep is None else _shifted(keep, shift, fill=1)
    return np.ascontiguousarray(image.transpose(2, 0, 1)), None if keep is None else np.ascontiguousarray(keep)


def _shifted(plane: UInt8, shift: tuple[int, int], fill: int) -> UInt8:
    """Pad-and-crop in one step: result[y, x] = plane[y + shift_y, x + shift_x] where that exists, else ``fill``."""
    out = np.full_like(plane, fill)
    sides = [(slice(max(0, -s), n - max(0, s)), slice(max(0, s), n - max(0, -s))) for s, n in zip(shift, plane.shape, strict=False)]
    (to_y, from_y), (to_x, from_x) = sides
    out[to_y, to_x] = plane[from_y, from_x]
    return out


def finish(
    batch: Mapping[str, Tensor], normalisation: Normalisation, derived: Collection[Derived] = (), shielding: Colour = WHITE
) -> dict[str, Tensor]:
    """Normalise and erase on the batch's device.

    Args:
        batch: "image" uint8 (B, 3, H, W), "erase" (B, 4), "erase_seed" (B,); "keep" uint8 (B, H, W) for derived images.
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
    pixels = {"x": image}
    if derived:
        if "keep" not in batch:
            raise ValueError("derived images need masks: the batch has no 'keep'")
        kept = batch["keep"].bool().unsqueeze(1)  # (B, 1, H, W): M
        fill = torch.tensor(shielding, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
        for name in derived:
            if name not in _DERIVED:
                raise ValueError(f"no derived image '{name}'; there are {sorted(_DERIVED)}")
            key, wanted = _DERIVED[name]
            pixels[key] = torch.where(kept == wanted, image, fill)
    result = {key: normalise(value, normalisation) for key, value in pixels.items()}
    _erase(list(result.values()), batch["erase"].tolist(), batch["erase_seed"].tolist())
    return result


def normalise(image: Tensor, normalisation: Normalisation) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 of the same shape: (v / 255 - mean) / std per channel."""
    mean = torch.tensor(normalisation.mean, device=image.device).view(3, 1, 1)
    std = torch.tensor(normalisation.std, device=image.device).view(3, 1, 1)
    return image.float().div_(255).sub_(mean).div_(std)


def _erase(images: Sequence[Tensor], boxes: Sequence[Sequence[int]], seeds: Sequence[int]) -> None:
    """Fill each sample's box with N(0, 1) noise per pixel, in place and alike in all images (each (B, 3, H, W)).

    The noise is drawn on the CPU, so that a run gives the same numbers on every device, and copied over in one piece.
    """
    noise = [_noise(seed, h, w) for (_, _, h, w), seed in zip(boxes, seeds, strict=True) if h]
    if not noise:
        return
    flat = torch.cat(noise).to(images[0].device)
    offset = 0
    for sample, (top, left, h, w) in enumerate(boxes):
        if not h:
            continue
        patch = flat[offset : offset + 3 * h * w].view(3, h, w)
        offset += 3 * h * w
        for image in images:
            image[sample, :, top : top + h, left : left + w] = patch


def _noise(seed: int, h: int, w: int) -> Tensor:
    return torch.randn(3 * h * w, generator=torch.Generator().manual_seed(seed))
