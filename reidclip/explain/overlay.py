"""A heat map laid over its picture, in colours whose order can be read without a legend: black, violet, red, orange, light yellow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reidclip.data.images import UInt8
from reidclip.explain.placing import Floats

_STOPS = np.array([(8, 4, 30), (74, 16, 110), (150, 38, 104), (214, 72, 65), (248, 140, 20), (252, 255, 170)], np.float64)
_REST = 0.98  # of the cells lie within the scale
_LEAST = 0.01  # a scale is not stretched further than to this: rounding would be seen
_OPACITY = (0.25, 0.85)  # of the scale's lowest and highest colour: where nothing is seen, the picture is


def colours(values: Floats) -> Floats:
    """0..1 (anything beyond is cut off) -> RGB 0..255 along the scale, shape (..., 3); brightness rises with the value."""
    places = np.clip(values, 0, 1) * (len(_STOPS) - 1)
    steps = np.arange(len(_STOPS))
    return np.stack([np.interp(places, steps, _STOPS[:, channel]) for channel in range(3)], axis=-1)


def overlay(picture: UInt8, mass: Floats, top: float, bottom: float = 0.0) -> UInt8:
    """The picture in grey under the colours of its map.

    Args:
        picture: (H, W, 3) RGB.
        mass: (H, W), summing to one; zero everywhere gives the scale's lowest colour.
        top: which multiple of the average mass per pixel has the scale's highest colour.
        bottom: and which the lowest.

    Returns:
        (H, W, 3).
    """
    grey = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
    values = np.clip((mass * mass.size - bottom) / (top - bottom), 0, 1)
    opacity = (_OPACITY[0] + (_OPACITY[1] - _OPACITY[0]) * np.sqrt(values))[..., None]
    laid = (1 - opacity) * grey[..., None] + opacity * colours(values)
    shown: UInt8 = laid.round().astype(np.uint8)
    return shown


def top_of_scale(heat: Sequence[NDArray[np.floating]]) -> float:
    """Where the scale of several maps ends: all but their highest cells (2 in 100) stay below it.

    Args:
        heat: maps, each (h, w), non-negative; those that are zero everywhere do not count.

    Returns:
        a multiple of a map's average, at least 1.
    """
    cells = _multiples(heat)
    return max(1.0, float(np.quantile(cells, _REST))) if len(cells) else 1.0


def ends_of_scale(heat: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Where the scale of maps that nowhere come near zero begins and ends: their lowest and highest cells (2 in 100) lie outside.

    Args:
        heat: as for `top_of_scale`.

    Returns:
        multiples of a map's average: one below 1 and one above, at least a hundredth apart from it.
    """
    cells = _multiples(heat)
    low, high = np.quantile(cells, [1 - _REST, _REST]) if len(cells) else (1.0, 1.0)
    return max(0.0, min(float(low), 1 - _LEAST)), max(float(high), 1 + _LEAST)


def _multiples(heat: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """All cells of all maps that are not zero, as multiples of their map's average."""
    cells = [(one / one.mean()).ravel() for one in heat if one.any()]
    return np.concatenate(cells) if cells else np.zeros(0)
