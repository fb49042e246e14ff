"""Carried things. LIP has no label for them, so their pixels count as background."""

from __future__ import annotations

import numpy as np

from reidclip.synth import labels
from reidclip.synth.figure import Material, Wardrobe
from reidclip.synth.head import ellipsoid
from reidclip.synth.mesh import FloatArray
from reidclip.synth.outfit import Wearable


def add_bag(wardrobe: Wardrobe, bag: Wearable) -> None:
    """A backpack, shoulder bag, handbag or tote bag with its straps."""
    material = Material(labels.BACKGROUND, "bag", bag.fabric)
    if bag.kind == "backpack":
        _add_backpack(wardrobe, material)
    elif bag.kind == "shoulder bag":
        _add_shoulder_bag(wardrobe, material, 1.0 if bag.fabric.seed % 2 else -1.0)
    else:
        _add_handbag(wardrobe, material, bag.kind, "L" if bag.fabric.seed % 2 else "R")


def _clearance(wardrobe: Wardrobe) -> float:
    """Thickness of the clothes of the trunk in metres."""
    garment = wardrobe.outfit.jacket or wardrobe.outfit.top
    return garment.offset + 0.006


def _add_strap(wardrobe: Wardrobe, material: Material, field: FloatArray) -> None:
    surface = wardrobe.body.tights
    vertices = wardrobe.tights + wardrobe.tights_normals * np.float32(_clearance(wardrobe) + 0.004)
    vertices = surface.smooth(vertices, 0.5, 3) + wardrobe.tights_normals * np.float32(0.006)
    cut = np.where(wardrobe.body.is_arm[surface.rows], -1, field).astype(np.float32)
    wardrobe.add_shell(surface, vertices, cut, material)


def _add_backpack(wardrobe: Wardrobe, material: Material) -> None:
    body = wardrobe.body
    rows = body.tights.rows
    level, template = wardrobe.level[rows], body.template[rows]
    middle = (level > 0.4) & (level < 0.6) & (np.abs(template[:, 0]) < 0.1)
    back = float(wardrobe.tights[middle, 1].max()) + _clearance(wardrobe)
    chest = wardrobe.joint("spine01")
    size = 0.85 + (material.fabric.seed % 97) / 97 * 0.3 if material.fabric is not None else 1.0
    centre = np.array([0, back + 0.06 * size, chest[2] - 0.05])
    points, faces = ellipsoid(centre, np.array([0.145, 0.085, 0.205]) * size, 0.55)
    wardrobe.add_rigid(points.astype(np.float32), faces, {"spine01": 0.6, "spine03": 0.4}, points, material)
    x = np.abs(template[:, 0])
    strap = np.minimum(0.019 - np.abs(x - 0.095), level - 0.42)
    front = template[:, 1] < 0.03
    _add_strap(wardrobe, material, np.where(front, strap, np.minimum(strap, level - 0.6)).astype(np.float32))


def _add_shoulder_bag(wardrobe: Wardrobe, material: Material, side: float) -> None:
    body = wardrobe.body
    rows = body.tights.rows
    level, x = wardrobe.level[rows], body.template[rows, 0] * side
    hip = wardrobe.joint("upperleg01.L")
    reach = float(wardrobe.tights[np.abs(level - 0.13) < 0.06, 0].max())
    centre = np.array([side * (reach + 0.05), 0.02, hip[2] + 0.05])
    points, faces = ellipsoid(centre, np.array([0.06, 0.14, 0.12]), 0.5)
    wardrobe.add_rigid(points.astype(np.float32), faces, {"root": 0.7, "spine03": 0.3}, points, material)
    # The strap runs from the bag's hip over the chest to the other shoulder.
    line = level - (0.2 + (0.16 - x) * 1.75)
    strap = np.minimum(0.03 - np.abs(line), np.minimum(level - 0.18, 0.72 - level))
    _add_strap(wardrobe, material, strap.astype(np.float32))


def _add_handbag(wardrobe: Wardrobe, material: Material, kind: str, side: str) -> None:
    elbow, wrist = wardrobe.joint(f"lowerarm01.{side}"), wardrobe.joint(f"wrist.{side}")
    along = wrist - elbow
    along = along / np.sqrt((along * along).sum())
    size = np.array([0.05, 0.15, 0.11]) if kind == "handbag" else np.array([0.05, 0.17, 0.19])
    points, faces = ellipsoid(np.zeros(3), size, 0.5)
    # The bag's own vertical axis follows the forearm, which hangs nearly down in most poses.
    down = -along
    forward = np.cross(down, np.array([1.0, 0, 0]))
    forward /= np.sqrt((forward * forward).sum())
    axes = np.stack([np.cross(forward, down), forward, down])
    centre = wrist + along * (0.13 + size[2])
    wardrobe.add_rigid((points @ axes + centre).astype(np.float32), faces, {f"wrist.{side}": 1.0}, points, material)
