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
    drawn, first, columns, rows = _drawn(points, faces, height, width, two_sided)
    corner = faces[drawn]
    tri, pixel, b1, b2 = _fragments(points, corner, first, columns, rows, width)
    tri, pixel, b1, b2 = _cut_away(cut[corner], tri, pixel, b1, b2)
    z0, z1, z2 = (points[:, 2][corner[:, k]] for k in range(3))
    z = z0[tri] + b1 * (z1 - z0)[tri] + b2 * (z2 - z0)[tri]
    low, high = points[:, 2].min(), points[:, 2].max()
    steps = ((z - low) * (_DEPTH_STEPS / (high - low + np.float32(1e-9)))).astype(np.int64)
    # One integer holds depth and fragment number, so a single minimum finds the nearest fragment; ties go to the first.
    key = (steps << 32) | np.arange(len(z), dtype=np.int64)
    nearest = np.full(height * width, _EMPTY, np.int64)
    np.minimum.at(nearest, pixel, key)
    hit = np.nonzero(nearest != _EMPTY)[0]
    chosen = nearest[hit] & 0xFFFFFFFF
    b1, b2 = b1[chosen], b2[chosen]
    return Hits(hit, drawn[tri[chosen]], np.stack([1 - b1 - b2, b1, b2], 1))


def _drawn(
    points: FloatArray, faces: IntArray, height: int, width: int, two_sided: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], IntArray, IntArray, IntArray]:
    """Faces that may show, with the first sample (n, 2: column, row) and the size of the box of samples around each."""
    x0, x1, x2 = (points[:, 0][faces[:, k]] for k in range(3))
    y0, y1, y2 = (points[:, 1][faces[:, k]] for k in range(3))
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    half = np.float32(0.5)
    left = np.maximum(np.ceil(np.minimum(np.minimum(x0, x1), x2) - half), 0).astype(np.int32)
    right = np.minimum(np.floor(np.maximum(np.maximum(x0, x1), x2) - half), width - 1).astype(np.int32)
    top = np.maximum(np.ceil(np.minimum(np.minimum(y0, y1), y2) - half), 0).astype(np.int32)
    bottom = np.minimum(np.floor(np.maximum(np.maximum(y0, y1), y2) - half), height - 1).astype(np.int32)
    # Rows grow downwards, so faces seen from outside have negative area.
    seen = (right >= left) & (bottom >= top) & (np.abs(area) > 1e-9) & (two_sided | (area < 0))
    face = np.nonzero(seen)[0]
    first = np.stack([left[face], top[face]], 1)
    return face, first, (right - left + 1)[face], (bottom - top + 1)[face]


def _fragments(
    points: FloatArray, corner: IntArray, first: IntArray, columns: IntArray, rows: IntArray, width: int
) -> tuple[IntArray, NDArray[np.int64], FloatArray, FloatArray]:
    """Triangle (an index into ``corner``), pixel and two barycentric coordinates of every sample inside every triangle."""
    x, y = points[:, 0][corner], points[:, 1][corner]
    inverse = 1 / ((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0]))
    # Barycentric coordinates are affine on screen: value at the first sample, and steps per column and row.
    right1, down1 = (y[:, 2] - y[:, 0]) * inverse, -(x[:, 2] - x[:, 0]) * inverse
    right2, down2 = -(y[:, 1] - y[:, 0]) * inverse, (x[:, 1] - x[:, 0]) * inverse
    dx, dy = first[:, 0] + np.float32(0.5) - x[:, 0], first[:, 1] + np.float32(0.5) - y[:, 0]
    start1, start2 = dx * right1 + dy * down1, dx * right2 + dy * down2
    # Expand to rows of samples first and to samples then, which spares a division per sample.
    row_tri = np.repeat(np.arange(len(corner), dtype=np.int32), rows)
    row = _counter(rows)
    row_length = columns[row_tri]
    row_pixel = (first[:, 1][row_tri] + row).astype(np.int64) * width + first[:, 0][row_tri]
    row1, row2 = start1[row_tri] + row * down1[row_tri], start2[row_tri] + row * down2[row_tri]
    sample_row = np.repeat(np.arange(len(row_tri), dtype=np.int32), row_length)
    column = _counter(row_length).astype(np.float32)
    b1 = row1[sample_row] + column * right1[row_tri][sample_row]
    b2 = row2[sample_row] + column * right2[row_tri][sample_row]
    inside = np.nonzero((b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1))[0]
    chosen = sample_row[inside]
    pixel = row_pixel[chosen] + column[inside].astype(np.int64)
    return row_tri[chosen], pixel, b1[inside], b2[inside]


def _counter(lengths: IntArray) -> IntArray:
    """0, 1, ... up to each length, one after the other."""
    ends = np.cumsum(lengths, dtype=np.int32)
    return np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int32) - np.repeat(ends - lengths, lengths).astype(np.int32)


def _cut_away(
    field: FloatArray, tri: IntArray, pixel: NDArray[np.int64], b1: FloatArray, b2: FloatArray
) -> tuple[IntArray, NDArray[np.int64], FloatArray, FloatArray]:
    """Drop fragments where the interpolated field (F, 3 corners) is negative; only triangles on a border are tested."""
    f0, f1, f2 = field[:, 0], field[:, 1], field[:, 2]
    border = np.minimum(np.minimum(f0, f1), f2) < 0
    tested = np.nonzero(border[tri])[0]
    t = tri[tested]
    value = f0[t] + b1[tested] * (f1 - f0)[t] + b2[tested] * (f2 - f0)[t]
    keep = np.ones(len(tri), bool)
    keep[tested] = value >= 0
    return tri[keep], pixel[keep], b1[keep], b2[keep]
