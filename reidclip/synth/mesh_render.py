"""One picture of a bare body: a grey surface in a random light before a plain background."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from reidclip.synth.camera import Projection, View
from reidclip.synth.mesh import FloatArray, IntArray, unit, vertex_normals
from reidclip.synth.raster import rasterise
from reidclip.synth.shading import lit, sample_light

SUPERSAMPLING = 2
_GREY = 0.72  # of the surface
_GLOSS = 0.05


class MeshRenderer:
    """Takes pictures of the bodies of one model.

    Args:
        faces: (F, 3) triangles, counter-clockwise seen from outside.
    """

    def __init__(self, faces: NDArray[np.integer]) -> None:
        self._rims = openings(faces)
        self._first_cap = int(faces.max()) + 1
        self._faces = np.concatenate([faces.astype(np.int32), *_caps(self._rims, self._first_cap)])

    def render(self, vertices: FloatArray, view: View, rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
        """A picture, (height, width, 3) uint8; all of the body is in it.

        Args:
            vertices: (V, 3) posed, metres, z up.
            view: the camera's place.
            rng: draws light and background.
            height, width: pixels.
        """
        points = self._closed(vertices)
        tall, wide = height * SUPERSAMPLING, width * SUPERSAMPLING
        project = Projection(view, points, tall, wide)
        hits = rasterise(project(points), self._faces, tall, wide, np.ones(len(points), np.float32), np.zeros(len(self._faces), bool))
        light = sample_light(rng, project.forward)
        corner = vertex_normals(points, self._faces)[self._faces[hits.face]]  # (n, 3 corners, 3)
        normal = unit(np.asarray((corner * hits.weight[:, :, None]).sum(1), np.float32))
        colour = np.full((len(normal), 3), _GREY, np.float32)
        shade = lit(colour, np.full(len(normal), _GLOSS, np.float32), normal, light, project.forward)[:, 1]
        samples, covered = np.zeros((2, tall * wide), np.float32)
        samples[hits.pixel], covered[hits.pixel] = shade, 1
        body, coverage = (cv2.resize(a.reshape(tall, wide), (width, height), interpolation=cv2.INTER_AREA) for a in (samples, covered))
        grey = _background(rng, height, width) * (1 - coverage) + body
        return np.repeat(np.clip(grey * 255 + 0.5, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)

    def _closed(self, vertices: FloatArray) -> FloatArray:
        """The vertices, and the middle of every opening."""
        middles = [vertices[rim].mean(0, keepdims=True) for rim in self._rims]
        return np.ascontiguousarray(np.concatenate([vertices, *middles]), np.float32)


@lru_cache(maxsize=1)
def _ramp(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """Rows and columns from -1 to 1, (height, 1) and (1, width)."""
    return np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None, :]


def _background(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """A plain grey wall, a little brighter to one side, (height, width)."""
    down, across = _ramp(height, width)
    level, *slope = rng.uniform([0.05, -0.08, -0.08], [0.98, 0.08, 0.08])
    return np.asarray(np.clip(np.float32(level) + np.float32(slope[0]) * down + np.float32(slope[1]) * across, 0, 1), np.float32)


def openings(faces: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """The rims of a surface that is not closed (a mouth, eye sockets), as rings of vertices in the order of their triangles' edges."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    count = int(edges.max()) + 1
    rim = edges[~np.isin(edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0])]
    following = dict(rim.tolist())
    rings = []
    while following:
        at, after = next(iter(following.items()))
        ring = []
        while after is not None:
            ring.append(at)
            del following[at]
            at, after = after, following.get(after)
        rings.append(np.array(ring, np.int64))
    return rings


def _caps(rims: list[NDArray[np.int64]], first: int) -> list[IntArray]:
    """Triangles from each rim to a vertex in its middle, numbered from ``first`` on; they face outwards as those beside them do."""
    return [np.stack([np.roll(rim, -1), rim, np.full_like(rim, first + number)], 1).astype(np.int32) for number, rim in enumerate(rims)]
