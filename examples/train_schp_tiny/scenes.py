"""Puts a rendered person into a random scene: place, background, things behind and in front. Labels follow.

Carried things and whatever stands in front are background (label 0), as LIP has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import appearance
import cv2
import numpy as np
import numpy.typing as npt
from pairs import Bank, Pair, letterboxed

from reidclip.data.label_sets import LIP
from reidclip_schp.mirror import mirrored_order

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
_MIRROR = np.array(mirrored_order(LIP.labels), np.uint8)


def random_scene(rng: np.random.Generator, pairs: Sequence[Pair] | Bank, index: int, input_hw: tuple[int, int]) -> Pair:
    """One randomised picture and its labels at the network's input size, letterboxed like any picture."""
    height, width = input_hw
    if rng.random() < 0.25:  # crops of another shape, so that padding is known
        width = int(height * rng.uniform(0.33, 0.8))
    picture, labels, alpha = _person(rng, pairs[index], height, width)
    scene = picture if rng.random() < 0.25 else background(rng, height, width)
    if rng.random() < 0.2:
        other, _, other_alpha = _person(rng, pairs[int(rng.integers(len(pairs)))], height, width, beside=True)
        scene = scene + (other - scene) * other_alpha
    picture = scene + (picture - scene) * alpha
    picture, labels = _in_front(rng, picture, labels)
    return letterboxed(Pair(appearance.camera(rng, appearance.light(rng, picture)), labels), input_hw)


def background(rng: np.random.Generator, height: int, width: int) -> Float:
    """Wall, floor, foliage-like noise, and clutter of bars, wheels, boxes."""
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    wall = appearance.colour(rng) * (1 - ramp) + appearance.colour(rng) * ramp
    scene = np.broadcast_to(wall, (height, width, 3)).copy()
    horizon = int(height * rng.uniform(0.1, 1.0))
    scene[horizon:] = scene[horizon:] * 0.2 + appearance.colour(rng) * 0.8
    for _ in range(int(rng.integers(0, 4))):
        channels = 3 if rng.random() < 0.3 else 1
        scene = scene + appearance.blotches(rng, height, width, int(rng.integers(3, 70)), channels) * rng.uniform(5, 40)
    for _ in range(int(rng.integers(0, 22)) if rng.random() < 0.8 else 0):
        shape(rng, scene, appearance.colour(rng))
    if rng.random() < 0.5:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.4, 3))
    return scene.clip(0, 255)


def shape(rng: np.random.Generator, canvas: npt.NDArray[np.float32] | UInt8, value: Float | int) -> None:
    """Draw one bar, box, wheel or blob somewhere on the canvas, in place."""
    height, width = canvas.shape[:2]
    fill = tuple(float(v) for v in np.atleast_1d(value))
    x, y = int(rng.integers(-10, width + 10)), int(rng.integers(-10, height + 10))
    thickness = int(rng.integers(1, 7))
    kind = rng.random()
    if kind < 0.4:
        angle, length = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(0.1, 1.2) * height
        cv2.line(canvas, (x, y), (int(x + length * np.cos(angle)), int(y + length * np.sin(angle))), fill, thickness)
    elif kind < 0.6:
        radius = int(rng.uniform(0.05, 0.25) * height)
        cv2.ellipse(canvas, (x, y), (max(1, int(radius * rng.uniform(0.4, 1))), radius), 0, 0, 360, fill, int(rng.integers(1, 4)))
    elif kind < 0.85:
        corner = (x + int(rng.integers(3, width)), y + int(rng.integers(3, height // 2)))
        cv2.rectangle(canvas, (x, y), corner, fill, -1 if rng.random() < 0.7 else thickness)
    else:
        axes = (int(rng.integers(2, width // 3)), int(rng.integers(2, width // 3)))
        cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, fill, -1)


def _person(rng: np.random.Generator, pair: Pair, height: int, width: int, beside: bool = False) -> tuple[Float, UInt8, Float]:
    """Recoloured picture, labels and alpha (H, W, 1) of one person, moved, turned, scaled and perhaps mirrored."""
    picture, labels = appearance.recolour(rng, pair.picture.astype(np.float32), pair.labels), pair.labels
    if rng.random() < 0.5:
        picture, labels = np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(_MIRROR[labels[:, ::-1]])
    matrix, size = _placement(rng, labels, height, width, beside), (width, height)
    alpha = cv2.warpAffine((labels > 0).astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    labels = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST)
    if rng.random() < 0.5:  # hides the fringe of the old background
        alpha = (cv2.GaussianBlur(alpha, (0, 0), 0.7) * 1.6 - 0.6).clip(0, 1)
    return moved, np.asarray(labels, np.uint8), alpha[:, :, None]


def _placement(rng: np.random.Generator, labels: UInt8, height: int, width: int, beside: bool) -> Float:
    """Matrix (2, 3) that takes picture pixels to canvas pixels: usually the whole person, sometimes a part."""
    rows, columns = np.nonzero(labels)
    if len(rows) == 0:
        rows, columns = np.array([0, labels.shape[0] - 1]), np.array([0, labels.shape[1] - 1])
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    share = rng.uniform(0.75, 1.02) if rng.random() < 0.8 else rng.uniform(0.5, 1.6)
    scale_y = share * height / (bottom - top)
    scale_x = scale_y * np.exp(rng.normal(0, 0.1))
    angle = np.deg2rad(rng.normal(0, 4))
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([scale_x, scale_y])
    shift_x = rng.choice([-1, 1]) * rng.uniform(0.4, 0.7) if beside else rng.normal(0, 0.07)
    target = np.array([width * (0.5 + shift_x), height * (0.5 + rng.normal(0, 0.04 + 0.3 * max(0.0, share - 1)))])
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    return np.column_stack([linear, target - linear @ centre]).astype(np.float32)


def _in_front(rng: np.random.Generator, picture: Float, labels: UInt8) -> tuple[Float, UInt8]:
    """Bags, straps, bars and boxes before the person; they are background."""
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(1, 4))):
            picture, labels = _stamped(rng, picture, labels, lambda canvas: shape(rng, canvas, 1))
    rows, columns = np.nonzero(labels)
    if rng.random() < 0.3 and len(rows):
        for _ in range(int(rng.integers(1, 3))):
            pick = rng.integers(len(rows))
            at = (int(columns[pick]), int(rows[pick]))
            picture, labels = _stamped(rng, picture, labels, lambda canvas, at=at: _carried(rng, canvas, at))
    return picture, labels


def _stamped(rng: np.random.Generator, picture: Float, labels: UInt8, draw: Callable[[UInt8], None]) -> tuple[Float, UInt8]:
    stamp = np.zeros(labels.shape, np.uint8)
    draw(stamp)
    hit = stamp > 0
    if hit.mean() > 0.25:  # more would leave nothing to learn from
        return picture, labels
    texture = appearance.blotches(rng, *labels.shape, int(rng.integers(4, 40))) * rng.uniform(0, 25)
    picture = np.where(hit[:, :, None], (appearance.colour(rng) + texture).clip(0, 255), picture).astype(np.float32)
    return picture, np.where(hit, 0, labels).astype(np.uint8)


def _carried(rng: np.random.Generator, canvas: UInt8, at: tuple[int, int]) -> None:
    height, width = canvas.shape
    if rng.random() < 0.5:  # a strap
        end = (at[0] + int(rng.normal(0, 0.15) * width), at[1] + int(rng.uniform(0.1, 0.3) * height))
        cv2.line(canvas, at, end, 1, int(rng.integers(1, 5)))
    else:
        axes = (int(rng.integers(3, max(4, width // 5))), int(rng.integers(3, max(4, height // 9))))
        cv2.ellipse(canvas, at, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
