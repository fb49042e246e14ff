"""Token grids and the position table that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # height, width: pixels of a picture or cells of a grid


def patch_grid(image: Size, patch: Size, stride: int) -> Size:
    """Cells of a ViT's grid: floor((side - patch) / stride) + 1, so 256x128 gives 16x8 at stride 16 and 21x10 at stride 12."""
    return (image[0] - patch[0]) // stride + 1, (image[1] - patch[1]) // stride + 1


def resnet_grid(image: Size, stride: int) -> Size:
    """Cells of a CLIP ResNet's last map at overall stride 16 (last stage stride 1) or 32 (as pre-trained)."""

    def cells(side: int) -> int:
        side = (side + 1) // 2 // 2 // 2 // 2  # the stem's strided convolution and pooling, then stages 2 and 3
        return side // 2 if stride == 32 else side

    return cells(image[0]), cells(image[1])


def trunk_grid(image: Size, stride: int) -> Size:
    """Cells of torchvision's ResNet's last map, whose halvings all round up, at overall stride 16 or 32."""

    def cells(side: int) -> int:
        for _ in range(stride.bit_length() - 1):
            side = (side + 1) // 2
        return side

    return cells(image[0]), cells(image[1])


def grid_of_table(table: Tensor, candidates: Iterable[Size]) -> Size | None:
    """The candidate grid that fits a (1 + cells, D) position table; the square one when no candidate does; None when nothing fits."""
    cells = table.shape[0] - 1
    side = round(cells**0.5)
    return next((g for g in (*candidates, (side, side)) if g[0] * g[1] == cells), None)


def resize_positions(table: Tensor, source: Size, target: Size) -> Tensor:
    """Resize a position table to another grid, the first row (class token) untouched.

    Bilinear, align_corners false, no antialiasing: the published CLIP-ReID resize (bicubic or antialiased tables differ by 0.4 and more).

    Args:
        table: (1 + source cells, D), row by row.
        source, target: grids as (height, width).

    Returns:
        (1 + target cells, D).
    """
    if source == target:
        return table
    grid = table[1:].reshape(*source, -1).permute(2, 0, 1).unsqueeze(0)
    resized = F.interpolate(grid, size=target, mode="bilinear", align_corners=False, antialias=False)
    return torch.cat([table[:1], resized.squeeze(0).flatten(1).T])
