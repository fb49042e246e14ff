"""Charts drawn with Pillow: two histograms over one another, and points in the plane. No plotting library needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, SCALE = 720, 440, 2  # drawn SCALE times as large, then reduced: smooth edges
LEFT, TOP, RIGHT, BOTTOM = 56, 64, 16, 48
INK, FAINT = (30, 30, 30), (205, 205, 205)
GREEN, RED = (31, 140, 86), (204, 75, 60)
# Ten colours that stay apart (Tableau's ten); more people take them again, lighter.
PALETTE = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (110, 110, 110), (188, 189, 34), (23, 190, 207),
)  # fmt: skip
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Series:
    """One histogram: its name in the legend, its colour, and counts per bin."""

    name: str
    colour: Colour
    counts: NDArray[np.int64]


def histogram_chart(title: str, subtitle: str, edges: NDArray[np.float64], series: Sequence[Series], x_label: str) -> Image.Image:
    """Shares per bin of each series, as half-transparent areas over one another."""
    sheet = _Sheet(title, subtitle)
    shares = [s.counts / max(1, s.counts.sum()) for s in series]
    top = max(float(share.max()) for share in shares) or 1.0
    sheet.x_axis(float(edges[0]), float(edges[-1]), x_label)
    for one, share in zip(series, shares, strict=True):
        sheet.area(edges, share / top, one.colour)
    sheet.legend([(s.name, s.colour) for s in series])
    return sheet.finished()


def scatter_chart(
    title: str, subtitle: str, points: NDArray[np.float64], colours: Sequence[int], marks: Sequence[int], names: Sequence[str]
) -> Image.Image:
    """Points (N, 2) in the plane; ``colours[i]`` is the number of a name, ``marks[i]`` the number of a mark's shape."""
    sheet = _Sheet(title, subtitle)
    low, high = points.min(axis=0), points.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    for point, colour, mark in zip((points - low) / spread, colours, marks, strict=True):
        sheet.point(0.03 + 0.94 * float(point[0]), 0.03 + 0.94 * float(point[1]), _colour(colour), mark)
    sheet.legend([(name, _colour(number)) for number, name in enumerate(names)])
    return sheet.finished()


def _colour(number: int) -> Colour:
    r, g, b = PALETTE[number % len(PALETTE)]
    lighter = min(0.75, 0.35 * (number // len(PALETTE)))
    return round(r + (255 - r) * lighter), round(g + (255 - g) * lighter), round(b + (255 - b) * lighter)


class _Sheet:
    """A white picture with a frame; positions inside the frame are shares, from its lower left corner."""

    def __init__(self, title: str, subtitle: str) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.text(LEFT, 10, title, 15)
        self.text(LEFT, 31, subtitle, 11, (90, 90, 90))
        self.box = LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM
        self.draw.rectangle([v * SCALE for v in self.box], outline=FAINT, width=SCALE)

    def text(self, x: float, y: float, text: str, size: int, colour: Colour = INK, anchor: str = "la") -> None:
        self.draw.text((x * SCALE, y * SCALE), text, fill=colour, font=ImageFont.load_default(size * SCALE), anchor=anchor)

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + x * (right - left)) * SCALE, (bottom - y * (bottom - top)) * SCALE

    def x_axis(self, low: float, high: float, label: str) -> None:
        """Ticks at round numbers below the frame."""
        step = _round_step((high - low) / 9)
        digits = max(0, -int(np.floor(np.log10(step)))) if step < 1 else 0
        for number in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1):
            x, y = self.at((number * step - low) / (high - low), 0)
            self.draw.line([(x, y), (x, y + 5 * SCALE)], fill=INK, width=SCALE)
            self.text(x / SCALE, y / SCALE + 7, f"{number * step:.{digits}f}", 11, anchor="ma")
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, label, 12, anchor="mm")

    def area(self, edges: NDArray[np.float64], heights: NDArray[np.float64], colour: Colour) -> None:
        """Steps, filled half-transparently."""
        places = (edges - edges[0]) / (edges[-1] - edges[0])
        corners = [self.at(places[0], 0)]
        for left, right, height in zip(places[:-1], places[1:], heights, strict=True):
            corners += [self.at(left, 0.95 * height), self.at(right, 0.95 * height)]
        corners.append(self.at(places[-1], 0))
        layer = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        ImageDraw.Draw(layer).polygon(corners, fill=(*colour, 100))
        self.image.paste(layer, mask=layer)
        self.draw = ImageDraw.Draw(self.image)
        self.draw.line(corners[1:-1], fill=colour, width=SCALE)

    def point(self, x: float, y: float, colour: Colour, mark: int) -> None:
        """A disc, a square, a triangle, a diamond, or one of them hollow."""
        (px, py), r = self.at(x, y), 4.2 * SCALE
        fill = colour if mark // 4 % 2 == 0 else None
        line = max(1, SCALE)
        shape = mark % 4
        if shape == 0:
            self.draw.ellipse([px - r, py - r, px + r, py + r], fill=fill, outline=colour, width=line)
        elif shape == 1:
            self.draw.rectangle([px - r, py - r, px + r, py + r], fill=fill, outline=colour, width=line)
        else:
            corners = (
                [(px, py - r), (px - r, py + r), (px + r, py + r)]
                if shape == 2
                else [(px, py - r), (px + r, py), (px, py + r), (px - r, py)]
            )
            self.draw.polygon(corners, fill=fill, outline=colour, width=line)

    def legend(self, entries: Sequence[tuple[str, Colour]]) -> None:
        """Right above the frame, in one line; names that do not fit are left out."""
        x = float(LEFT)
        for name, colour in entries:
            width = ImageFont.load_default(11).getlength(name) + 24
            if x + width > WIDTH - RIGHT:
                break
            self.draw.rectangle([v * SCALE for v in (x, 49, x + 10, 59)], fill=colour)
            self.text(x + 14, 48, name, 11)
            x += width

    def finished(self) -> Image.Image:
        return self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999))
