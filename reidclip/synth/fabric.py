"""Colours of cloth, from positions on the template body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.mesh import FloatArray
from reidclip.synth.noise import waves
from reidclip.synth.outfit import Fabric


def paint_fabric(fabric: Fabric, coords: FloatArray, part: str) -> FloatArray:
    """Base colours (n, 3) of cloth fragments at template positions (n, 3); ``part`` is top, shirt (a top with buttons), leg
    or skirt."""
    colour = np.tile(fabric.rgb, (len(coords), 1))
    mask = _pattern(fabric, coords, "top" if part == "shirt" else part)
    if mask is not None:
        colour += mask[:, None] * (fabric.second_rgb - fabric.rgb)
    folds = waves(coords * np.array([1, 1, 0.6], np.float32), 16, fabric.seed) + 0.6 * waves(coords, 40, fabric.seed + 1)
    colour *= (1 + np.float32(fabric.rough) * folds)[:, None]
    if part == "shirt":
        front = (np.abs(coords[:, 0]) < 0.022) & (coords[:, 1] < -0.05)
        colour[front & (np.abs(np.abs(coords[:, 0]) - 0.02) < 0.004)] *= np.float32(0.72)
        colour[front & (np.abs(coords[:, 0]) < 0.007) & (coords[:, 2] % 0.085 < 0.015)] *= np.float32(0.5)
    return colour


def _unroll(coords: FloatArray, part: str) -> tuple[FloatArray, FloatArray]:
    """Coordinates around and along the body or limb, metres."""
    x, y, z = coords[:, 0], coords[:, 1], coords[:, 2]
    if part == "top":
        sleeve = np.abs(x) > 0.21
        around = np.where(sleeve, y, np.arctan2(x, -y) * np.float32(0.14))
        along = np.where(sleeve, np.abs(x) * np.float32(0.75) - z * np.float32(0.65), z)
        return around, along
    if part == "skirt":
        return np.arctan2(x, -y) * np.float32(0.18), z
    return np.arctan2(np.abs(x) - np.float32(0.15), -y - np.float32(0.03)) * np.float32(0.09), z


def _pattern(fabric: Fabric, coords: FloatArray, part: str) -> FloatArray | None:
    """Share of the second colour per fragment, (n,); None for plain cloth."""
    if fabric.pattern == "plain":
        return None
    if fabric.pattern == "printed":
        return _print(fabric, coords)
    if fabric.pattern == "camouflage":
        return (waves(coords, 28, fabric.seed + 3) > 0.08).astype(np.float32)
    if fabric.pattern == "denim":  # worn lighter on the thighs
        worn = np.exp(-(((coords[:, 2] + 0.12) / 0.16) ** 2)) * (coords[:, 1] < -0.02)
        return np.asarray(worn * np.float32(0.22), np.float32)
    around, along = _unroll(coords, part)
    return np.asarray(_repeat(fabric, around, along, part), np.float32)


def _repeat(fabric: Fabric, around: FloatArray, along: FloatArray, part: str) -> NDArray[np.bool_] | FloatArray:
    name, f = fabric.pattern, np.float32(fabric.frequency)
    if name == "striped":
        return np.asarray((along * f) % 1 < fabric.duty)
    if name == "vertically striped":
        return np.asarray((around * f) % 1 < fabric.duty * 0.6)
    if name == "checked":
        across = ((around * f * 0.6) % 1 < 0.45).astype(np.float32) + ((along * f * 0.6) % 1 < 0.45)
        return np.asarray(across * np.float32(0.42), np.float32)
    if name == "dotted":
        u, v = (around * f * 0.8) % 1 - 0.5, (along * f * 0.8) % 1 - 0.5
        return np.asarray(u * u + v * v < 0.08)
    return np.asarray(along < (0.47 if part == "top" else -0.2))  # colour-block


def _print(fabric: Fabric, coords: FloatArray) -> FloatArray:
    """A print on the chest: a disc, a mottled patch or lines of text-like bars."""
    rng = np.random.default_rng(fabric.seed)
    half_width, half_height, middle = rng.uniform(0.05, 0.11), rng.uniform(0.03, 0.09), rng.uniform(0.46, 0.55)
    u, v = coords[:, 0] / np.float32(half_width), (coords[:, 2] - np.float32(middle)) / np.float32(half_height)
    inside: NDArray[np.bool_] = (coords[:, 1] < -0.04) & (np.abs(u) < 1) & (np.abs(v) < 1)
    kind = int(rng.integers(3))
    if kind == 0:
        inside &= u * u + v * v < 1
    elif kind == 1:
        inside &= np.sin(coords[:, 0] * 190) * np.sin(coords[:, 2] * 150) > -0.2
    else:
        inside &= ((v + 1) % 0.7 < 0.4) & (np.sin(coords[:, 0] * 260 + np.floor((v + 1) / 0.7) * 5) > -0.6)
    return inside.astype(np.float32)
