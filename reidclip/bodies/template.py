"""A linear body with a skin: shape directions about a mean, a tree of joints, and linear blend skinning, in torch and batched.

What every body model here shares: Loper et al., "SMPL: A Skinned Multi-Person Linear Model", SIGGRAPH Asia 2015, section 3. A model without
pose blend shapes (anny) leaves ``pose_directions`` out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Arrays = Mapping[str, np.ndarray]
ARRAYS = ("vertices", "joints", "vertex_directions", "joint_directions", "weights")


@dataclass(frozen=True)
class Template:
    """One linear body in rest pose; metres, x to the person's left, y backwards, z up.

    Attributes:
        parents: of each joint, -1 for the root; a parent comes before its children.
        arrays: ``vertices`` (V, 3) and ``joints`` (J, 3) of the mean body; ``vertex_directions`` (S, V, 3) and ``joint_directions``
            (S, J, 3) per unit of each coefficient; ``weights`` (V, J) of the skin, rows of sum 1; and, for models that have them,
            ``pose_directions`` (9 (J - 1), V, 3), offsets per entry of the rotations of all joints but the root.
    """

    parents: tuple[int, ...]
    arrays: Arrays
    _moved: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def tensors(self, like: Tensor) -> dict[str, Tensor]:
        """The arrays on the device and of the type of a tensor; moved once."""
        key = (like.device, like.dtype)
        if key not in self._moved:
            self._moved[key] = {name: torch.as_tensor(array).to(*key) for name, array in self.arrays.items()}
        return self._moved[key]

    def vertices(self, coefficients: Tensor) -> Tensor:
        """(B, S) coefficients -> (B, V, 3), Loper et al. eq. (8) added to the mean body."""
        own = self.tensors(coefficients)
        return own["vertices"] + _combined(coefficients, own["vertex_directions"])

    def joints(self, coefficients: Tensor) -> Tensor:
        """(B, S) coefficients -> (B, J, 3), eq. (10): joints are regressed from vertices, so they are linear in the shape too."""
        own = self.tensors(coefficients)
        return own["joints"] + _combined(coefficients, own["joint_directions"])

    def posed(self, coefficients: Tensor, rotations: Tensor) -> Tensor:
        """(B, S) coefficients, (B, J, 3, 3) rotations about the joints -> (B, V, 3), eqs. (2)-(4) and, with pose directions, (9)."""
        own = self.tensors(coefficients)
        points = self.vertices(coefficients)
        if "pose_directions" in own:
            away = rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
            points = points + _combined(away.flatten(1), own["pose_directions"])
        moves = joint_moves(self.joints(coefficients), rotations, self.parents)
        blended = torch.einsum("vj,bjkl->bvkl", own["weights"], moves)
        return torch.einsum("bvkl,bvl->bvk", blended[..., :3], points) + blended[..., 3]


def _combined(coefficients: Tensor, directions: Tensor) -> Tensor:
    """(B, S) and (S, N, 3) -> (B, N, 3)."""
    return (coefficients @ directions.flatten(1)).reshape(-1, *directions.shape[1:])


def joint_moves(joints: Tensor, rotations: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Rest-to-posed transforms of the joints, Loper et al. eqs. (3)-(4).

    Args:
        joints: (B, J, 3) rest positions.
        rotations: (B, J, 3, 3) about the joints, in the axes of the rest pose.
        parents: of each joint, -1 for the root.

    Returns:
        (B, J, 3, 4): a point x of the rest pose goes to ``m[:, :3] @ x + m[:, 3]``.
    """
    own = joints - torch.einsum("bjkl,bjl->bjk", rotations, joints)
    turns: list[Tensor] = []
    shifts: list[Tensor] = []
    for joint, parent in enumerate(parents):
        turn, shift = rotations[:, joint], own[:, joint]
        if parent >= 0:
            shift = (turns[parent] @ shift.unsqueeze(2)).squeeze(2) + shifts[parent]
            turn = turns[parent] @ turn
        turns.append(turn)
        shifts.append(shift)
    return torch.cat([torch.stack(turns, 1), torch.stack(shifts, 1).unsqueeze(3)], 3)
