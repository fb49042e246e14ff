"""Where a picture is taken from, and projection into a tight crop around the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidclip.synth.mesh import FloatArray


@dataclass(frozen=True)
class View:
    """One shot.

    Attributes:
        azimuth: degrees; 0 sees the front, 90 the person's left side, 180 the back.
        elevation: degrees above the horizontal.
        distance: metres.
        top, bottom: free space above and below the person, as shares of the person's height on the image; a negative
            ``bottom`` cuts the feet off.
        aspect: width over height of the crop before it is resized.
        shift: sideways displacement as a share of the crop's width.
        rigid: whether the crop keeps its aspect where the person is wider; else it grows until they fit.
    """

    azimuth: float
    elevation: float
    distance: float
    top: float
    bottom: float
    aspect: float
    shift: float
    rigid: bool = False

    @property
    def word(self) -> str:
        """``front``, ``side`` or ``back``."""
        turn = abs((self.azimuth + 180) % 360 - 180)
        return "front" if turn < 50 else "side" if turn < 125 else "back"


def sample_view(rng: np.random.Generator, elevation: tuple[float, float] = (0.0, 20.0), cut_feet: float = 0.0) -> View:
    """Draw a view: mostly frontal within about 100 degrees, some from behind."""
    back = rng.random() < 0.2
    azimuth = 180 + rng.normal(0, 35) if back else float(np.clip(rng.normal(0, 48), -105, 105))
    bottom = -rng.uniform(0.05, 0.3) if rng.random() < cut_feet else rng.uniform(0.015, 0.07)
    return View(
        float(azimuth), float(rng.uniform(*elevation)), float(rng.uniform(4, 11)), float(rng.uniform(0.02, 0.07)), float(bottom),
        float(rng.uniform(0.40, 0.48)), float(rng.normal(0, 0.02)),
    )  # fmt: skip


class Projection:
    """Perspective projection of world points into a crop fitted to a person.

    Attributes:
        forward: (3,) viewing direction.
        horizon: row of the horizon as a share of the image height; may lie outside [0, 1].
        scale: pixels per metre at the person.
    """

    def __init__(self, view: View, vertices: FloatArray, height: int, width: int) -> None:
        azimuth, elevation = np.deg2rad(view.azimuth), np.deg2rad(view.elevation)
        away = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
        target = (vertices.min(0) + vertices.max(0)) / 2
        self._position = (target + view.distance * away).astype(np.float32)
        self.forward = (-away).astype(np.float32)
        right = np.cross(-away, [0, 0, 1.0])
        right /= np.sqrt((right * right).sum())
        self._right = right.astype(np.float32)
        self._up = np.cross(right, -away).astype(np.float32)
        x, y, _ = self._plane(vertices)
        tall = float(y.max() - y.min())
        self._top = float(y.max()) + view.top * tall
        self._height = self._top - float(y.min()) + view.bottom * tall
        self._width = self._height * view.aspect
        if not view.rigid:
            self._width = max(self._width, float(x.max() - x.min()) * 1.05)
        self._left = float(x.max() + x.min()) / 2 + view.shift * self._width - self._width / 2
        self._size = (height, width)
        self.horizon = (self._top - float(np.tan(elevation))) / self._height
        self.scale = height / (self._height * view.distance)

    def _plane(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        q = points - self._position
        depth = q[:, 0] * self.forward[0] + q[:, 1] * self.forward[1] + q[:, 2] * self.forward[2]
        x = (q[:, 0] * self._right[0] + q[:, 1] * self._right[1] + q[:, 2] * self._right[2]) / depth
        y = (q[:, 0] * self._up[0] + q[:, 1] * self._up[1] + q[:, 2] * self._up[2]) / depth
        return x, y, depth

    def __call__(self, points: FloatArray) -> FloatArray:
        """Column, row and depth key (-1/z) of world points (N, 3) -> (N, 3)."""
        height, width = self._size
        x, y, depth = self._plane(points)
        out = np.empty((len(points), 3), np.float32)
        out[:, 0] = (x - self._left) * np.float32(width / self._width)
        out[:, 1] = (self._top - y) * np.float32(height / self._height)
        out[:, 2] = -1 / depth
        return out
