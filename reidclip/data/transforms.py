"""Input pipeline: random geometry on uint8 pictures in the workers (`reidclip.data.geometry`), everything else here, on the device.

Workers hand over uint8 pictures and the boxes to erase; `finish` makes derived images, normalises and erases.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reidclip.data.geometry import NO_BOX, Erasing, Fill, Geometry, Transform, apply, draw, training
from reidclip.data.shielding import WHITE, Colour

__all__ = [
    "NORMALISATIONS",
    "NO_BOX",
    "Derived",
    "Erasing",
    "Geometry",
    "Normalisation",
    "Transform",
    "apply",
    "draw",
    "fill_boxes_at_once",
    "fill_boxes_one_by_one",
    "finish",
    "noise_of",
    "normalise",
    "paint_boxes",
    "training",
]

Derived = Literal["shield", "clothes"]

# Name of a derived image -> its key in the result, and the mask value whose pixels stay; the others get the shielding colour.
_DERIVED: Mapping[str, tuple[str, bool]] = {"shield": ("x_s", True), "clothes": ("x_c", False)}


_FLAT = 1e-5  # added to a picture's own variance, as instance normalisation does: one colour alone becomes 0, not 0/0


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each channel of pictures scaled to [0, 1], and what divides it.

    Attributes:
        mean, std: of a set of pictures, the same for all.
        per_picture: each picture's own instead, (x - mean) / sqrt(variance + 1e-5) with the biased variance: instance normalisation, which
            removes brightness, contrast and tint of the whole picture.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    per_picture: bool = False


NORMALISATIONS: Mapping[str, Normalisation] = {
    "half": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # CLIP-ReID's ViT recipes
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # CLIP-ReID's RN50 recipes
    "clip": Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # OpenAI's own
    "instance": Normalisation(per_picture=True),  # CLIP-FGDI's published program
}


def finish(
    batch: Mapping[str, Tensor],
    normalisation: Normalisation,
    derived: Collection[Derived] = (),
    shielding: Colour = WHITE,
    erase_fill: Fill | None = None,
) -> dict[str, Tensor]:
    """Normalise and erase on the batch's device.

    Args:
        batch: as `reidclip.data.loader.Loader` gives it, on any device: "image", "erase" and "noise" (or "erase_seed" alone, from which
            the noise is drawn); "keep" for derived images.
        normalisation: mean and standard deviation.
        derived: which images to add, CCAF eq. (4) and (11), computed on 0..255 values before normalisation:
            "shield" -> ``x_s`` = M x + (1 - M) 255 and "clothes" -> ``x_c`` = (1 - M) x + M 255, M = keep.
            All images of a sample share the erased box and its noise. Normalised per picture, each has mean and deviation of its own,
            the shielding colour among its pixels.
        shielding: RGB in place of the 255, see `reidclip.data.source.ImageSource.shielding`.
        erase_fill: value of erased pixels per channel, after normalisation; None takes the noise.

    Returns:
        ``x`` float32 (B, 3, H, W), of clips (B, T, 3, H, W) with one box for all frames; ``x_s``, ``x_c`` of its shape as asked for.

    Raises:
        ValueError: derived images without "keep", or a derived image of another name.
    """
    image = batch["image"]
    result = {"x": normalise(image, normalisation)}
    if derived:
        if "keep" not in batch:
            raise ValueError("derived images need masks: the batch has no 'keep'")
        kept = batch["keep"].bool().unsqueeze(-3)  # (B, 1, H, W), of clips (B, T, 1, H, W): M
        colour = _on_device(shielding, image.dtype, image.device)
        for name in derived:
            if name not in _DERIVED:
                raise ValueError(f"no derived image '{name}'; there are {sorted(_DERIVED)}")
            key, wanted = _DERIVED[name]
            stays = kept if wanted else ~kept
            if normalisation.per_picture:
                result[key] = normalise(torch.where(stays, image, colour), normalisation)
            else:  # to normalise each pixel and then to choose gives the same numbers as to choose first, with a third of the work
                result[key] = torch.where(stays, result["x"], normalise(colour, normalisation))
    if erase_fill is not None:
        paint_boxes(list(result.values()), batch["erase"], erase_fill)
        return result
    noise = batch["noise"] if "noise" in batch else noise_of(batch["erase"].tolist(), batch["erase_seed"].tolist()).to(image.device)
    if noise.numel():
        fill_boxes = fill_boxes_one_by_one if image.device.type == "cpu" else fill_boxes_at_once
        fill_boxes(list(result.values()), batch["erase"], noise)
    return result


def normalise(image: Tensor, normalisation: Normalisation) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 of the same shape: (v / 255 - mean) / std per channel; of clips each frame by itself."""
    scaled = image.float()
    if normalisation.per_picture:
        mean, std = _own_mean_and_deviation(scaled)
    else:
        mean = _on_device(normalisation.mean, torch.float32, image.device)
        std = _on_device(normalisation.std, torch.float32, image.device)
    return scaled.div_(255).sub_(mean).div_(std)


_EXACT = 256  # whole numbers up to 255 of which the sum of squares is exact in float32, in whichever order: 256 * 255^2 < 2^24


def _own_mean_and_deviation(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Grey levels 0..255, float32 (..., 3, H, W) -> mean and sqrt(biased variance + 1e-5) of v / 255, (..., 3, 1, 1).

    Both sums are exact: a picture's numbers do not depend on how many others are in the batch, nor on the device.
    """
    flat = pixels.flatten(-2)
    count = flat.shape[-1]
    if count % _EXACT:
        flat = functional.pad(flat, (0, -count % _EXACT))
    pieces = flat.reshape(*flat.shape[:-1], -1, _EXACT)
    with torch.autocast(pixels.device.type, enabled=False):  # a product of vectors, for which no squares have to be kept
        squares = torch.einsum("...p,...p->...", pieces, pieces).long().sum(-1)
    total = pieces.sum(-1).long().sum(-1)
    variance = (count * squares - total * total).float() / float((255 * count) ** 2)
    mean, deviation = total.float() / float(255 * count), (variance + _FLAT).sqrt()
    return mean[..., None, None], deviation[..., None, None]


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
    """Write each sample's noise into its box, in place and alike in all images (each (B, ..., 3, H, W)). The fast way on a CPU."""
    flat, offset = noise.view(-1), 0
    for sample, (top, left, h, w) in enumerate(boxes.tolist()):
        patch = flat[offset : offset + 3 * h * w].view(3, h, w)
        offset += 3 * h * w
        for image in images if h else ():
            image[sample, ..., top : top + h, left : left + w] = patch


def fill_boxes_at_once(images: Sequence[Tensor], boxes: Tensor, noise: Tensor) -> None:
    """The same result without looking at the boxes on the host, which would wait for the GPU."""
    one = images[0][:, 0] if images[0].dim() > 4 else images[0]  # a frame of each clip: all have the same box
    inside = _inside(one, boxes)
    filled = torch.zeros_like(one).masked_scatter_(inside, noise)  # takes the noise in the order of `noise_of`
    if images[0].dim() > 4:
        inside, filled = inside.unsqueeze(1), filled.unsqueeze(1)
    for image in images:
        torch.where(inside, filled, image, out=image)


def paint_boxes(images: Sequence[Tensor], boxes: Tensor, fill: Fill) -> None:
    """Write one value per channel into each sample's box (B, 4), in place and alike in all images (each (B, ..., 3, H, W))."""
    inside = _inside(images[0], boxes)
    inside = inside.unsqueeze(1) if images[0].dim() > 4 else inside
    for image in images:
        torch.where(inside, _on_device(fill, image.dtype, image.device), image, out=image)


def _inside(image: Tensor, boxes: Tensor) -> Tensor:
    """Which pixels of (B, ..., 3, H, W) lie in the samples' boxes: (B, 1, H, W) bool."""
    height, width = image.shape[-2:]
    top, left, h, w = boxes.to(image.device).view(-1, 4, 1, 1).unbind(1)  # (B, 1, 1) each
    y = torch.arange(height, device=image.device).view(1, -1, 1)
    x = torch.arange(width, device=image.device).view(1, 1, -1)
    return ((y >= top) & (y < top + h) & (x >= left) & (x < left + w)).unsqueeze(1)
