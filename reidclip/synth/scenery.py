"""Procedural places: a wide canvas with wall, ground and clutter from which pictures cut their backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from reidclip.synth.mesh import FloatArray

CANVAS = 512
FOOT = 256  # row where the wall meets the ground
KINDS = ("street", "foliage", "shop", "corridor", "plaza")


@dataclass(frozen=True)
class Scenery:
    """A place.

    Attributes:
        image: (CANVAS, CANVAS, 3) RGB float32 in [0, 1].
        kind: one of KINDS.
    """

    image: FloatArray
    kind: str


def kind_of(seed: int) -> str:
    """Kind of the place with this number, without drawing it."""
    return str(np.random.default_rng(np.random.SeedSequence([seed, 77])).choice(KINDS))


@lru_cache(maxsize=64)
def scenery(seed: int) -> Scenery:
    """The place with this number."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 77]))
    kind = str(rng.choice(KINDS))
    image = np.empty((CANVAS, CANVAS, 3), np.float32)
    image[:FOOT] = _tint(rng, 0.2, 0.8, 0.12)
    image[FOOT:] = _tint(rng, 0.3, 0.75, 0.06)
    _draw_ground(image, rng, kind)
    {"street": _draw_buildings, "foliage": _draw_foliage, "shop": _draw_shop, "corridor": _draw_corridor, "plaza": _draw_plaza}[kind](
        image, rng
    )
    for _ in range(int(rng.integers(2, 8))):
        _CLUTTER[int(rng.integers(len(_CLUTTER)))](image, rng)
    image *= 1 + 0.05 * _noise(rng, 64)[..., None] + 0.04 * _noise(rng, 6)[..., None]
    light = np.linspace(rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2), CANVAS, dtype=np.float32)
    image = cv2.GaussianBlur(np.clip(image * light[None, :, None], 0, 1), (0, 0), float(rng.uniform(0.6, 2.2)))
    return Scenery(image, kind)


def _tint(rng: np.random.Generator, low: float, high: float, spread: float) -> FloatArray:
    return np.clip(rng.uniform(low, high) * np.clip(1 + rng.normal(0, spread, 3), 0.6, 1.4), 0.03, 0.95).astype(np.float32)


def _noise(rng: np.random.Generator, cell: int) -> FloatArray:
    count = CANVAS // cell + 2
    coarse = rng.normal(0, 1, (count, count)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR), np.float32)


def _rect(image: FloatArray, x0: float, y0: float, x1: float, y1: float, colour: np.ndarray) -> None:
    a, b = max(0, int(x0)), max(0, int(x1))
    c, d = max(0, int(y0)), max(0, int(y1))
    image[c:d, a:b] = colour


def _colour(rng: np.random.Generator, low: float = 0.05, high: float = 0.95) -> tuple[float, float, float]:
    # Half-way to grey: saturated clutter is rarer in the world than saturated clothes.
    r, g, b = 0.55 * rng.uniform(low, high, 3) + 0.45 * rng.uniform(low, high)
    return float(r), float(g), float(b)


def _draw_ground(image: FloatArray, rng: np.random.Generator, kind: str) -> None:
    depth = 1 / (np.arange(CANVAS - FOOT, dtype=np.float32) / 200 + 0.12)
    image[FOOT:] *= np.linspace(0.85, 1.1, CANVAS - FOOT, dtype=np.float32)[:, None, None]
    style = rng.random()
    if style < 0.45:  # paving
        size = float(rng.uniform(0.8, 2.5))
        columns = (np.arange(CANVAS, dtype=np.float32) - CANVAS / 2) / 130
        joint = ((columns[None, :] * depth[:, None] * size + 50) % 1 < 0.05) | ((depth * size * 1.5) % 1 < 0.09)[:, None]
        image[FOOT:][joint] *= np.float32(rng.uniform(0.7, 0.92))
    elif style < 0.65:  # lines on a road
        for _ in range(int(rng.integers(1, 4))):
            row = FOOT + int(rng.uniform(5, 230))
            cv2.line(image, (0, row), (CANVAS, row + int(rng.integers(-40, 40))), (0.85, 0.85, 0.8), int(rng.integers(2, 9)))
    elif kind == "foliage" and style < 0.9:
        image[FOOT:] = np.array([0.25, 0.4, 0.18], np.float32) * np.float32(rng.uniform(0.7, 1.5))
        image[FOOT:] *= 1 + 0.3 * _noise(rng, 4)[FOOT:, :, None]
    if rng.random() < 0.5:  # a kerb or lawn strip along the wall
        _rect(image, 0, FOOT, CANVAS, FOOT + rng.uniform(4, 40), _tint(rng, 0.25, 0.8, 0.15))


def _draw_buildings(image: FloatArray, rng: np.random.Generator) -> None:
    x = 0.0
    while x < CANVAS:
        wide = float(rng.uniform(80, 240))
        wall = _tint(rng, 0.25, 0.8, 0.12)
        _rect(image, x, 0, x + wide, FOOT, wall)
        if rng.random() < 0.4:  # courses of brick
            image[0:FOOT:6, int(x) : int(min(x + wide, CANVAS))] *= np.float32(0.85)
        step, glass = float(rng.uniform(28, 60)), _tint(rng, 0.1, 0.6, 0.15)
        for wx in np.arange(x + 8, x + wide - step * 0.6, step):
            for wy in np.arange(rng.uniform(0, 20), FOOT - 40, step * 1.3):
                _rect(image, wx, wy, wx + step * 0.6, wy + step * 0.8, glass * np.float32(rng.uniform(0.7, 1.3)))
        x += wide


def _draw_foliage(image: FloatArray, rng: np.random.Generator) -> None:
    image[:FOOT] = np.array([0.16, 0.27, 0.12], np.float32) * np.float32(rng.uniform(0.6, 1.6))
    for _ in range(140):
        centre = (int(rng.integers(0, CANVAS)), int(rng.integers(-10, FOOT)))
        shade = np.array([0.2, 0.34, 0.14]) * rng.uniform(0.3, 2.0) * (1 + rng.normal(0, 0.12, 3))
        radius = int(rng.integers(5, 32))
        cv2.ellipse(
            image, centre, (radius, int(radius * rng.uniform(0.5, 1))), float(rng.uniform(0, 180)), 0, 360, tuple(map(float, shade)), -1
        )
    image[FOOT : FOOT + 6] *= np.float32(0.7)
    image[:FOOT] *= 1 + 0.3 * _noise(rng, 5)[:FOOT, :, None]


def _draw_shop(image: FloatArray, rng: np.random.Generator) -> None:
    x = 0.0
    while x < CANVAS:
        wide = float(rng.uniform(60, 170))
        _rect(image, x, 20, x + wide - 8, FOOT - rng.uniform(0, 30), _tint(rng, 0.08, 0.5, 0.2))
        for _ in range(int(rng.integers(2, 9))):  # things behind the glass
            px, py = rng.uniform(x, x + wide), rng.uniform(40, FOOT - 30)
            _rect(image, px, py, px + rng.uniform(6, 36), py + rng.uniform(8, 60), np.array(_colour(rng)))
        _rect(image, x, 0, x + wide - 8, rng.uniform(20, 60), np.array(_colour(rng, 0.2)))
        x += wide
    for _ in range(10):
        px, py = rng.uniform(0, CANVAS), rng.uniform(4, 50)
        _rect(image, px, py, px + rng.uniform(4, 12), py + rng.uniform(5, 16), np.array([0.95, 0.95, 0.9]))


def _draw_corridor(image: FloatArray, rng: np.random.Generator) -> None:
    image[FOOT - 10 : FOOT] *= np.float32(0.6)  # skirting board
    for _ in range(int(rng.integers(2, 6))):
        x, wide = rng.uniform(0, CANVAS), rng.uniform(40, 100)
        top = rng.uniform(0, 100)
        _rect(image, x, top, x + wide, FOOT if rng.random() < 0.6 else top + rng.uniform(30, 120), _tint(rng, 0.2, 0.85, 0.15))
    for x in rng.uniform(0, CANVAS, int(rng.integers(0, 5))):
        _rect(image, x, 0, x + rng.uniform(3, 16), FOOT, _tint(rng, 0.2, 0.9, 0.05))


def _draw_plaza(image: FloatArray, rng: np.random.Generator) -> None:
    horizon = int(rng.uniform(60, 200))
    image[:horizon] = _tint(rng, 0.55, 0.95, 0.06)
    image[horizon:FOOT] = _tint(rng, 0.3, 0.7, 0.06)
    for _ in range(int(rng.integers(4, 12))):
        x, wide, high = rng.uniform(-40, CANVAS), rng.uniform(30, 160), rng.uniform(20, 140)
        _rect(image, x, horizon - high, x + wide, horizon + 4, _tint(rng, 0.2, 0.75, 0.12))


def _clutter_car(image: FloatArray, rng: np.random.Generator) -> None:
    x, y, wide = int(rng.uniform(-60, CANVAS)), FOOT + int(rng.uniform(-10, 40)), int(rng.uniform(140, 260))
    paint = _colour(rng)
    high = wide // 5
    cv2.rectangle(image, (x, y - high), (x + wide, y), paint, -1)
    roof = np.array(
        [[x + wide // 6, y - high], [x + wide // 3, y - 2 * high], [x + 2 * wide // 3, y - 2 * high], [x + 5 * wide // 6, y - high]]
    )
    cv2.fillConvexPoly(image, roof.astype(np.int32), (0.15, 0.17, 0.2))
    for wheel in (x + wide // 5, x + 4 * wide // 5):
        cv2.circle(image, (wheel, y), high // 2, (0.06, 0.06, 0.06), -1)


def _clutter_bike(image: FloatArray, rng: np.random.Generator) -> None:
    x, y, r = int(rng.uniform(0, CANVAS)), FOOT + int(rng.uniform(10, 90)), int(rng.uniform(18, 40))
    paint, dark = _colour(rng), (0.08, 0.08, 0.09)
    for cx in (x, x + int(2.6 * r)):
        cv2.circle(image, (cx, y - r), r, dark, max(2, r // 9), cv2.LINE_AA)
    seat, crank, bar = (x + r, y - int(2.1 * r)), (x + int(1.2 * r), y - r), (x + int(2.2 * r), y - int(2.2 * r))
    for a, b in (((x, y - r), crank), (crank, seat), (seat, bar), (crank, bar), (bar, (x + int(2.6 * r), y - r)), (seat, (x, y - r))):
        cv2.line(image, a, b, paint, max(2, r // 8), cv2.LINE_AA)


def _clutter_pole(image: FloatArray, rng: np.random.Generator) -> None:
    x, wide = rng.uniform(0, CANVAS), rng.uniform(3, 18)
    _rect(image, x, 0, x + wide, FOOT + rng.uniform(0, 60), _tint(rng, 0.1, 0.8, 0.05))


def _clutter_tree(image: FloatArray, rng: np.random.Generator) -> None:
    x, base = int(rng.uniform(0, CANVAS)), FOOT + int(rng.uniform(-5, 40))
    _rect(image, x, 60, x + rng.uniform(8, 22), base, np.array([0.25, 0.18, 0.12]))
    for _ in range(25):
        centre = (x + int(rng.normal(0, 32)), int(rng.normal(50, 28)))
        cv2.circle(image, centre, int(rng.integers(8, 26)), tuple(map(float, np.array([0.18, 0.32, 0.13]) * rng.uniform(0.5, 1.8))), -1)


def _clutter_railing(image: FloatArray, rng: np.random.Generator) -> None:
    x0, x1 = sorted(rng.uniform(-50, CANVAS + 50, 2))
    base, high, paint = FOOT + rng.uniform(0, 70), rng.uniform(50, 100), _tint(rng, 0.1, 0.9, 0.03)
    for y in (base - high, base - high * 0.5):
        _rect(image, x0, y, x1, y + 4, paint)
    for x in np.arange(x0, x1, rng.uniform(10, 40)):
        _rect(image, x, base - high, x + 3, base, paint)


def _clutter_person(image: FloatArray, rng: np.random.Generator) -> None:
    x, foot, high = int(rng.uniform(0, CANVAS)), FOOT + int(rng.uniform(0, 60)), int(rng.uniform(90, 190))
    skin, shirt, legs = (0.75, 0.58, 0.48), _colour(rng), _colour(rng, 0.05, 0.6)
    unit = high // 8
    for dx in (-1, 1):
        cv2.line(image, (x + dx * unit // 3, foot - 4 * unit), (x + dx * int(rng.uniform(2, unit)), foot), legs, max(2, unit // 2 * 2))
    cv2.ellipse(image, (x, foot - int(5.3 * unit)), (int(unit * 0.9), int(unit * 1.6)), 0, 0, 360, shirt, -1)
    cv2.circle(image, (x, foot - int(7.3 * unit)), max(2, int(unit * 0.55)), skin, -1)
    cv2.ellipse(
        image, (x, foot - int(7.5 * unit)), (max(2, int(unit * 0.58)), max(1, int(unit * 0.45))), 0, 180, 360, (0.1, 0.08, 0.07), -1
    )


_CLUTTER = (_clutter_car, _clutter_bike, _clutter_pole, _clutter_tree, _clutter_railing, _clutter_person)


def cut_background(place: Scenery, rng: np.random.Generator, height: int, width: int, foot: float) -> FloatArray:
    """A background (height, width, 3) whose wall foot lies at row ``foot * height``."""
    zoom = float(rng.uniform(0.75, 1.5))  # canvas pixels per 256 rows of picture, relative
    rows, columns = 256 * zoom, 128 * zoom
    top = FOOT - foot * rows
    left = rng.uniform(0, CANVAS - columns)
    matrix = np.array([[columns / width, 0, left], [0, rows / height, top]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(place.image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(image[:, ::-1] if rng.random() < 0.5 else image, np.float32)
