"""The rasteriser: a z-buffer in NumPy that returns, per covered sample, the nearest face and where it was hit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.mesh import FloatArray, IntArray

_EMPTY = np.iinfo(np.int64).max
_DEPTH_STEPS = np.float32(2**30)  # float32 depths scaled by more would overflow the packed key


@dataclass(frozen=True)
class Hits:
    """Covered samples of an image.

    Attributes:
        pixel: (n,) index into the flattened image, increasing.
        face: (n,) face number.
        weight: (n, 3) barycentric coordinates.
    """

    pixel: NDArray[np.int64]
    face: NDArray[np.int64]
    weight: FloatArray


def rasterise(points: FloatArray, faces: IntArray, height: int, width: int, cut: FloatArray, two_sided: NDArray[np.bool_]) -> Hits:
    """Nearest surface per sample.

    Args:
        points: (N, 3) column, row and depth of the vertices; depth must be affine on screen (such as -1/z), smaller is
            nearer.
        faces: (F, 3).
        height, width: size of the sample grid; samples sit at half-integer positions.
        cut: (N,) signed field; fragments where it is negative are dropped.
        two_sided: (F,) faces that are drawn from behind too.
    """
    face, pixel, b0, b1, b2 = _fragments(points, faces, height, width, two_sided)
    corner = faces[face]
    field = cut[corner]
    keep = field[:, 0] * b0 + field[:, 1] * b1 + field[:, 2] * b2 >= 0
    face, pixel, b0, b1, b2, corner = face[keep], pixel[keep], b0[keep], b1[keep], b2[keep], corner[keep]
    depth = points[:, 2][corner]
    z = depth[:, 0] * b0 + depth[:, 1] * b1 + depth[:, 2] * b2
    low, high = points[:, 2].min(), points[:, 2].max()
    steps = ((z - low) * (_DEPTH_STEPS / (high - low + np.float32(1e-9)))).astype(np.int64)
    # One integer holds depth and fragment number, so a single minimum finds the nearest fragment; ties go to the first.
    key = (steps << 32) | np.arange(len(z), dtype=np.int64)
    nearest = np.full(height * width, _EMPTY, np.int64)
    np.minimum.at(nearest, pixel, key)
    hit = np.nonzero(nearest != _EMPTY)[0]
    chosen = nearest[hit] & 0xFFFFFFFF
    weight = np.stack([b0[chosen], b1[chosen], b2[chosen]], 1)
    return Hits(hit, face[chosen], weight)


def _fragments(
    points: FloatArray, faces: IntArray, height: int, width: int, two_sided: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """Face, pixel and barycentric coordinates of every sample inside every triangle."""
    x, y = points[:, 0][faces], points[:, 1][faces]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    half = np.float32(0.5)
    x0 = np.maximum(np.ceil(x.min(1) - half), 0).astype(np.int32)
    x1 = np.minimum(np.floor(x.max(1) - half), width - 1).astype(np.int32)
    y0 = np.maximum(np.ceil(y.min(1) - half), 0).astype(np.int32)
    y1 = np.minimum(np.floor(y.max(1) - half), height - 1).astype(np.int32)
    columns, rows = x1 - x0 + 1, y1 - y0 + 1
    # Rows grow downwards, so faces seen from outside have negative area.
    drawn = (columns > 0) & (rows > 0) & (np.abs(area) > 1e-9) & (two_sided | (area < 0))
    face = np.nonzero(drawn)[0]
    x, y, inverse = x[face], y[face], 1 / area[face]
    columns, x0, y0 = columns[face], x0[face], y0[face]
    count = columns * rows[face]
    tri = np.repeat(np.arange(len(face), dtype=np.int32), count)
    index = np.arange(len(tri), dtype=np.int32) - np.repeat((np.cumsum(count) - count).astype(np.int32), count)
    wide = columns[tri]
    down = index // wide
    column, row = index - down * wide + x0[tri], down + y0[tri]
    # Barycentric coordinates are affine on screen.
    dx, dy = column + half - x[:, 0][tri], row + half - y[:, 0][tri]
    b1 = dx * ((y[:, 2] - y[:, 0]) * inverse)[tri] - dy * ((x[:, 2] - x[:, 0]) * inverse)[tri]
    b2 = dy * ((x[:, 1] - x[:, 0]) * inverse)[tri] - dx * ((y[:, 1] - y[:, 0]) * inverse)[tri]
    b0 = 1 - b1 - b2
    inside = np.nonzero((b0 >= 0) & (b1 >= 0) & (b2 >= 0))[0]
    pixel = row[inside].astype(np.int64) * width + column[inside]
    return face[tri[inside]], pixel, b0[inside], b1[inside], b2[inside]
