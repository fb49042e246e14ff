"""Charts as SVG: curves, histograms and maps; colours and dashes are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.report.contents import FeatureMap
from reidclip.report.digits import digits_of
from reidclip.report.markup import Html, element
from reidclip.report.pair_distances import GROUPS, PairDistances

WIDTH, HEIGHT = 380, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 18, 10, 36
MARKED_RANKS = (1, 5, 10, 20)
SERIES = 8  # colours that the style sheet has
MARKS = 6  # shapes of points


@dataclass(frozen=True)
class _Frame:
    """Data coordinates to the chart's."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return round(_LEFT + across * (WIDTH - _LEFT - _RIGHT), 1), round(HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM), 1)

    def points(self, xs: Sequence[float] | range | NDArray[np.float64], ys: Sequence[float] | NDArray[np.float64]) -> str:
        return " ".join("{},{}".format(*self.at(float(x), float(y))) for x, y in zip(xs, ys, strict=True))


def series_class(number: int) -> str:
    """Class of the n-th evaluation's lines and signs."""
    return f"s{number % SERIES}"


def cmc_chart(curves: Sequence[tuple[int, str, NDArray[np.float64]]], title: str) -> Html:
    """CMC curves, (number of the evaluation, its name, CMC at ranks 1, 2, ...), from a tenth below the lowest to 100 %."""
    ranks = max(len(curve) for _, _, curve in curves)
    low = max(0.0, np.floor(min(float(curve[0]) for _, _, curve in curves) * 10 - 0.5) / 10)
    frame = _Frame((1, max(2, ranks)), (low, 1.0))
    steps = 5 if low < 0.5 else 10 if low < 0.85 else 50  # parts of the whole from one line of the grid to the next
    ticks_y = [(i / steps, f"{100 * i / steps:.0f}") for i in range(steps + 1) if i / steps >= low - 1e-9]
    ticks_x = [(float(rank), str(rank)) for rank in MARKED_RANKS if rank <= ranks]
    lines = []
    for number, name, curve in curves:
        name_class = series_class(number)
        lines.append(element("polyline", points=frame.points(range(1, len(curve) + 1), curve), class_=f"line {name_class}"))
        for rank in (r for r in MARKED_RANKS if r <= len(curve)):
            x, y = frame.at(rank, float(curve[rank - 1]))
            point = element("title", f"{name}: {100 * curve[rank - 1]:.1f} % at rank {rank}")
            lines.append(element("circle", point, cx=x, cy=y, r=3, class_=f"dot {name_class}"))
    told = "; ".join(
        f"{name}: {', '.join(f'rank {r} {100 * c[r - 1]:.1f} %' for r in MARKED_RANKS if r <= len(c))}" for _, name, c in curves
    )
    return _chart([*_axes(frame, ticks_x, ticks_y, "rank", "queries found, %"), *lines], f"{title}. {told}")


def histogram_chart(pairs: PairDistances, title: str, unit: str) -> Html:
    """Shares of three groups of pairs by distance, each group summing to one."""
    total = pairs.counts.sum(axis=1)
    shares = [counts / n if n else counts * 0.0 for counts, n in zip(pairs.counts, total, strict=True)]
    top = max(float(s.max()) for s in shares) * 1.05
    frame = _Frame((float(pairs.edges[0]), float(pairs.edges[-1])), (0.0, top))
    low, high = frame.x
    digits = digits_of([low, high])
    ticks_x = [(float(x), f"{x:.{digits - 1}f}") for x in np.linspace(low, high, 5)]
    shapes = []
    for number, share in enumerate(shares):
        if not total[number]:
            continue
        xs, ys = np.repeat(pairs.edges, 2), np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
        mean = pairs.means[number]
        shapes.append(
            element("polyline", element("title", group_name(pairs, number)), points=frame.points(xs, ys), class_=f"area g{number}")
        )
        if mean is not None:
            (x, y0), (_, y1) = frame.at(mean, 0), frame.at(mean, top)
            shapes.append(element("line", x1=x, x2=x, y1=y0, y2=y1, class_=f"mean g{number}"))
    told = "; ".join(
        f"{group_name(pairs, i)}: mean {mean:.{digits}f} of {n} pairs"
        for i, (mean, n) in enumerate(zip(pairs.means, total, strict=True))
        if mean is not None
    )
    return _chart([*_axes(frame, ticks_x, [], unit, "share of pairs"), *shapes], f"{title}. {told}")


def group_name(pairs: PairDistances, group: int) -> str:
    """Of the group's pairs; without "same clothes" where clothes are not known."""
    return GROUPS[group] if group or pairs.clothes_known else "same person"


def map_chart(found: FeatureMap, title: str) -> Html:
    """A point per picture: a colour per person, a shape per outfit of that person."""
    points = found.points
    spread = np.ptp(points, axis=0)
    margin = np.where(spread > 0, spread, 1.0) * 0.04
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    frame = _Frame((float(low[0]), float(high[0])), (float(low[1]), float(high[1])))
    people = list(dict.fromkeys(item.pid for item in found.items))
    outfits = {pid: sorted({i.clothes for i in found.items if i.pid == pid and i.clothes is not None}) for pid in people}
    signs = []
    for item, (px, py) in zip(found.items, points.tolist(), strict=True):
        x, y = frame.at(px, py)
        outfit = outfits[item.pid].index(item.clothes) if item.clothes is not None else 0
        worn = "" if item.clothes is None else f", clothes {item.clothes}"
        told = element("title", f"person {item.pid}{worn}: {item.path}")
        shape = element(
            "path", told, d=_SHAPES[outfit % MARKS], transform=f"translate({x} {y})", class_=f"point p{people.index(item.pid) % 10}"
        )
        signs.append(shape)
    told_people = f"{len(found.items)} pictures of {len(people)} people"
    box = element("rect", x=_LEFT - 30, y=_TOP, width=WIDTH - _LEFT - _RIGHT + 30, height=HEIGHT - _TOP - 10, class_="box")
    return _chart([box, *signs], f"{title}: {told_people}, a colour per person, a shape per outfit")


_SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "M-4,-4h8v8h-8z",
    "M0,-5l5,9h-10z",
    "M0,-5l5,5l-5,5l-5,-5z",
    "M-4,-1.5h2.5v-2.5h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5z",
    "M0,5l5,-9h-10z",
)


def _axes(frame: _Frame, x: Sequence[tuple[float, str]], y: Sequence[tuple[float, str]], x_label: str, y_label: str) -> list[Html]:
    drawn: list[Html] = []
    (left, bottom), (right, top) = frame.at(frame.x[0], frame.y[0]), frame.at(frame.x[1], frame.y[1])
    for value, told in y:
        _, place = frame.at(frame.x[0], value)
        drawn.append(element("line", x1=left, x2=right, y1=place, y2=place, class_="grid"))
        drawn.append(element("text", told, x=left - 5, y=place + 3.5, text_anchor="end"))
    for value, told in x:
        place, _ = frame.at(value, frame.y[0])
        drawn.append(element("line", x1=place, x2=place, y1=bottom, y2=bottom + 4, class_="axis"))
        drawn.append(element("text", told, x=place, y=bottom + 16, text_anchor="middle"))
    drawn.append(element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
    drawn.append(element("text", x_label, x=(left + right) / 2, y=HEIGHT - 4, text_anchor="middle", class_="label"))
    middle = (top + bottom) / 2
    drawn.append(element("text", y_label, x=11, y=middle, text_anchor="middle", transform=f"rotate(-90 11 {middle})", class_="label"))
    return drawn


def _chart(content: Sequence[Html], told: str) -> Html:
    return element("svg", *content, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart", role="img", aria_label=told)
