"""A contact sheet to look at masks: original | labels | shielding | clothes, one row per picture, in blocks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reidclip.data.images import UInt8
from reidclip.data.keep_mask import clothes_image, shielding_image
from reidclip.data.label_sets import LIP, LabelSet
from reidclip.data.shielding import WHITE, Colour

COLUMNS = ("original", "labels", "shielding", "clothes")
CELL_HEIGHT = 192
MAX_CELL_WIDTH = 256
LANDSCAPE = 0.9  # width over height that a sheet has at least
TEXT = 14  # pixels; smaller, the words of Pillow's own font run into each other
GAP, HEADER, CAPTION, LEGEND, LEGEND_WIDTH = 6, 22, 20, 20, 136
OVERLAY = 0.65  # share of the palette's colour over the picture
FRAME, ALARM = (170, 170, 170), (220, 0, 0)


@dataclass(frozen=True)
class Shown:
    """One row: relative path, picture (H, W, 3), label map (H, W), mask (H, W) with 1 = not clothes; all uint8.

    ``caption`` stands above it, after the path; ``alarm`` marks it in red.
    """

    path: str
    picture: UInt8
    labels: UInt8
    keep: UInt8
    caption: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Look:
    """What all rows share: names and colours of the labels, the colour in place of clothes, a line on top."""

    label_set: LabelSet = LIP
    shielding: Colour = WHITE
    headline: str = ""


def spread(count: int, wanted: int = 24) -> list[int]:
    """At most ``wanted`` indices, evenly spread over ``range(count)``."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, wanted)).round()}) if count else []


def contact_sheet(rows: Sequence[Shown], look: Look | None = None) -> Image.Image:
    """Draw the sheet.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one picture")
    look, font = look or Look(), ImageFont.load_default(TEXT)
    cells = [_cells(row, look) for row in rows]
    width = max(cell.width for line in cells for cell in line) + GAP
    block = width * len(COLUMNS) + 2 * GAP
    height = CAPTION + CELL_HEIGHT + 2 * GAP
    blocks = _blocks(len(rows), block, height)
    per_block = -(-len(rows) // blocks)
    headline = _wrapped(look.headline, blocks * block, font)
    top = len(headline) * LEGEND + HEADER
    names = _occurring(rows, look.label_set)
    per_line = max(1, blocks * block // LEGEND_WIDTH)
    foot = LEGEND * -(-len(names) // per_line) + GAP
    sheet = Image.new("RGB", (blocks * block, top + per_block * height + foot), "white")
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(headline):
        draw.text((GAP, 2 + number * LEGEND), text, fill="black", font=font)
    for index in range(blocks):
        for column, title in enumerate(COLUMNS):
            draw.text((index * block + column * width + GAP, top - HEADER + 3), title, fill="black", font=font)
    for index, (row, line) in enumerate(zip(rows, cells, strict=True)):
        left, above = index // per_block * block + GAP, top + index % per_block * height
        draw.text((left, above), _caption(row, block - 2 * GAP, font), fill=ALARM if row.alarm else (90, 90, 90), font=font)
        for column, cell in enumerate(line):
            sheet.paste(cell, (left + column * width, above + CAPTION))
    for index, label in enumerate(names):
        x, y = index % per_line * LEGEND_WIDTH, sheet.height - foot + index // per_line * LEGEND
        draw.rectangle((x + GAP, y + 3, x + GAP + 12, y + 15), fill=look.label_set.palette[label])
        draw.text((x + GAP + 17, y + 1), look.label_set.labels[label], fill="black", font=font)
    return sheet


def _blocks(rows: int, width: int, height: int) -> int:
    """Into how many blocks side by side rows of this size (pixels) go: the fewest that make no tall strip."""
    return next(n for n in range(1, rows + 1) if n == rows or n * width >= LANDSCAPE * -(-rows // n) * height)


def overlay(picture: UInt8, labels: UInt8, label_set: LabelSet = LIP) -> UInt8:
    """The picture tinted with the label set's colours; the background stays as it is. (H, W, 3)."""
    colours = np.full((256, 3), 255, np.float32)
    colours[: len(label_set.palette)] = label_set.palette
    tinted = picture * (1 - OVERLAY) + colours[labels] * OVERLAY
    shown: UInt8 = np.where((labels > 0)[:, :, None], tinted, picture).round().astype(np.uint8)
    return shown


def _cells(row: Shown, look: Look) -> list[Image.Image]:
    planes = (
        row.picture,
        overlay(row.picture, row.labels, look.label_set),
        shielding_image(row.picture, row.keep, look.shielding),
        clothes_image(row.picture, row.keep, look.shielding),
    )
    return [_cell(plane, ALARM if row.alarm else FRAME) for plane in planes]


def _cell(plane: UInt8, frame: Colour) -> Image.Image:
    height, width = plane.shape[:2]
    scale = min(CELL_HEIGHT / height, MAX_CELL_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    cell = Image.new("RGB", (size[0] + 2, size[1] + 2), frame)  # a frame: the clothes image is white to its edge
    cell.paste(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC), (1, 1))
    return cell


def _caption(row: Shown, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """What is said of the picture, then as much of the path's end as fits."""
    path = row.path.encode("ascii", "replace").decode()
    said = f"{row.caption}: " if row.caption else ""
    shown = path
    while len(shown) > 1 and font.getlength(said + ("" if shown == path else "...") + shown) > width:
        shown = shown[1:]
    return said + ("" if shown == path else "...") + shown


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width - 2 * GAP:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _occurring(rows: Sequence[Shown], label_set: LabelSet) -> list[int]:
    found = np.unique(np.concatenate([np.unique(row.labels) for row in rows]))
    return [int(label) for label in found if 0 < label < len(label_set.labels)]
