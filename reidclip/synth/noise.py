"""Smooth procedural noise."""

from __future__ import annotations

import numpy as np

from reidclip.synth.mesh import FloatArray


def waves(points: np.ndarray, frequency: float, seed: int) -> FloatArray:
    """Sum of five random plane waves over points (N, 3); roughly in [-1, 1], ``frequency`` in radians per metre."""
    rng = np.random.default_rng(seed)
    direction = (rng.normal(0, frequency, (5, 3))).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, 5).astype(np.float32)
    points = points.astype(np.float32)
    total = np.zeros(len(points), np.float32)
    for d, p in zip(direction, phase, strict=True):
        total += np.sin(points[:, 0] * d[0] + points[:, 1] * d[1] + points[:, 2] * d[2] + p)
    return np.asarray(total * np.float32(0.2), np.float32)
