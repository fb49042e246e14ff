"""Sheets to look at: per picture the original and the overlay of every encoder side by side, with the scale they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reidclip.data.images import UInt8
from reidclip.explain.overlay import colours

CELL_HEIGHT, MAX_CELL_WIDTH = 224, 300
GAP, TEXT, SMALL_TEXT, CAPTION, TITLE, SCALE_BAR = 8, 13, 11, 18, 20, 44
MIN_WIDTH = 520
_GREY, _INK = (90, 90, 90), (20, 20, 20)


@dataclass(frozen=True)
class Shown:
    """One picture: its name, its pixels (H, W, 3), an overlay of the same size per encoder, and a few words under each overlay."""

    name: str
    picture: UInt8
    overlays: tuple[UInt8, ...]
    captions: tuple[str, ...] = ()


def explanation_sheet(shown: Sequence[Shown], titles: Sequence[str], top: float, headline: str, bottom: float = 0.0) -> Image.Image:
    """Draw a sheet, as many pictures to a line as make it about as wide as high.

    Args:
        shown: at least one picture; each has as many overlays as there are titles, or none.
        titles: of the encoders; those of a line that are too long end in dots.
        top: multiple of the average mass at the scale's end.
        headline: above everything.
        bottom: multiple of the average mass at the scale's beginning.

    Raises:
        ValueError: nothing to show.
    """
    if not shown:
        raise ValueError("a sheet needs at least one picture")
    columns = 1 + len(titles)
    cells = [[_cell(plane) for plane in (one.picture, *one.overlays)] for one in shown]
    width = max(cell.width for line in cells for cell in line) + GAP
    block, line = width * columns + GAP, CELL_HEIGHT + 2 * CAPTION + GAP
    across = max(1, min(len(shown), round((len(shown) * line / block) ** 0.5 * 1.3)))
    down = -(-len(shown) // across)
    legend = [f"{letter}: {title}" for letter, title in zip(_letters(titles), titles, strict=True)]
    above = TITLE * (1 + len(legend)) + GAP
    sheet = Image.new("RGB", (max(MIN_WIDTH, across * block + GAP), above + down * line + SCALE_BAR), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, text in enumerate([headline, *legend]):
        draw.text((GAP, 3 + number * TITLE), _fitted(text, sheet.width - 2 * GAP, font), fill=_INK, font=font)
    for index, (one, row) in enumerate(zip(shown, cells, strict=True)):
        x, y = GAP + index % across * block, above + index // across * line
        draw.text((x, y), _fitted(one.name, block - 2 * GAP, font, keep_end=True), fill=_GREY, font=font)
        said = one.captions or ("",) * len(titles)
        captions = ["", *(f"{letter} {words}".rstrip() for letter, words in zip(_letters(titles), said, strict=True))]
        for column, (cell, caption) in enumerate(zip(row, captions[: len(row)], strict=True)):
            sheet.paste(cell, (x + column * width, y + CAPTION))
            smaller = font if font.getlength(caption) <= width - 2 else ImageFont.load_default(SMALL_TEXT)
            draw.text((x + column * width, y + CAPTION + CELL_HEIGHT + 1), _fitted(caption, width - 2, smaller), fill=_INK, font=smaller)
    _draw_scale(draw, sheet, (bottom, top), font)
    return sheet


def _letters(titles: Sequence[str]) -> list[str]:
    return [chr(65 + i) for i in range(len(titles))]


def _draw_scale(
    draw: ImageDraw.ImageDraw, sheet: Image.Image, ends: tuple[float, float], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """The colour bar with its beginning, 1 (the average) and its end."""
    left, length, y = GAP, min(300, sheet.width // 2), sheet.height - SCALE_BAR + 6
    bar = colours(np.linspace(0, 1, length))[None].repeat(12, axis=0).round().astype(np.uint8)
    sheet.paste(Image.fromarray(bar), (left, y))
    low, high = ends
    for value in (low, 1.0, high):
        text = f"{value:.0f}" if value in (0.0, 1.0) else f"{value:.2f}" if high - low < 1 else f"{value:.1f}"
        x = left + min(length - 1, round((value - low) / (high - low) * (length - 1)))
        if value == 1.0 and not 20 < x - left < length - 30:
            continue
        draw.line([(x, y + 12), (x, y + 16)], fill=_INK)
        draw.text((x, y + 17), text, fill=_INK, font=font, anchor="ma" if 8 < x < left + length - 4 else "la" if x <= 8 else "ra")
    draw.text((left + length + GAP, y), "times the picture's average", fill=_GREY, font=font)


def _cell(plane: UInt8) -> Image.Image:
    height, width = plane.shape[:2]
    scale = min(CELL_HEIGHT / height, MAX_CELL_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, keep_end: bool = False) -> str:
    """As much of the text as fits; what is left out is marked by dots."""
    text = text.encode("ascii", "replace").decode()
    shown = text
    while len(shown) > 1 and font.getlength(_dotted(shown, text, keep_end)) > width:
        shown = shown[1:] if keep_end else shown[:-1]
    return _dotted(shown, text, keep_end)


def _dotted(shown: str, text: str, keep_end: bool) -> str:
    if shown == text:
        return text
    return f"...{shown}" if keep_end else f"{shown}..."
