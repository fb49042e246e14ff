"""Pillow's antialiased resizing as two matrix products, for graphs that have no Pillow.

Each output row is a weighted mean of input rows, with weights of a filter that is widened by the scale where pictures become smaller;
then columns likewise, or the other way round. As in Pillow, what the first of the two gives is rounded to whole grey levels; weights are
rounded to 22 bits behind the point, and float64 adds them up without an error, as Pillow's whole numbers do: the same pixels.

Up to version 12 Pillow always shrinks rows of pixels first, along their width; since 13 it begins with the height where that shrinks by
more than twice the pixels that the width does. A graph does as the Pillow that is there when it is made.
"""

from __future__ import annotations

from typing import Literal

import PIL
import torch
from torch import Tensor

_A = -0.5  # of Keys' cubic convolution ("Cubic convolution interpolation for digital image processing", 1981); Pillow's too
_ONE = float(2**22)
_HEIGHT_FIRST_SINCE = 13  # major version


def resampled(x: Tensor, height: int, width: int, method: Literal["bilinear", "bicubic"]) -> Tensor:
    """(B, 3, H, W) whole grey levels 0..255 -> (B, 3, height, width), the same in float32."""
    along, down = weights(x.shape[3], width, method).T, weights(x.shape[2], height, method)
    x = x.double()
    width_first = _rounded(down @ _rounded(x @ along))
    if int(PIL.__version__.partition(".")[0]) < _HEIGHT_FIRST_SINCE:
        return width_first.float()
    less_height, less_width = torch.as_tensor(x.shape[2]) - height, torch.as_tensor(x.shape[3]) - width
    tall = (less_height > 0) & (less_height > 2 * less_width)  # a graph has no branches: both are computed, which is little beside a tower
    return torch.where(tall, _rounded(_rounded(down @ x) @ along), width_first).float()


def weights(before: int, after: int, method: Literal["bilinear", "bicubic"]) -> Tensor:
    """(after, before) float64: how much of each of ``before`` pixels goes into each of ``after``; rows sum to one, but for rounding."""
    count = torch.arange(before, dtype=torch.float64)
    scale = torch.as_tensor(before, dtype=torch.float64) / after
    widened = scale.clamp(min=1.0)
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    distance = ((count + 0.5)[None, :] - centres[:, None]).abs() / widened
    raw = _cubic(distance) if method == "bicubic" else (1 - distance).clamp(min=0)
    scaled = raw / raw.sum(1, keepdim=True) * _ONE
    return torch.where(scaled < 0, -(0.5 - scaled).floor(), (scaled + 0.5).floor()) / _ONE  # halves away from zero


def _cubic(d: Tensor) -> Tensor:
    """Keys (1981), eq. (4) with a = -1/2, of distances d >= 0."""
    near = ((_A + 2) * d - (_A + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * _A
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def _rounded(x: Tensor) -> Tensor:
    return (x + 0.5).floor().clamp(0, 255)
