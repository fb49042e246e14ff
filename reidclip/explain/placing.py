"""From the cells of an encoder's map to the pixels of the picture: where each cell lies, and mass on pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reidclip.clip.architecture import EncoderConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Where the cells of a map lie in the encoder's input.

    Attributes:
        grid: (rows, columns) of cells.
        first: centre of cell 0, in pixels of the input along both axes; a pixel's own centre is at 0.5.
        step: distance of centres, in pixels.
        size: (height, width) of the input, in pixels.
    """

    grid: tuple[int, int]
    first: tuple[float, float]
    step: float
    size: tuple[int, int]


def cells_of(config: EncoderConfig) -> Cells:
    """The cells of an encoder's last map.

    A ViT's are its patches, which may overlap. A ResNet's lie where their fields of view have their middle: CLIP's halves by
    averaging two pixels in two, which shifts the middle by half of the step so far; torchvision's by convolutions on every second
    pixel, padded alike on both sides, which shift nothing, so that its cells begin at the picture's corner. Networks of timm's are of
    either kind (`reidclip.clip.timm_net.NetFacts`); a student's are its backbone's.
    """
    if config.trunk == "student":
        return cells_of(replace(config, model=config.model["backbone"]))
    if config.trunk == "timm":
        from reidclip.clip.timm_trunk import facts_of  # timm takes long to import

        first = facts_of(config).first
    elif config.trunk is not None:
        first = (0.5, 0.5)
    elif config.is_resnet:
        first = ((config.stride - 1) / 2, (config.stride - 1) / 2)
    else:
        first = (config.patch[0] / 2, config.patch[1] / 2)
    return Cells(config.grid, first, float(config.stride), config.image_size)


def on_picture(heat: Floats, cells: Cells, height: int, width: int) -> Floats:
    """A map at picture size, its mass 1.

    Bilinear between the centres of cells, constant beyond the outermost; pixels of the picture are placed in the encoder's
    input as resizing does. The sum over pixels is then made 1; a map that is zero everywhere stays so.

    Args:
        heat: (h, w), non-negative.
        cells: where its cells lie.
        height, width: of the picture, in pixels.

    Returns:
        (height, width), non-negative.

    Raises:
        ValueError: a map of another grid.
    """
    if heat.shape != cells.grid:
        raise ValueError(f"the map has {heat.shape} cells, the encoder's grid is {cells.grid}")
    rows = _between(cells.grid[0], cells.first[0], cells.step, cells.size[0], height)
    columns = _between(cells.grid[1], cells.first[1], cells.step, cells.size[1], width)
    mass: Floats = rows @ heat.astype(np.float64) @ columns.T
    total = mass.sum()
    return mass / total if total > 0 else mass


def _between(count: int, first: float, step: float, size: int, pixels: int) -> Floats:
    """(pixels, count) weights of the cells at each pixel of the picture, along one axis; rows sum to one."""
    centres = (np.arange(pixels) + 0.5) * size / pixels
    place = np.clip((centres - first) / step, 0, count - 1)
    low = np.minimum(place.astype(np.int64), max(0, count - 2))
    share = place - low
    weights = np.zeros((pixels, count))
    weights[np.arange(pixels), low] = 1 - share
    if count > 1:
        weights[np.arange(pixels), low + 1] = share
    return weights
