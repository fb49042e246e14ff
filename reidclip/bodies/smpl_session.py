"""SMPL as a differentiable function from shape parameters to a mesh (Loper et al., 2015, eqs. (2)-(10)), in this package's axes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reidclip.bodies.measure import Landmarks, Tape
from reidclip.bodies.measured import measured
from reidclip.bodies.retarget import Arm, retargeted
from reidclip.bodies.smpl_file import PARENTS, SHAPES, SmplArrays
from reidclip.bodies.template import Template
from reidclip.errors import UserError

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3", "left_foot",
    "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""SMPL's axes (y up, z to the front) to ours (z up, y backwards), (3, 3)."""


def _pair(name: str) -> tuple[str, str]:
    return f"left_{name}", f"right_{name}"


def _sides(*names: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"left_{name}" for name in names), tuple(f"right_{name}" for name in names)


# SMPL's hip joints lie lower in the body than anny's: its levels of the trunk are set so that they are as high in the stature.
LANDMARKS = Landmarks(
    hips=_pair("hip"), knees=_pair("knee"), ankles=_pair("ankle"), shoulders=_pair("shoulder"), elbows=_pair("elbow"),
    wrists=_pair("wrist"), neck="neck", head="head", arms=_sides("shoulder", "elbow", "wrist", "hand"),
    legs=_sides("hip", "knee", "ankle", "foot"), chest=(0.58, 0.71), under_bust=0.54,
)  # fmt: skip
_NAMES = {
    "pelvis": "root", "spine1": "spine05", "spine2": "spine03", "spine3": "spine01", "neck": "neck01", "head": "head",
    "left_collar": "clavicle.L", "right_collar": "clavicle.R", "left_shoulder": "upperarm01.L", "right_shoulder": "upperarm01.R",
    "left_elbow": "lowerarm01.L", "right_elbow": "lowerarm01.R", "left_hip": "upperleg01.L", "right_hip": "upperleg01.R",
    "left_wrist": "wrist.L", "right_wrist": "wrist.R",
    "left_knee": "lowerleg01.L", "right_knee": "lowerleg01.R", "left_ankle": "foot.L", "right_ankle": "foot.R",
}  # fmt: skip
_ARMS = tuple(Arm(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") for side in ("left", "right"))


class SmplBody:
    """A `reidclip.interfaces.BodySession`.

    Of one file the 10 shape parameters are SMPL's first betas, which are standard normal over its population. Of two files (male, female)
    an eleventh, last parameter mixes them: 0 is the male model, 1 the female, and what lies between is their mean in that proportion.
    """

    name = "smpl"

    def __init__(self, models: Sequence[SmplArrays]) -> None:
        """See `reidclip.bodies.smpl_file.find_smpl` for the order of the models.

        Raises:
            UserError: two models that do not have the same mesh.
        """
        if any(not np.array_equal(model.faces, models[0].faces) for model in models):
            raise UserError("The male and the female file of SMPL do not have the same mesh.", "Take both from one release of SMPL.")
        self._templates = tuple(in_our_axes(model) for model in models)
        self.version = _digest(self._templates)
        self.shapes = SHAPES + (len(models) == 2)
        self.joints = JOINTS
        self.faces = models[0].faces
        self._tape = Tape(self.faces, self._templates[0].arrays["weights"], JOINTS, LANDMARKS)

    def vertices(self, shape: Tensor) -> Tensor:
        """(B, 10 or 11) -> (B, V, 3) in the rest pose, arms level."""
        return self._mixed(shape, lambda template, betas: template.vertices(betas))

    def joint_positions(self, shape: Tensor) -> Tensor:
        """(B, 10 or 11) -> (B, 24, 3) in the rest pose."""
        return self._mixed(shape, lambda template, betas: template.joints(betas))

    def posed(self, shape: Tensor, rotations: Tensor) -> Tensor:
        """(B, 10 or 11), (B, 24, 3, 3) -> (B, V, 3)."""
        return self._mixed(shape, lambda template, betas: template.posed(betas, rotations))

    def _mixed(self, shape: Tensor, of: Callable[[Template, Tensor], Tensor]) -> Tensor:
        if len(self._templates) == 1:
            return of(self._templates[0], shape)
        betas, female = shape[:, :SHAPES], shape[:, SHAPES:].unsqueeze(2)
        male_body, female_body = (of(template, betas) for template in self._templates)
        return male_body + female * (female_body - male_body)

    def measure(self, shape: Tensor) -> dict[str, Tensor]:
        """(B, 10 or 11) -> (B,) by name; see `reidclip.bodies.measure`."""
        return measured(self._tape, self.vertices, self.joint_positions, shape)

    def draw_shape(self, rng: np.random.Generator, female: bool) -> np.ndarray:
        """(10 or 11,) float32: standard normal betas, and the sex where there are models of both; one file knows one sex or none."""
        betas = rng.standard_normal(SHAPES)
        return np.append(betas, float(female) if len(self._templates) == 2 else []).astype(np.float32)

    def draw_pose(self, rng: np.random.Generator) -> np.ndarray:
        """(24, 3, 3) float32: the poses of the body model anny on SMPL's skeleton."""
        mean = self._templates[0].arrays["joints"].astype(np.float64)
        return retargeted(rng, dict(zip(JOINTS, mean, strict=True)), _NAMES, _ARMS)


def in_our_axes(model: SmplArrays) -> Template:
    """A file's model as a template: axes turned, joints regressed once from the mean body and from each shape direction, eq. (10)."""
    shape = np.einsum("ak,vks->sva", AXES, model.shape)
    points = model.template @ AXES.T
    # Eq. (9) takes the entries of rotations in SMPL's axes, R = A' R_ours A: its directions are turned on both sides.
    pose = model.pose.reshape(len(points), 3, -1, 3, 3)
    pose = np.einsum("ak,vkjmn,im,ln->jilva", AXES, pose, AXES, AXES, optimize=True).reshape(-1, *points.shape)
    arrays = {
        "vertices": points,
        "joints": model.regressor @ points,
        "vertex_directions": shape,
        "joint_directions": np.einsum("jv,sva->sja", model.regressor, shape),
        "pose_directions": pose,
        "weights": model.weights,
    }
    return Template(PARENTS, {name: torch.from_numpy(np.ascontiguousarray(array)).float().numpy() for name, array in arrays.items()})


def _digest(templates: Sequence[Template]) -> str:
    """Of the numbers, not of the file: one model in .pkl and .npz is one version."""
    found = hashlib.sha256()
    for template in templates:
        for name in sorted(template.arrays):
            found.update(np.ascontiguousarray(template.arrays[name], "<f4").tobytes())
    return found.hexdigest()[:16]
