"""Poses: a parametric walk and a few standing ones, as rotations about the joints in rest-pose axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.body import BodyModel
from reidclip.synth.identity import Habit

Matrix = NDArray[np.float64]
POSES = ("walking", "standing", "holding a phone", "hands on hips")


def about(axis: Matrix, degrees: float) -> Matrix:
    """Rotation about an axis (Rodrigues), (3, 3)."""
    x, y, z = axis / np.sqrt((axis * axis).sum())
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k), np.float64)


def _x(degrees: float) -> Matrix:
    return about(np.array([1.0, 0, 0]), degrees)


def _y(degrees: float) -> Matrix:
    return about(np.array([0, 1.0, 0]), degrees)


def _z(degrees: float) -> Matrix:
    return about(np.array([0, 0, 1.0]), degrees)


def sample_pose(body: BodyModel, rng: np.random.Generator, habit: Habit, name: str) -> Matrix:
    """Joint rotations (J, 3, 3) of a named pose at a random phase; a person's habit shapes it."""
    rotations = np.tile(np.eye(3), (len(body.parents), 1, 1))
    phase = float(rng.uniform(0, 2 * np.pi))
    walk = 1.0 if name == "walking" else 0.0
    for side, sign in (("L", 1.0), ("R", -1.0)):
        p = phase if side == "L" else phase + np.pi
        for joint, rotation in (_leg(rng, habit, walk, p, sign) | _arm(body, rng, habit, walk, p, side, name)).items():
            rotations[body.joint_index[f"{joint}.{side}"]] = rotation
    twist = walk * habit.stride * 6 * float(np.cos(phase))
    trunk = {
        "spine03": _x(habit.lean * 0.6) @ _z(twist),
        "spine01": _x(habit.lean * 0.4) @ _z(twist * 0.6),
        "neck01": _x(habit.head * 0.5) @ _z(rng.normal(0, 6) - twist),
        "head": _x(habit.head * 0.5 + rng.normal(0, 4)) @ _z(rng.normal(0, 9)) @ _y(rng.normal(0, 3)),
    }
    for joint, rotation in trunk.items():
        rotations[body.joint_index[joint]] = rotation
    return rotations


def _leg(rng: np.random.Generator, habit: Habit, walk: float, phase: float, sign: float) -> dict[str, Matrix]:
    hip = walk * habit.stride * 24 * np.cos(phase) + rng.normal(0, 1.5)
    swing = max(0.0, -float(np.sin(phase)))
    knee = 4 + walk * habit.stride * 52 * swing**1.3 + (walk * 8 if np.cos(phase) < -0.3 else 0)
    foot = float(np.clip(-(knee * 0.2 - hip * 0.25), -15, 12))
    return {
        "upperleg01": _x(-(hip + 4 * walk)) @ _y(sign * (5.0 + habit.stance)),
        "lowerleg01": _x(knee),
        "foot": _x(foot) @ _z(sign * habit.toes),
    }


def _arm(body: BodyModel, rng: np.random.Generator, habit: Habit, walk: float, phase: float, side: str, name: str) -> dict[str, Matrix]:
    sign = 1.0 if side == "L" else -1.0
    joints = body.template_joints
    shoulder, elbow, wrist = (joints[body.joint_index[f"{j}.{side}"]].astype(np.float64) for j in ("upperarm01", "lowerarm01", "wrist"))
    bend_axis = np.cross(elbow - shoulder, wrist - elbow)
    swing = -walk * habit.swing * 22 * np.cos(phase) + rng.normal(-5, 3)
    lower = 33 + habit.abduction - abs(rng.normal(0, 2))
    bend = -40 + habit.elbow * (1 if walk else 0.6) + walk * max(0.0, swing) * 0.8
    upper, fore = _x(-swing) @ _y(sign * (lower - 12)), about(bend_axis, bend)
    if name == "holding a phone" and side == "R":
        upper, fore = _x(-15) @ _y(sign * (lower - 14)), about(bend_axis, 55 + rng.normal(0, 10))
    elif name == "hands on hips":
        upper, fore = _x(16) @ _y(sign * (lower - 18)), about(bend_axis, 14)
    return {"clavicle": _y(sign * 12) @ _z(-sign * 4), "upperarm01": upper, "lowerarm01": fore}
