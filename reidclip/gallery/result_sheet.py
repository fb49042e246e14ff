"""A sheet to look at: each query and its answers in a row, with rank, distance and where each was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from reidclip.data.images import UInt8

CELL_HEIGHT, CELL_WIDTH = 192, 128
GAP, TEXT, LINE, TITLE = 8, 12, 16, 26
_INK, _GREY, _PAPER, _QUERY, _MISSING = (20, 20, 20), (110, 110, 110), (255, 255, 255), (30, 90, 200), (230, 230, 230)


@dataclass(frozen=True)
class Cell:
    """One picture, (H, W, 3) uint8, or None where it is gone, with a few short lines below it."""

    picture: UInt8 | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class SheetRow:
    """A query and its answers in order of rank."""

    query: Cell
    answers: tuple[Cell, ...]


def result_sheet(rows: Sequence[SheetRow], headline: str) -> Image.Image:
    """Draw a sheet; queries stand left, framed in blue.

    Raises:
        ValueError: nothing to show.
    """
    if not rows:
        raise ValueError("a sheet needs at least one query")
    columns = 1 + max(len(row.answers) for row in rows)
    lines = max(len(cell.lines) for row in rows for cell in (row.query, *row.answers))
    across, down = CELL_WIDTH + GAP, CELL_HEIGHT + lines * LINE + 2 * GAP
    sheet = Image.new("RGB", (max(360, 3 * GAP + columns * across), TITLE + len(rows) * down), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    draw.text((GAP, 6), _fitted(headline, sheet.width - 2 * GAP, font), fill=_INK, font=font)
    for number, row in enumerate(rows):
        y = TITLE + number * down
        for column, cell in enumerate((row.query, *row.answers)):
            x = GAP + column * across + (GAP if column else 0)  # the query stands apart
            _draw(sheet, draw, cell, (x, y), font, framed=column == 0)
    return sheet


def _draw(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    at: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    framed: bool,
) -> None:
    x, y = at
    if cell.picture is None:
        draw.rectangle((x, y, x + CELL_WIDTH - 1, y + CELL_HEIGHT - 1), fill=_MISSING)
        draw.text((x + CELL_WIDTH // 2, y + CELL_HEIGHT // 2), "gone", fill=_GREY, font=font, anchor="mm")
        box = (x, y, x + CELL_WIDTH - 1, y + CELL_HEIGHT - 1)
    else:
        height, width = cell.picture.shape[:2]
        scale = min(CELL_HEIGHT / height, CELL_WIDTH / width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = x + (CELL_WIDTH - size[0]) // 2, y + CELL_HEIGHT - size[1]
        sheet.paste(Image.fromarray(cell.picture).resize(size, Image.Resampling.BICUBIC), (left, top))
        box = (left, top, left + size[0] - 1, top + size[1] - 1)
    if framed:
        draw.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), outline=_QUERY, width=3)
    for number, line in enumerate(cell.lines):
        place = (x, y + CELL_HEIGHT + 4 + number * LINE)
        draw.text(place, _fitted(line, CELL_WIDTH, font), fill=_INK if number == 0 else _GREY, font=font)


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a text that is too long for its place, for names differ there."""
    text = text.encode("ascii", "replace").decode()
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"
