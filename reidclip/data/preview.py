"""A contact sheet to look at masks: original | labels | shielding | clothes, one row per picture, in blocks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reidclip.data.images import UInt8
from reidclip.data.keep_mask import clothes_image, shielding_image
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE

COLUMNS = ("original", "labels", "shielding", "clothes")
CELL_HEIGHT = 192
MAX_CELL_WIDTH = 256
ROWS_PER_BLOCK = 6
GAP, HEADER, LEGEND = 4, 18, 16
OVERLAY = 0.65  # share of the palette's colour over the picture


@dataclass(frozen=True)
class Shown:
    """One row: relative path, picture (H, W, 3), label map (H, W), mask (H, W) with 1 = not clothes; all uint8."""

    path: str
    picture: UInt8
    labels: UInt8
    keep: UInt8


def spread(count: int, wanted: int = 24) -> list[int]:
    """At most ``wanted`` indices, evenly spread over ``range(count)``."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, wanted)).round()}) if count else []


def contact_sheet(rows: Sequence[Shown]) -> Image.Image:
    """Draw the sheet.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one picture")
    cells = [_cells(row) for row in rows]
    width = max(cell.width for line in cells for cell in line) + GAP
    block = width * len(COLUMNS) + 3 * GAP
    blocks = -(-len(rows) // ROWS_PER_BLOCK)
    per_block = -(-len(rows) // blocks)
    names = _occurring(rows)
    per_line = max(1, blocks * block // 120)
    foot = LEGEND * -(-len(names) // per_line) + GAP
    sheet = Image.new("RGB", (blocks * block, HEADER + per_block * (CELL_HEIGHT + GAP) + foot), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for index in range(blocks):
        for column, title in enumerate(COLUMNS):
            draw.text((index * block + column * width + 2, 3), title, fill="black", font=font)
    for index, line in enumerate(cells):
        left, top = index // per_block * block, HEADER + index % per_block * (CELL_HEIGHT + GAP)
        for column, cell in enumerate(line):
            sheet.paste(cell, (left + column * width, top))
    for index, label in enumerate(names):
        x, y = index % per_line * 120, sheet.height - foot + index // per_line * LEGEND
        draw.rectangle((x + 2, y + 2, x + 12, y + 12), fill=LIP_PALETTE[label])
        draw.text((x + 16, y + 1), LIP_LABELS[label], fill="black", font=font)
    return sheet


def overlay(picture: UInt8, labels: UInt8) -> UInt8:
    """The picture tinted with the palette's colours; the background stays as it is. (H, W, 3)."""
    colours = np.array([*LIP_PALETTE, *[(255, 255, 255)] * (256 - len(LIP_PALETTE))], np.float32)[labels]
    tinted = picture * (1 - OVERLAY) + colours * OVERLAY
    shown: UInt8 = np.where((labels > 0)[:, :, None], tinted, picture).round().astype(np.uint8)
    return shown


def _cells(row: Shown) -> list[Image.Image]:
    planes = (row.picture, overlay(row.picture, row.labels), shielding_image(row.picture, row.keep), clothes_image(row.picture, row.keep))
    return [_cell(plane) for plane in planes]


def _cell(plane: UInt8) -> Image.Image:
    height, width = plane.shape[:2]
    scale = min(CELL_HEIGHT / height, MAX_CELL_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    cell = Image.new("RGB", (size[0] + 2, size[1] + 2), (170, 170, 170))  # a frame: the clothes image is white to its edge
    cell.paste(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC), (1, 1))
    return cell


def _occurring(rows: Sequence[Shown]) -> list[int]:
    found = np.unique(np.concatenate([np.unique(row.labels) for row in rows]))
    return [int(label) for label in found if 0 < label < len(LIP_LABELS)]
