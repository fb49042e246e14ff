"""The baked body model: sliders to a rest-pose mesh, and linear blend skinning.

The archive ``assets/body.npz`` is made by ``examples/bake_bodies``. Axes: x to the person's left, y backwards, z up,
in metres; the pelvis is near the origin. Arms hang at about 45 degrees in the rest pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.mesh import FloatArray, Surface
from reidclip.synth.population import Sliders

ASSET = Path(__file__).parent / "assets" / "body.npz"

# Order and anchors of the phenotype variations, as the body model defines them.
_ANCHORS: dict[str, tuple[float, ...]] = {
    "gender": (0.0, 1.0),
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
    "cupsize": (0.0, 0.5, 1.0),
    "firmness": (0.0, 0.5, 1.0),
}
_ANCESTRY = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Shape:
    """A body in rest pose.

    Attributes:
        vertices: (N, 3) metres.
        joints: (J, 3) metres.
    """

    vertices: FloatArray
    joints: FloatArray


class BodyModel:
    """Arrays of the archive, decoded, with the surfaces that the generator uses.

    Attributes:
        template: (N, 3) mean rest-pose vertices; garment cuts and face paint are defined on them.
        template_joints: (J, 3).
        skin: (N, J) skinning weights.
        arm: (N,) metres along shoulder, elbow and wrist of the template; negative towards the torso.
        is_arm, is_leg, is_head: (N,) bool.
        lips, ears: (N,) in [0, 1].
        body, eyes, tights, skirt, scalp: surfaces.
    """

    def __init__(self, path: Path = ASSET) -> None:
        with np.load(path) as data:
            arrays = {name: data[name] for name in data.files}
        directions = np.concatenate([arrays["fine"], arrays["coarse"]]).astype(np.float32)
        self._directions: FloatArray = directions * arrays["scale"][:, None]
        self._mean = arrays["mean"]
        self._phenotype_mask = np.unpackbits(arrays["phenotype_mask"], axis=1, count=26).astype(bool)
        self._phenotype_map = arrays["phenotype_map"]
        self._change_names = [str(n) for n in arrays["change_names"]]
        self._change_map = arrays["change_map"]
        self._offset = arrays["offset"]
        self.joint_index = {str(n): i for i, n in enumerate(arrays["joint_names"])}
        self.parents = arrays["joint_parents"].astype(int)
        count = len(arrays["skin"])
        self.template: FloatArray = arrays["mean"][:count].copy()
        self.template_joints: FloatArray = arrays["mean"][count:].copy()
        skin = arrays["skin"].astype(np.float32)
        self.skin: FloatArray = skin / skin.sum(1, keepdims=True)
        self.arm: FloatArray = arrays["arm"].astype(np.float32)
        self.lips: FloatArray = arrays["lips"].astype(np.float32) / 255
        self.ears: FloatArray = arrays["ears"].astype(np.float32) / 255
        self._name_regions()
        self._make_surfaces(arrays)

    def _weight_of(self, *names: str) -> FloatArray:
        columns = [i for n, i in self.joint_index.items() if n.split(".")[0] in names]
        return np.asarray(self.skin[:, columns].sum(1), np.float32)

    def _name_regions(self) -> None:
        self.is_arm = self._weight_of("upperarm01", "lowerarm01", "wrist") > 0.5
        self.is_hand = self._weight_of("wrist") > 0.5
        self.leg_weight = self._weight_of("upperleg01", "lowerleg01", "foot")
        self.is_leg = self.leg_weight > 0.5
        self.is_head = self._weight_of("head") > 0.5

    def _make_surfaces(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        def faces(name: str) -> NDArray[np.int64]:
            return arrays[f"faces_{name}"].astype(np.int64)

        self.body = Surface.of(faces("body"))
        self.eyes = Surface.of(faces("eyes"))
        self.tights = Surface.of(faces("tights"))
        self.skirt = Surface.of(faces("skirt"))
        self.eye_centre: FloatArray = self.template[self.eyes.rows[self.template[self.eyes.rows, 0] > 0]].mean(0)
        self.hairline = self._hairline()
        skull = faces("body")
        near = (self.hairline > -0.05)[skull].all(1) & ~(self.ears[skull] > 0.3).any(1)
        self.scalp = Surface.of(skull[near])

    def _hairline(self) -> FloatArray:
        """Height in metres above a common hairline, (N,); -1 away from the head."""
        y, z = self.template[:, 1], self.template[:, 2] - self.eye_centre[2]
        line = np.interp(
            y, [-0.165, -0.13, -0.105, -0.08, -0.06, -0.03, 0.005, 0.045], [0.078, 0.068, 0.045, 0.0, -0.02, -0.012, -0.055, -0.09]
        )
        return np.where(self.is_head | (self._weight_of("neck01") > 0.5), z - line, -1).astype(np.float32)

    def coefficients(self, sliders: Sliders) -> FloatArray:
        """Coefficients of the principal shapes, (K,)."""
        value: dict[str, NDArray[np.float64]] = {}
        for name, anchors in _ANCHORS.items():
            x = float(np.clip(sliders.phenotype[name], anchors[0], anchors[-1]))
            value[name] = np.array([np.interp(x, anchors, row) for row in np.eye(len(anchors))])
        ancestry = np.array([sliders.phenotype[n] for n in _ANCESTRY])
        factors = np.concatenate([ancestry / ancestry.sum(), *value.values()])
        weights = np.where(self._phenotype_mask, factors, 1.0).prod(1)
        changes = np.array([sliders.changes[n] for n in self._change_names])
        signed = np.stack([np.maximum(changes, 0), np.maximum(-changes, 0)], 1).ravel()
        terms = (weights[:, None] * self._phenotype_map).sum(0) + (signed[:, None] * self._change_map).sum(0)
        return np.asarray(terms + self._offset, np.float32)

    @property
    def directions(self) -> FloatArray:
        """Principal shapes per unit of their coefficients, (K, 3 (N + J)): of vertices, then of joints."""
        return self._directions

    def shape(self, sliders: Sliders) -> Shape:
        """The rest-pose body for the sliders."""
        c = self.coefficients(sliders)
        # einsum, not BLAS: the sum must not depend on the number of threads.
        points = self._mean + np.einsum("k,kn->n", c, self._directions).reshape(-1, 3)
        return Shape(points[: len(self.template)].astype(np.float32), points[len(self.template) :].astype(np.float32))

    def stature(self, sliders: Sliders) -> float:
        """Bare stature in metres, without building the whole mesh."""
        c = self.coefficients(sliders)
        columns = self._extreme_columns()
        z = self._mean.reshape(-1)[columns] + np.einsum("k,kn->n", c, self._directions[:, columns])
        return float(z.max() - z.min())

    @lru_cache(maxsize=1)  # noqa: B019  (one model lives as long as its process)
    def _extreme_columns(self) -> NDArray[np.int64]:
        z = self.template[self.body.rows, 2]
        rows = self.body.rows[(z > np.partition(z, -60)[-60]) | (z < np.partition(z, 150)[150])]
        return np.asarray(rows * 3 + 2, np.int64)

    def with_stature(self, sliders: Sliders, stature: float) -> Sliders:
        """The same body with the height slider that gives a bare stature in metres (it is nearly affine in it)."""
        low, high = (self.stature(sliders.with_height(h)) for h in (0.0, 1.0))
        return sliders.with_height(float(np.clip((stature - low) / (high - low), 0, 1)))

    def transforms(self, joints: FloatArray, rotations: NDArray[np.float64]) -> FloatArray:
        """Rest-to-posed transforms of the joints.

        Args:
            joints: (J, 3) rest positions.
            rotations: (J, 3, 3) rotations about the joints, in the axes of the rest pose.

        Returns:
            (J, 3, 4).
        """
        out = np.zeros((len(joints), 3, 4))
        for j, parent in enumerate(self.parents):
            rotation = rotations[j]
            offset = joints[j] - rotation @ joints[j]
            if parent >= 0:
                offset = out[parent, :, :3] @ offset + out[parent, :, 3]
                rotation = out[parent, :, :3] @ rotation
            out[j, :, :3], out[j, :, 3] = rotation, offset
        return out.astype(np.float32)


@lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """The body model of this process, loaded once."""
    return BodyModel()
