"""Natural poses for skeletons other than the renderer's: its rotations, with the arms' rest directions made up for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reidclip.bodies.anny_session import opened


@dataclass(frozen=True)
class Arm:
    """Joints of an arm of the other skeleton."""

    shoulder: str
    elbow: str
    wrist: str


def retargeted(rng: np.random.Generator, joints: Mapping[str, np.ndarray], source: Mapping[str, str], arms: Sequence[Arm]) -> np.ndarray:
    """A pose of the body model anny on another skeleton.

    Trunk and legs are alike in both rest poses, so that their rotations carry over. Arms are not (level in SMPL's, 45 degrees down in
    anny's): each bone is first turned onto the other's rest direction, so that upper arm and forearm point where anny's do.

    Args:
        rng: of `AnnyBody.draw_pose`.
        joints: (3,) rest position of every joint, in order; metres, x to the left, y backwards, z up.
        source: joint -> the joint of anny that turns it; others stay.
        arms: joints of both arms.

    Returns:
        (J, 3, 3) float32.
    """
    body = opened()
    drawn = dict(zip(body.joints, body.draw_pose(rng).astype(np.float64), strict=True))
    rest = dict(zip(body.joints, body.rest_joints().astype(np.float64), strict=True))
    turns = {name: drawn[source[name]] if name in source else np.eye(3) for name in joints}
    for arm in arms:
        upper, fore = (
            turn_onto(joints[end] - joints[start], rest[source[end]] - rest[source[start]])
            for start, end in ((arm.shoulder, arm.elbow), (arm.elbow, arm.wrist))
        )
        turns[arm.shoulder] = turns[arm.shoulder] @ upper
        turns[arm.elbow] = upper.T @ turns[arm.elbow] @ fore
    return np.stack(list(turns.values())).astype(np.float32)


def turn_onto(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(3, 3): the smallest rotation that takes the direction of one vector to that of another; they may not be opposite."""
    a, b = start / np.sqrt((start**2).sum()), end / np.sqrt((end**2).sum())
    axis, cosine = np.cross(a, b), float(a @ b)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + k + k @ k / (1 + cosine))
