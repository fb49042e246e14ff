"""Shielding: replace part of a picture by one colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def shield(images: Tensor, keep: Tensor, colour: float | Sequence[float] = 255.0) -> Tensor:
    """M x + (1 - M) colour: ``images`` where ``keep`` holds, ``colour`` elsewhere.

    Exact: kept pixels are copied, not multiplied, so uint8 stays uint8. Use ``~keep`` for the complement.

    Args:
        images: (..., C, H, W), uint8 or floating point, in any range.
        keep: (..., H, W) or (..., 1, H, W); bool, or numbers of which non-zero means keep.
        colour: one value, or one per channel, in the pictures' own range (255 is white before normalisation).

    Returns:
        As ``images``, same shape and type.

    Raises:
        ValueError: height and width differ, or the number of colour values does not fit.
    """
    if keep.shape[-2:] != images.shape[-2:]:
        raise ValueError(f"keep must have the pictures' height and width {tuple(images.shape[-2:])}, given: {tuple(keep.shape)}")
    values = torch.as_tensor(colour, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)
    if len(values) not in (1, images.shape[-3]):
        raise ValueError(f"colour must have 1 or {images.shape[-3]} values, given: {len(values)}")
    mask = keep if keep.ndim == images.ndim else keep.unsqueeze(-3)
    return torch.where(mask.bool(), images, values)
