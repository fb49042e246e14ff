"""A dressed person in rest pose: surfaces with skinning weights, merged into one mesh.

Everything is built once per identity and outfit; a picture then only skins, projects and shades it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.body import BodyModel, Shape
from reidclip.synth.identity import Identity
from reidclip.synth.mesh import FloatArray, IntArray, Surface, vertex_normals
from reidclip.synth.outfit import Fabric, Outfit


@dataclass(frozen=True)
class Material:
    """How the fragments of a part are painted and labelled.

    Attributes:
        label: LIP label; -1 where the painter decides (bare skin).
        painter: name of the function in `shading` that colours it.
        fabric: colours and pattern, for painters that need one.
    """

    label: int
    painter: str
    fabric: Fabric | None = None


@dataclass(frozen=True)
class Part:
    """One surface in rest pose.

    Attributes:
        vertices: (N, 3) metres.
        faces: (F, 3).
        skin: (N, J) skinning weights.
        coords: (N, 3) position on the template body, on which paint and patterns are defined.
        arm: (N,) metres along the arm.
        cut: (N,) signed field; fragments where it is negative do not exist, which gives clean hems.
        two_sided: whether the inside can be seen.
    """

    vertices: FloatArray
    faces: IntArray
    skin: FloatArray
    coords: FloatArray
    arm: FloatArray
    cut: FloatArray
    material: Material
    two_sided: bool = False


@dataclass(frozen=True)
class Figure:
    """All parts merged; arrays as in `Part`, but skin is (J, N); plus normals (N, 3) and the material number of each face."""

    vertices: FloatArray
    normals: FloatArray
    faces: IntArray
    skin: FloatArray
    coords: FloatArray
    arm: FloatArray
    cut: FloatArray
    face_material: IntArray
    two_sided: NDArray[np.bool_]
    materials: tuple[Material, ...]
    joints: FloatArray


class Wardrobe:
    """What the builders of garments, hair and accessories share for one person in one outfit.

    Attributes:
        level: (N,) height of each vertex expressed on the template, so that a hem is level on every body.
        hidden: (N,) body vertices known to lie under a garment.
    """

    def __init__(self, body: BodyModel, shape: Shape, identity: Identity, outfit: Outfit) -> None:
        self.body, self.shape, self.identity, self.outfit = body, shape, identity, outfit
        self._scale = level_scale(body, shape)
        self.level = self._scale(shape.vertices[:, 2])
        self.hidden = np.zeros(len(shape.vertices), bool)
        self.parts: list[Part] = []
        arm_rows = body.is_arm
        coords = body.template.copy()
        coords[~arm_rows, 2] = self.level[~arm_rows]
        self.coords = coords
        # Along the arm only arms count: the same axis runs down a leg, whose skin would be labelled as an arm's.
        self.arm = np.where(arm_rows, body.arm, np.float32(-1))
        self.tights = shape.vertices[body.tights.rows]
        self.tights_normals = vertex_normals(self.tights, body.tights.faces)

    def level_of(self, vertices: FloatArray) -> FloatArray:
        """Template level of moved vertices, (n,)."""
        return self._scale(vertices[:, 2])

    def joint(self, name: str) -> FloatArray:
        """Rest position of a joint, (3,)."""
        position: FloatArray = self.shape.joints[self.body.joint_index[name]]
        return position

    def add_shell(
        self, surface: Surface, vertices: FloatArray, cut: FloatArray, material: Material, two_sided: bool = False, side: float = 0.0
    ) -> None:
        """Add a surface of the body model, moved to ``vertices``; faces cut away entirely, and their vertices, are dropped.

        Args:
            surface: where topology and weights come from.
            vertices: (n, 3) new positions.
            cut: (n,) signed field.
            material: look and label.
            two_sided: whether its inside can be seen.
            side: +1 or -1 keeps the person's left or right half only.
        """
        corner = surface.faces
        shown = (cut > 0)[corner].any(1)
        if side:
            shown &= self.body.template[surface.rows, 0][corner].mean(1) * side > 0
        faces = corner[shown]
        used = np.zeros(len(surface.rows), bool)
        used[faces] = True
        number = np.cumsum(used, dtype=np.int32) - np.int32(1)
        rows = surface.rows[used]
        self.parts.append(
            Part(
                np.asarray(vertices[used], np.float32),
                number[faces].astype(np.int32),
                self.body.skin[rows],
                self.coords[rows],
                self.arm[rows],
                np.asarray(cut[used], np.float32),
                material,
                two_sided,
            )
        )

    def add_rigid(
        self, vertices: FloatArray, faces: IntArray, joints: dict[str, FloatArray | float], coords: np.ndarray, material: Material,
        two_sided: bool = False, cut: FloatArray | None = None,
    ) -> None:  # fmt: skip
        """Add free geometry bound to joints; ``joints`` maps names to weights, scalars or (n,)."""
        skin = np.zeros((len(vertices), len(self.body.parents)), np.float32)
        for name, weight in joints.items():
            skin[:, self.body.joint_index[name]] += weight
        field = np.ones(len(vertices), np.float32) if cut is None else cut.astype(np.float32)
        self.parts.append(
            Part(
                vertices.astype(np.float32), faces.astype(np.int32), skin, coords.astype(np.float32),
                np.full(len(vertices), -1, np.float32), field, material, two_sided,
            )
        )  # fmt: skip

    def finish(self) -> Figure:
        """Merge the parts."""
        kept = [(p, vertex_normals(p.vertices, p.faces)) for p in self.parts if len(p.faces)]
        starts = np.cumsum([0] + [len(p.vertices) for p, _ in kept])
        return Figure(
            vertices=np.concatenate([p.vertices for p, _ in kept]),
            normals=np.concatenate([n for _, n in kept]),
            faces=np.concatenate([p.faces + s for (p, _), s in zip(kept, starts[:-1], strict=True)]).astype(np.int32),
            skin=np.ascontiguousarray(np.concatenate([p.skin for p, _ in kept]).T),
            coords=np.concatenate([p.coords for p, _ in kept]),
            arm=np.concatenate([p.arm for p, _ in kept]),
            cut=np.concatenate([p.cut for p, _ in kept]),
            face_material=np.concatenate([np.full(len(p.faces), i, np.int32) for i, (p, _) in enumerate(kept)]),
            two_sided=np.concatenate([np.full(len(p.faces), p.two_sided) for p, _ in kept]),
            materials=tuple(p.material for p, _ in kept),
            joints=self.shape.joints,
        )


def level_scale(body: BodyModel, shape: Shape) -> Callable[[FloatArray], FloatArray]:
    """The map from heights on a body to heights on the template, by landmarks from sole to crown."""
    names = ["foot.L", "lowerleg01.L", "upperleg01.L", "spine03", "spine01", "neck01", "head"]
    rows = [body.joint_index[n] for n in names]
    skull = body.body.rows
    mine = [shape.vertices[skull, 2].min(), *shape.joints[rows, 2], shape.vertices[skull, 2].max()]
    template = [body.template[skull, 2].min(), *body.template_joints[rows, 2], body.template[skull, 2].max()]
    return lambda z: np.interp(z, mine, template).astype(np.float32)
