"""Random geometry of one picture and its mask: what is drawn, and how it is applied to uint8 planes. No torch.

Two families, in the order that each publishes:

* CLIP-ReID (Syliz517/CLIP-ReID): resize, flip, pad with black, random crop, normalise, erase with noise;
* CAL and its descendants (guxinqian/Simple-CCReID): resize, enlarge and crop with probability 0.5, flip, normalise, erase with one colour.

Changes of colour stand around it, see `reidclip.data.photometric`.
The geometry of a picture, its mask and its derived images is drawn once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reidclip.data.images import Filter, UInt8, resize, resize_nearest
from reidclip.data.photometric import UNCHANGED, Photometric

Crop = Literal["pad", "enlarge"]
Fill = tuple[float, float, float]
"""RGB of erased pixels, after normalisation."""

NO_BOX = (0, 0, 0, 0)
ENLARGED = 1.125  # Simple-CCReID's factor on both sides


@dataclass(frozen=True)
class Erasing:
    """How the box of random erasing is drawn (Zhong et al., AAAI 2020) and filled.

    Attributes:
        area: share of the picture that the box covers, drawn uniformly.
        ratio: bounds of height / width of the box.
        log_uniform: the ratio is drawn uniformly in its logarithm, else uniformly.
        tries: so many boxes are drawn until one is smaller than the picture on both sides; after them there is none.
        fill: colour of the box after normalisation; None for N(0, 1) noise per pixel and channel.
    """

    area: tuple[float, float]
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    log_uniform: bool = True
    tries: int = 10
    fill: Fill | None = None


NOISE = Erasing((0.02, 1 / 3))  # timm's RandomErasing with its defaults, which is what CLIP-ReID runs (mode "pixel", one box)
# Simple-CCReID writes a mean colour of pictures scaled to 0..1 into pictures that are already normalised, so it is no mean colour there.
COLOUR = Erasing((0.02, 0.4), log_uniform=False, tries=100, fill=(0.4914, 0.4822, 0.4465))
ERASINGS = {"noise": NOISE, "colour": COLOUR}


@dataclass(frozen=True)
class Transform:
    """What happens to a picture before normalisation. The defaults are those of testing: resize only.

    Attributes:
        height, width: of the result, in pixels.
        resize: bilinear in stage 1 and at test time, bicubic in stage 2's training, as CLIP-ReID publishes; bilinear always in CAL.
        flip: probability of mirroring.
        pad: black pixels added on each side before a random crop back to height x width; 0 for no crop.
        erase: probability of erasing one box.
        crop: "pad" as above; "enlarge" leaves ``pad`` out and, with probability ``enlarge``, resizes (bilinear) to 1.125 times
            height and width and crops back at a uniform place.
        enlarge: see ``crop``.
        erasing: how the box is drawn and filled.
        photometric: changes of colour.
    """

    height: int = 256
    width: int = 128
    resize: Filter = "bilinear"
    flip: float = 0.0
    pad: int = 0
    erase: float = 0.0
    crop: Crop = "pad"
    enlarge: float = 0.5
    erasing: Erasing = NOISE
    photometric: Photometric = UNCHANGED


def training(height: int = 256, width: int = 128, method: Filter = "bicubic") -> Transform:
    """CLIP-ReID's stage-2 training transform: flip 0.5, pad 10 and crop, erase 0.5."""
    return Transform(height, width, method, flip=0.5, pad=10, erase=0.5)


@dataclass(frozen=True)
class Geometry:
    """The random choices made for one picture.

    Attributes:
        flip: mirrored or not.
        top, left: corner of the crop in the padded or enlarged picture.
        erase: top, left, height, width of the erased box; zeros when there is none.
        erase_seed: seed of the noise in the box.
        enlarged: cropped from the enlarged picture.
    """

    flip: bool
    top: int
    left: int
    erase: tuple[int, int, int, int]
    erase_seed: int
    enlarged: bool = False


def draw(transform: Transform, rng: np.random.Generator) -> Geometry:
    """Draw the geometry of one picture from its own generator."""
    flip = bool(rng.random() < transform.flip)
    if transform.crop == "enlarge":
        enlarged, (top, left) = _draw_enlarged(transform, rng)
    else:
        enlarged = False
        top, left = (int(v) for v in rng.integers(0, 2 * transform.pad + 1, size=2))
    erase_seed = int(rng.integers(0, 2**62))
    erased = bool(rng.random() < transform.erase)
    return Geometry(flip, top, left, _draw_box(transform, rng) if erased else NO_BOX, erase_seed, enlarged)


def enlarged_size(transform: Transform) -> tuple[int, int]:
    """(height, width) of the enlarged picture: round(1.125 side)."""
    return round(ENLARGED * transform.height), round(ENLARGED * transform.width)


def _draw_enlarged(transform: Transform, rng: np.random.Generator) -> tuple[bool, tuple[int, int]]:
    """Whether, and where; the outermost places are half as likely as the others, as published (a rounded uniform number)."""
    high, wide = enlarged_size(transform)
    place = round(rng.uniform(0, high - transform.height)), round(rng.uniform(0, wide - transform.width))
    return (True, place) if rng.random() < transform.enlarge else (False, (0, 0))


def _draw_box(transform: Transform, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """One box smaller than the picture on both sides, or none."""
    erasing = transform.erasing
    low, high = (math.log(r) for r in erasing.ratio) if erasing.log_uniform else erasing.ratio
    for _ in range(erasing.tries):
        area = rng.uniform(*erasing.area) * transform.height * transform.width
        ratio = rng.uniform(low, high)
        ratio = math.exp(ratio) if erasing.log_uniform else ratio
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < transform.height and w < transform.width:
            top = int(rng.integers(0, transform.height - h + 1))
            left = int(rng.integers(0, transform.width - w + 1))
            return top, left, h, w
    return NO_BOX


def apply(transform: Transform, geometry: Geometry, planes: UInt8, out: UInt8, fill: int) -> None:
    """Mirror and crop planes of the final size, those of a picture and of its mask alike.

    Args:
        transform: gives the padding, or the enlarged size.
        geometry: what was drawn for this picture.
        planes: (C, H, W), already resized; three planes are a picture, one is a mask.
        out: (C, H, W), where the result is written.
        fill: value of the padded border: 0 (black) in pictures, 1 (not clothes) in masks.
    """
    if geometry.enlarged:
        planes = _enlarged(transform, geometry, planes)
    if geometry.flip:
        planes = _mirrored(planes)
    if transform.crop == "enlarge" or not transform.pad:
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


def _enlarged(transform: Transform, geometry: Geometry, planes: UInt8) -> UInt8:
    """(C, H, W) cut from the enlarged planes; masks are enlarged by nearest neighbour, which makes no new values."""
    high, wide = enlarged_size(transform)
    if len(planes) == 1:
        grown = resize_nearest(np.ascontiguousarray(planes[0]), high, wide)[None]
    else:
        grown = resize(np.ascontiguousarray(planes.transpose(1, 2, 0)), high, wide, "bilinear").transpose(2, 0, 1)
    height, width = planes.shape[1:]
    return np.ascontiguousarray(grown[:, geometry.top : geometry.top + height, geometry.left : geometry.left + width])


def _mirrored(planes: UInt8) -> UInt8:
    """The planes with their columns in reverse order, eight at a time where the width allows (a fifth of the time)."""
    if planes.shape[2] % 8 or not planes.flags.c_contiguous:
        return planes[:, :, ::-1]
    mirrored: UInt8 = planes.view(np.uint64)[:, :, ::-1].byteswap().view(np.uint8)
    return mirrored
