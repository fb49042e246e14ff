"""A heat map laid over its picture, in colours whose order can be read without a legend: black, violet, red, orange, light yellow."""

from __future__ import annotations

import numpy as np

from reidclip.data.images import UInt8
from reidclip.explain.placing import Floats

_STOPS = np.array([(8, 4, 30), (74, 16, 110), (150, 38, 104), (214, 72, 65), (248, 140, 20), (252, 255, 170)], np.float64)
_OPACITY = 0.7


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
    laid = (1 - _OPACITY) * grey[..., None] + _OPACITY * colours(mass * mass.size / top)
    shown: UInt8 = laid.round().astype(np.uint8)
    return shown


def top_of_scale(peaks: Floats) -> float:
    """Where the scale of several maps ends: nine in ten of them stay below; (N,) largest multiple of the average in each."""
    return max(1.0, float(np.quantile(peaks, 0.9))) if len(peaks) else 1.0
