"""A heat map laid over its picture, in colours whose order can be read without a legend: black, violet, red, orange, light yellow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reidclip.data.images import UInt8
from reidclip.explain.placing import Floats

_STOPS = np.array([(8, 4, 30), (74, 16, 110), (150, 38, 104), (214, 72, 65), (248, 140, 20), (252, 255, 170)], np.float64)
_OPACITY = (0.25, 0.85)  # of the scale's lowest and highest colour: where nothing is seen, the picture is


def colours(values: Floats) -> Floats:
    """0..1 (anything beyond is cut off) -> RGB 0..255 along the scale, shape (..., 3); brightness rises with the value."""
    places = np.clip(values, 0, 1) * (len(_STOPS) - 1)
    steps = np.arange(len(_STOPS))
    return np.stack([np.interp(places, steps, _STOPS[:, channel]) for channel in range(3)], axis=-1)


def overlay(picture: UInt8, mass: Floats, top: float) -> UInt8:
    """The picture in grey under the colours of its map.

    Args:
        picture: (H, W, 3) RGB.
        mass: (H, W), summing to one; zero everywhere gives the scale's lowest colour.
        top: which multiple of the average mass per pixel has the scale's highest colour.

    Returns:
        (H, W, 3).
    """
    grey = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
    values = np.clip(mass * mass.size / top, 0, 1)
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
    cells = [(one / one.mean()).ravel() for one in heat if one.any()]
    return max(1.0, float(np.quantile(np.concatenate(cells), 0.98))) if cells else 1.0
