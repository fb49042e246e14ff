"""Small triangle-mesh operations in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


def unit(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length one, (N, 3)."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / (length[:, None] + np.float32(1e-12)), np.float32)


def face_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Normals of the triangles, as long as twice their areas, (F, 3)."""
    corner = vertices[faces]
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    out = np.empty_like(a)
    out[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    out[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    out[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return out


def vertex_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Area-weighted unit normals, (N, 3)."""
    normal = face_normals(vertices, faces)
    corners = faces.T.ravel()
    out = np.empty((len(vertices), 3), np.float32)
    for axis in range(3):
        out[:, axis] = np.bincount(corners, np.tile(normal[:, axis], 3), len(vertices))
    return unit(out)


@dataclass(frozen=True)
class Surface:
    """A part of the body model's mesh with its own vertex numbering.

    Attributes:
        rows: (N,) its vertices in the body model.
        faces: (F, 3) triangles over 0..N-1.
        ring: (N, R) neighbours of each vertex, padded with the vertex itself.
    """

    rows: NDArray[np.int64]
    faces: IntArray
    ring: NDArray[np.int64]

    @classmethod
    def of(cls, faces: NDArray[np.integer]) -> Surface:
        """The surface of the given body-model triangles."""
        rows, local = np.unique(faces, return_inverse=True)
        local = local.reshape(-1, 3).astype(np.int32)
        return cls(rows.astype(np.int64), local, _ring(local, len(rows)))

    def smooth(self, vertices: FloatArray, amount: FloatArray | float, times: int) -> FloatArray:
        """Move vertices (N, 3) towards the mean of their neighbours; ``amount`` may differ per vertex, (N, 1)."""
        for _ in range(times):
            mean = vertices[self.ring[:, 0]].copy()
            for k in range(1, self.ring.shape[1]):
                mean += vertices[self.ring[:, k]]
            mean *= np.float32(1 / self.ring.shape[1])
            vertices = vertices + (mean - vertices) * amount
        return vertices.astype(np.float32)


def _ring(faces: IntArray, count: int, limit: int = 8) -> NDArray[np.int64]:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    starts = np.searchsorted(edges[:, 0], np.arange(count + 1))
    ring = np.tile(np.arange(count)[:, None], (1, limit))
    for k in range(limit):
        at = starts[:-1] + k
        ok = at < starts[1:]
        ring[ok, k] = edges[at[ok], 1]
    return ring
