"""A small body in SMPL's format, made of tubes of known girth: same keys, same 24 joints, few vertices. y is up, z to the front."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

AROUND = 12  # corners of every section
HIP, NECK = -0.3, 0.3  # heights of the hip and neck joints; the level t of the trunk is at HIP + t * (NECK - HIP)
SOLE, CROWN = -1.1, 0.6
WAIST, UNDER, BUST, HIPS = 0.10, 0.13, 0.16, 0.20  # radii of the trunk
CALF, ARM = 0.05, 0.04


def polygon(radius: float) -> float:
    """Perimeter of a section."""
    return 2 * AROUND * radius * float(np.sin(np.pi / AROUND))


def _at(t: float) -> float:
    return HIP + t * (NECK - HIP)


# Rings of each tube, from its start to its end: (x, y, radius, joint that most of its weight is on).
Ring = tuple[float, float, float, int]
TRUNK: list[Ring] = [
    (0.0, _at(t), radius, joint)
    for t, radius, joint in [
        (-0.2, HIPS, 0), (0.1, HIPS, 0), (0.15, 0.18, 3), (0.3, WAIST, 3), (0.5, 0.12, 6), (0.54, UNDER, 6), (0.6, BUST, 9), (0.7, BUST, 9),
        (0.8, 0.14, 9), (1.0, 0.06, 12),
    ]
]  # fmt: skip
HEAD: list[Ring] = [(0.0, NECK + 0.01, 0.05, 12), (0.0, 0.4, 0.09, 15), (0.0, CROWN, 0.06, 15)]


def leg(sign: int) -> list[Ring]:
    """From hip to sole; left has sign 1."""
    own = (1, 4, 4, 4, 7, 10) if sign > 0 else (2, 5, 5, 5, 8, 11)
    rings = [(HIP, 0.08), (-0.7, 0.04), (-0.76, CALF), (-0.85, CALF), (-1.0, 0.03), (SOLE, 0.03)]
    return [(sign * 0.1, y, radius, joint) for (y, radius), joint in zip(rings, own, strict=True)]


def arm(sign: int) -> list[Ring]:
    """From shoulder to hand, level."""
    own = (16, 18, 20, 22) if sign > 0 else (17, 19, 21, 23)
    return [(sign * x, 0.2, ARM, joint) for x, joint in zip((0.18, 0.45, 0.7, 0.8), own, strict=True)]


TUBES = (TRUNK, HEAD, leg(1), leg(-1), arm(1), arm(-1))
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)


def smpl_arrays(sex: float = 0.0) -> dict[str, np.ndarray]:
    """The arrays of a file; ``sex`` makes another model of the same mesh."""
    meshes = [_tube(rings) for rings in TUBES]
    template = np.concatenate([points for points, _ in meshes])
    starts = np.cumsum([0] + [len(points) for points, _ in meshes])
    faces = np.concatenate([own + start for (_, own), start in zip(meshes, starts[:-1], strict=True)])
    weights, regressor = np.zeros((len(template), 24)), np.zeros((24, len(template)))
    for start, rings in zip(starts, TUBES, strict=False):
        caps = start + len(rings) * AROUND + np.arange(2)
        for number, (*_, joint) in enumerate(rings):
            own = start + number * AROUND + np.arange(AROUND)
            rows = np.append(own, caps[[0] * (number == 0) + [1] * (number == len(rings) - 1)])
            weights[rows, joint] += 0.75
            weights[rows, max(PARENTS[joint], 0)] += 0.25
            if not regressor[joint].any():
                regressor[joint, own] = 1 / AROUND
    for collar, shoulder in ((13, 16), (14, 17)):
        regressor[collar] = (regressor[9] + regressor[shoulder]) / 2
    along = np.arange(template.size).reshape(template.shape)
    shape = np.stack([0.01 * np.sin(along * (k + 1) / 7 + sex) for k in range(12)], 2)
    shape[..., 0] = 0.03 * template  # taller
    pose = np.stack([0.002 * np.cos(along * (k + 3) / 5 + sex) for k in range(207)], 2)
    tree = np.array([(2**32 - 1, *PARENTS[1:]), range(24)], np.uint32)
    return {
        "v_template": template * (1 - 0.05 * sex), "shapedirs": shape, "posedirs": pose, "J_regressor": regressor, "weights": weights,
        "kintree_table": tree, "f": faces.astype(np.uint32),
    }  # fmt: skip


def _tube(rings: Sequence[Ring]) -> tuple[np.ndarray, np.ndarray]:
    """A closed tube along its rings, which are all level or all upright: points, and triangles seen counter-clockwise from outside."""
    way = np.array([rings[-1][k] - rings[0][k] for k in (0, 1)] + [0.0])
    way /= np.abs(way).max()
    depth = np.array([0.0, 0.0, 1.0])
    aside = np.cross(way, depth)  # depth, aside, way: right-handed
    angle = 2 * np.pi * np.arange(AROUND)[:, None] / AROUND
    centres = np.array([[x, y, 0.0] for x, y, _, _ in rings])
    circles = [c + radius * (np.cos(angle) * depth + np.sin(angle) * aside) for c, (_, _, radius, _) in zip(centres, rings, strict=True)]
    k, n = np.arange(AROUND), (np.arange(AROUND) + 1) % AROUND
    faces = []
    for ring in range(len(rings) - 1):
        a, b = ring * AROUND, (ring + 1) * AROUND
        faces += [np.stack([a + k, a + n, b + k], 1), np.stack([a + n, b + n, b + k], 1)]
    first, last = len(rings) * AROUND, (len(rings) - 1) * AROUND
    faces += [np.stack([n, k, 0 * k + first], 1), np.stack([last + k, last + n, 0 * k + first + 1], 1)]
    return np.concatenate([*circles, centres[[0, -1]]]), np.concatenate(faces)


def write_npz(path: Path, **changed: np.ndarray) -> Path:
    """The file as .npz."""
    np.savez(path, **{**smpl_arrays(), **changed})
    return path


def write_pkl(path: Path, protocol: int = 2, **changed: Any) -> Path:
    """The file as the published ones are: the regressor sparse, the shapes in chumpy's arrays."""
    chumpy = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    Select = type("Select", (), {"__module__": "chumpy.reordering"})
    chumpy["chumpy.ch"].Ch, chumpy["chumpy.reordering"].Select = Ch, Select  # type: ignore[attr-defined]
    arrays: dict[str, Any] = smpl_arrays()
    whole, chosen = Ch(), Select()
    whole.x, whole._dirty_vars = arrays["shapedirs"], set()
    kept = np.arange(arrays["shapedirs"].size).reshape(arrays["shapedirs"].shape)[:, :, :10]
    chosen.a, chosen.idxs, chosen.preferred_shape = whole, kept.ravel(), kept.shape
    template = Ch()
    template.x = arrays["v_template"]
    arrays |= {"shapedirs": chosen, "v_template": template, "J_regressor": csc_matrix(arrays["J_regressor"]), "bs_style": "lbs"}
    before = {name: sys.modules.get(name) for name in chumpy}
    sys.modules.update(chumpy)
    try:
        path.write_bytes(pickle.dumps({**arrays, **changed}, protocol=protocol))
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path
