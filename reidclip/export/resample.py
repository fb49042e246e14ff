"""Pillow's antialiased resizing as two matrix products, for graphs that have no Pillow.

Each output row is a weighted mean of input rows, with weights of a filter that is widened by the scale where pictures become smaller;
then columns likewise, or the other way round. As in Pillow, columns go first and what they give is rounded to whole grey levels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_A = -0.5  # of Keys' cubic convolution ("Cubic convolution interpolation for digital image processing", 1981); Pillow's too


def resampled(x: Tensor, height: int, width: int, method: Literal["bilinear", "bicubic"]) -> Tensor:
    """(B, 3, H, W) float32 grey levels 0..255 -> (B, 3, height, width), whole numbers 0..255 in float32."""
    across = _rounded(x @ weights(x.shape[3], width, method).T)
    return _rounded(weights(x.shape[2], height, method) @ across)


def weights(before: int, after: int, method: Literal["bilinear", "bicubic"]) -> Tensor:
    """(after, before) float32: how much of each of ``before`` pixels goes into each of ``after``; rows sum to one."""
    count = torch.arange(before, dtype=torch.float64)  # in float32 the centres of a wide picture would be off by weights that show
    scale = torch.as_tensor(before, dtype=torch.float64) / after
    widened = scale.clamp(min=1.0)
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    distance = ((count + 0.5)[None, :] - centres[:, None]).abs() / widened
    raw = _cubic(distance) if method == "bicubic" else (1 - distance).clamp(min=0)
    return (raw / raw.sum(1, keepdim=True)).float()


def _cubic(d: Tensor) -> Tensor:
    """Keys (1981), eq. (4) with a = -1/2, of distances d >= 0."""
    near = ((_A + 2) * d - (_A + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * _A
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def _rounded(x: Tensor) -> Tensor:
    return (x + 0.5).floor().clamp(0, 255)
