"""Girths of a mesh: the length of a tape around its plane sections."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def edges_of(faces: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Edges of the triangles whose three corners are kept.

    Args:
        faces: (F, 3) int.
        kept: (V,) bool, which vertices belong to the part.

    Returns:
        (E, 2) int, each edge once.
    """
    own = faces[kept[faces].all(1)]
    pairs = np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]])
    return np.asarray(np.unique(np.sort(pairs, axis=1), axis=0))


def girths(points: np.ndarray, edges: np.ndarray, axes: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Perimeters of the hulls of plane sections: a tape does not follow hollows.

    Args:
        points: (V, 3) metres.
        edges: (E, 2), of the part that the tape goes around; others are left out of the section.
        axes: (3, 3) orthonormal rows, of which the last is normal to the planes.
        levels: (H,) heights of the planes along the last axis, metres.

    Returns:
        (H,) metres; 0 where a plane misses the part.
    """
    at = np.asarray(levels, np.float64)
    turned = points @ axes.T
    start, end = turned[edges[:, 0]], turned[edges[:, 1]]
    near = (np.minimum(start[:, 2], end[:, 2]) < at.max()) & (np.maximum(start[:, 2], end[:, 2]) >= at.min())
    start, end = start[near], end[near]
    crossed = (start[None, :, 2] < at[:, None]) != (end[None, :, 2] < at[:, None])
    level, edge = np.nonzero(crossed)
    share = (at[level] - start[edge, 2]) / (end[edge, 2] - start[edge, 2])
    flat = (start[edge, :2] + share[:, None] * (end[edge, :2] - start[edge, :2])).astype(np.float32)
    sections = np.split(flat, np.searchsorted(level, np.arange(1, len(at))))
    return np.array([_tape(section) for section in sections])


def _tape(section: np.ndarray) -> float:
    return float(cv2.arcLength(cv2.convexHull(section), True)) if len(section) >= 3 else 0.0


def across(direction: np.ndarray) -> np.ndarray:
    """(3, 3) orthonormal rows of which the last has the given direction (3,), not null: axes for `girths` around a limb."""
    last = direction / np.sqrt((direction**2).sum())
    aside = np.eye(3)[np.abs(last).argmin()]
    first = np.cross(aside, last)
    first /= np.sqrt((first**2).sum())
    return np.stack([first, np.cross(last, first), last])
