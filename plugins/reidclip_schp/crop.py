"""From a picture to SCHP's input and from its scores to labels at the picture's size.

Both ways are bilinear and exact: the published program leaves them to OpenCV, whose version 4 rounds the weights to 5 bits and whose
version 5 does not, so that label maps would depend on what is installed. The maps scale and shift only; each axis is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN_BGR, STD_BGR = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
MAX_SCORES = 8_000_000
"""Scores at the picture's size that are held at once (32 MB); a large picture is labelled in strips of rows."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Crop:
    """Where a picture lies in the network's input.

    Attributes:
        picture_hw: (h, w) of the picture in pixels.
        input_hw: (H, W) of the network's input.
        center: (x, y) of the picture's middle, which comes to lie in the input's middle.
        extent: (width, height) of the box that fills the input, in picture pixels.
    """

    picture_hw: tuple[int, int]
    input_hw: tuple[int, int]
    center: tuple[float, float]
    extent: tuple[float, float]

    @classmethod
    def of(cls, picture_hw: tuple[int, int], input_hw: tuple[int, int]) -> Crop:
        """The box from the first to the last pixel's centre, (0, 0, w - 1, h - 1), enlarged about its middle to the input's aspect."""
        (h, w), (height, width) = picture_hw, input_hw
        box_w, box_h, aspect = float(w - 1), float(h - 1), width / height
        if box_w > aspect * box_h:
            extent = (box_w, box_w / aspect)
        elif box_h > 0:
            extent = (box_h * aspect, box_h)
        else:  # one pixel has no extent: it is shown one input wide
            extent = (1.0, 1.0 / aspect)
        return cls(picture_hw, input_hw, (box_w / 2, box_h / 2), extent)

    @property
    def zoom(self) -> float:
        """Input pixels per picture pixel, the same along both axes."""
        return (self.input_hw[1] - 1) / self.extent[0]

    def forward(self) -> FloatArray:
        """(2, 3): picture (x, y, 1) -> input (x, y); integers are pixel centres."""
        (height, width), (x, y), zoom = self.input_hw, self.center, self.zoom
        return np.array([[zoom, 0, (width - 1) / 2 - zoom * x], [0, zoom, (height - 1) / 2 - zoom * y]], np.float64)

    def inverse(self) -> FloatArray:
        """(2, 3): input (x, y, 1) -> picture (x, y)."""
        (height, width), (x, y), zoom = self.input_hw, self.center, self.zoom
        return np.array([[1 / zoom, 0, x - (width - 1) / 2 / zoom], [0, 1 / zoom, y - (height - 1) / 2 / zoom]], np.float64)


@dataclass(frozen=True)
class Taps:
    """Linear interpolation along one axis, 0 outside: ``value = low_weight * source[low] + high_weight * source[high]``."""

    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    low_weight: FloatArray
    high_weight: FloatArray

    @classmethod
    def at(cls, positions: FloatArray, length: int) -> Taps:
        """Taps for positions in a row of so many pixels, whose centres are at 0, 1, ..."""
        floor = np.floor(positions)
        part, low = positions - floor, floor.astype(np.intp)
        inside_low, inside_high = (low >= 0) & (low < length), (low + 1 >= 0) & (low + 1 < length)
        bounded = np.clip(low, 0, length - 1), np.clip(low + 1, 0, length - 1)
        return cls(*bounded, np.where(inside_low, 1 - part, 0.0), np.where(inside_high, part, 0.0))

    def rows_of(self, source: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Interpolate along the first axis: uint8 or float32 (length, ...) -> (positions, ...)."""
        ones = (1,) * (source.ndim - 1)
        low, high = (np.asarray(w.reshape(-1, *ones), np.float32) for w in (self.low_weight, self.high_weight))
        return np.asarray(source[self.low] * low + source[self.high] * high, np.float32)


def warp(picture: npt.NDArray[np.uint8], crop: Crop) -> npt.NDArray[np.uint8]:
    """The network's input before normalisation: uint8 (h, w, 3) -> (H, W, 3), black around the picture, no prefilter when shrinking."""
    height, width = crop.input_hw
    (ax, _, bx), (_, ay, by) = crop.inverse()
    rows = Taps.at(ay * np.arange(height) + by, picture.shape[0]).rows_of(picture)
    columns = Taps.at(ax * np.arange(width) + bx, picture.shape[1]).rows_of(rows.transpose(1, 0, 2))
    warped: npt.NDArray[np.uint8] = np.rint(columns.transpose(1, 0, 2)).astype(np.uint8)
    return warped


def normalised(warped: Tensor) -> Tensor:
    """RGB uint8 (B, H, W, 3) -> BGR float32 (B, 3, H, W): value / 255, minus mean, over standard deviation, channels last."""
    mean, std = (torch.tensor(v, device=warped.device).view(1, 3, 1, 1) for v in (MEAN_BGR, STD_BGR))
    return ((warped.flip(3).permute(0, 3, 1, 2).float() / 255.0 - mean) / std).contiguous(memory_format=torch.channels_last)


def upsampling(scores: int, size: int) -> Tensor:
    """(size, scores) matrix of torch's linear upsampling along one axis, corners aligned."""
    return F.interpolate(torch.eye(scores)[None], size=size, mode="linear", align_corners=True)[0].T


def to_picture(crop: Crop, scores_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Matrices (h, scores' height) and (w, scores' width) that upsample scores to the input's size and warp them back, 0 outside."""
    (ax, _, bx), (_, ay, by) = crop.forward()
    axes = zip((ay, ax), (by, bx), crop.picture_hw, crop.input_hw, scores_hw, strict=True)
    return tuple(  # type: ignore[return-value]  # two axes
        torch.from_numpy(Taps.at(a * np.arange(out) + b, size).rows_of(upsampling(fine, size).numpy())) for a, b, out, size, fine in axes
    )


def labels_at_picture_size(scores: Tensor, crop: Crop) -> npt.NDArray[np.uint8]:
    """Highest score per pixel of the picture: (C, H', W') -> uint8 (h, w). Computed where the scores are, in strips of rows."""
    rows, columns = (m.to(scores.device) for m in to_picture(crop, (scores.shape[1], scores.shape[2])))
    h, w = crop.picture_hw
    labels = np.empty((h, w), np.uint8)
    strip = max(1, MAX_SCORES // (scores.shape[0] * w))
    for y in range(0, h, strip):
        at_size = rows[y : y + strip] @ scores @ columns.T
        labels[y : y + strip] = at_size.max(0).indices.to(torch.uint8).cpu().numpy()  # the first of equals
    return labels
