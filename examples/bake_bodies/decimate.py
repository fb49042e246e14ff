"""Half-edge collapse with quadric errors: a coarser mesh whose vertices are a subset of the original ones.

Keeping original vertices means that every per-vertex quantity (shape basis, skinning weights, template position)
stays valid without interpolation, which is why no general-purpose simplifier is used.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def vertex_quadrics(vertices: Array, faces: NDArray[np.int64]) -> Array:
    """Sum of the area-weighted plane quadrics around each vertex, (V, 4, 4)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    unit = normal / np.maximum(area, 1e-12)
    plane = np.concatenate([unit, -(unit * a).sum(1, keepdims=True)], 1)
    quadric = plane[:, :, None] * plane[:, None, :] * area[:, :, None]
    out = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(out, faces[:, corner], quadric)
    return out


def boundary_vertices(faces: NDArray[np.int64]) -> set[int]:
    """Vertices on an edge that belongs to one face only."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return set(unique[count == 1].ravel().tolist())


class _Mesh:
    """Faces around each vertex, kept up to date while edges collapse."""

    def __init__(self, vertices: Array, faces: NDArray[np.int64]) -> None:
        self.vertices = vertices
        self.faces: dict[int, tuple[int, int, int]] = {i: (int(f[0]), int(f[1]), int(f[2])) for i, f in enumerate(faces)}
        self.around: dict[int, set[int]] = {}
        for i, face in self.faces.items():
            for v in face:
                self.around.setdefault(v, set()).add(i)

    def neighbours(self, v: int) -> set[int]:
        return {w for f in self.around[v] for w in self.faces[f]} - {v}

    def normal(self, face: tuple[int, int, int]) -> Array:
        a, b, c = (self.vertices[v] for v in face)
        return np.cross(b - a, c - a)

    def may_collapse(self, gone: int, kept: int) -> bool:
        """No non-manifold edge appears and no face flips or degenerates when ``gone`` moves onto ``kept``."""
        if len(self.neighbours(gone) & self.neighbours(kept)) != 2:
            return False
        for f in self.around[gone]:
            face = self.faces[f]
            if kept in face:
                continue
            moved = tuple(kept if v == gone else v for v in face)
            old, new = self.normal(face), self.normal(moved)  # type: ignore[arg-type]
            size = float(np.linalg.norm(old) * np.linalg.norm(new))
            if size < 1e-14 or float(old @ new) < 0.5 * size:
                return False
        return True

    def collapse(self, gone: int, kept: int) -> None:
        for f in list(self.around[gone]):
            face = self.faces[f]
            if kept in face:
                for v in face:
                    self.around[v].discard(f)
                del self.faces[f]
            else:
                a, b, c = (kept if v == gone else v for v in face)
                self.faces[f] = (a, b, c)
                self.around[kept].add(f)
        del self.around[gone]


def decimate(
    vertices: Array,
    faces: NDArray[np.int64],
    keep_vertices: int,
    importance: Array,
    fixed: set[int] | None = None,
) -> NDArray[np.int64]:
    """Collapse the cheapest edges until ``keep_vertices`` are left.

    Args:
        vertices: (V, 3) in metres.
        faces: (F, 3) vertex indices.
        keep_vertices: how many of the vertices that ``faces`` use remain.
        importance: (V,) factor on the cost of removing a vertex; large values keep detail.
        fixed: vertices that never go; those on open borders never go either.

    Returns:
        (F', 3) faces over the original vertex numbers.
    """
    mesh = _Mesh(vertices, faces)
    quadrics = vertex_quadrics(vertices, faces)
    pinned = boundary_vertices(faces) | (fixed or set())
    stamp = {v: 0 for v in mesh.around}
    heap: list[tuple[float, int, int, int, int]] = []

    def push(gone: int, kept: int) -> None:
        if gone in pinned:
            return
        point = np.append(vertices[kept], 1.0)
        length = float(((vertices[gone] - vertices[kept]) ** 2).sum())
        # The edge-length term spreads the remaining vertices evenly where the surface is flat.
        error = float(point @ (quadrics[gone] + quadrics[kept]) @ point) + 3e-5 * length
        heapq.heappush(heap, (error * float(importance[gone]), gone, kept, stamp[gone], stamp[kept]))

    for v in mesh.around:
        for w in mesh.neighbours(v):
            push(v, w)
    while len(mesh.around) > keep_vertices and heap:
        _, gone, kept, stamp_gone, stamp_kept = heapq.heappop(heap)
        if stamp.get(gone) != stamp_gone or stamp.get(kept) != stamp_kept or not mesh.may_collapse(gone, kept):
            continue
        ring = mesh.neighbours(gone) - {kept}
        mesh.collapse(gone, kept)
        quadrics[kept] = quadrics[gone] + quadrics[kept]
        del stamp[gone]
        stamp[kept] += 1
        for v in ring | mesh.neighbours(kept):
            push(v, kept)
            push(kept, v)
    return np.array(list(mesh.faces.values()), np.int64)
