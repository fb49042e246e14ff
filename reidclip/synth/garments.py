"""Clothes as shells of the body model's tights and skirt, cut by signed fields."""

from __future__ import annotations

import numpy as np

from reidclip.synth import labels
from reidclip.synth.figure import Material, Wardrobe
from reidclip.synth.mesh import FloatArray, vertex_normals
from reidclip.synth.outfit import Skirt, Top, Trousers, Wearable

_FAR = np.float32(9)
_SNUG = 0.03  # metres inside a garment's border from where body or inner clothes are certainly hidden


def top_field(wardrobe: Wardrobe, top: Top) -> FloatArray:
    """Signed distance-like field of a top over the body model, (N,): positive where there is cloth."""
    body, level = wardrobe.body, wardrobe.level
    x, y = np.abs(body.template[:, 0]), body.template[:, 1]
    field = np.where(body.is_arm, _FAR, level - top.hem)
    near_arm = body.is_arm | ((x > 0.11) & (level > 0.5))
    field = np.minimum(field, np.where(near_arm, top.sleeve - body.arm, _FAR))
    neckline = top.neck + 0.8 * np.maximum(0, x - 0.06) + np.clip((y + 0.07) * 0.5, 0, 0.035)
    if top.collar:
        neckline = neckline + 0.03
    return np.asarray(np.minimum(field, neckline - level), np.float32)


def trousers_field(wardrobe: Wardrobe, trousers: Trousers) -> FloatArray:
    """Signed field of trousers, (N,)."""
    level = wardrobe.level
    field = np.minimum(0.3 - level, level - trousers.end)
    return np.where(wardrobe.body.is_arm, -1, field).astype(np.float32)


def _front(wardrobe: Wardrobe) -> np.ndarray:
    return wardrobe.body.template[:, 1] < 0.02


def _hidden_by_jacket(wardrobe: Wardrobe) -> FloatArray | None:
    """Field of the jacket where it hides what is below it; None without one."""
    jacket = wardrobe.outfit.jacket
    if jacket is None:
        return None
    field = top_field(wardrobe, jacket)
    if jacket.opening > 0:
        field = np.where(_front(wardrobe) & ~wardrobe.body.is_arm, -1, field)
    return field.astype(np.float32)


def _below_jacket(wardrobe: Wardrobe, cut: FloatArray) -> FloatArray:
    field = _hidden_by_jacket(wardrobe)
    if field is None:
        return cut
    return np.where(field > 0.05, np.minimum(cut, 0.05 - field), cut).astype(np.float32)


def add_top(wardrobe: Wardrobe, top: Top, outer: bool = False) -> None:
    """A top, dress bodice or jacket (``outer``)."""
    body = wardrobe.body
    surface, rows = body.tights, body.tights.rows
    field = top_field(wardrobe, top)
    cut = (field if outer else _below_jacket(wardrobe, field))[rows]
    if top.opening > 0:
        gap = top.opening * np.clip((0.76 - wardrobe.level[rows]) * 4, 0.2, 1)
        front = _front(wardrobe)[rows] & ~body.is_arm[rows]
        cut = np.where(front, np.minimum(cut, np.abs(body.template[rows, 0]) - gap), cut)
    offset = _top_offset(wardrobe, top)
    base, normals = wardrobe.tights, wardrobe.tights_normals
    vertices = base + normals * offset[:, None]
    amount = np.where(body.is_arm[rows], 0.15, 0.55).astype(np.float32)[:, None]
    vertices = surface.smooth(vertices, amount, 5 if outer else 4)
    # Smoothing shrinks bulges: keep clear of the body, and a jacket of what is worn below it.
    least = _top_offset(wardrobe, wardrobe.outfit.top) + np.float32(0.008) if outer else 0.6 * offset
    lift = np.maximum(0, least - ((vertices - base) * normals).sum(1))
    vertices = vertices + normals * lift[:, None]
    # Smoothing moved the vertices, so the hem is cut where they are now; otherwise it would be wavy.
    hem = np.where(body.is_arm[rows], _FAR, wardrobe.level_of(vertices) - top.hem)
    cut = np.where(wardrobe.level[rows] < top.hem + 0.15, np.minimum(hem, cut + 0.05), cut)
    # A closed front shows no inside; an open one does.
    painter = "shirt" if top.collar and top.name != "hoodie" else "top"
    wardrobe.add_shell(surface, vertices, cut, Material(top.label, painter, top.fabric), two_sided=top.opening > 0)
    if top.opening > 0:
        wardrobe.hidden |= (field > _SNUG) & (body.is_arm | ~_front(wardrobe))
    else:
        wardrobe.hidden |= field > _SNUG


def _top_offset(wardrobe: Wardrobe, top: Top) -> FloatArray:
    body, rows = wardrobe.body, wardrobe.body.tights.rows
    level, arm = wardrobe.level[rows], np.where(body.is_arm[rows], body.arm[rows], -1)
    shoulder = np.clip((level - 0.50) / 0.12, 0, 1) * (arm < 0.1)
    offset = top.offset * (1 - 0.55 * shoulder)
    over_skirt = isinstance(wardrobe.outfit.bottom, Skirt) and top.label == labels.UPPER
    offset = offset + np.where(arm < 0, np.clip((0.40 - level) * (0.10 if over_skirt else 0.035), 0, 0.03), 0)
    offset = np.where(arm > -1, offset * 0.6, offset)
    if 0 < top.sleeve < 0.3:  # short sleeves stand off the arm
        offset = offset + np.where(arm > 0, 0.04 * np.clip(arm, 0, top.sleeve), 0)
    return np.asarray(offset, np.float32)


def add_trousers(wardrobe: Wardrobe, trousers: Trousers) -> None:
    """Trousers or shorts."""
    body, outfit = wardrobe.body, wardrobe.outfit
    rows, level = body.tights.rows, wardrobe.level[body.tights.rows]
    field = trousers_field(wardrobe, trousers)
    hem = outfit.top.hem
    cut = _below_jacket(wardrobe, np.minimum(field, hem + 0.05 - wardrobe.level).astype(np.float32))[rows]
    offset = trousers.offset * (1 - 0.5 * np.clip((level - 0.1) / 0.1, 0, 1))
    offset = offset + trousers.flare * np.clip((0.08 - level) / 0.8, 0, 1) * np.clip((level + 0.80) * 14, 0.35, 1)
    vertices = wardrobe.tights + wardrobe.tights_normals * offset[:, None].astype(np.float32)
    amount = (0.4 * (body.leg_weight[rows] > 0.3)).astype(np.float32)[:, None]
    vertices = body.tights.smooth(vertices, amount, 2)
    wardrobe.add_shell(body.tights, vertices, cut, Material(trousers.label, "leg", trousers.fabric))
    wardrobe.hidden |= field > _SNUG


def add_skirt(wardrobe: Wardrobe, skirt: Skirt) -> None:
    """A skirt, or the lower part of a dress or coat."""
    body, surface = wardrobe.body, wardrobe.body.skirt
    rows = surface.rows
    level, template = wardrobe.level[rows], body.template[rows]
    vertices = wardrobe.shape.vertices[rows]
    normals = vertex_normals(vertices, surface.faces)
    depth = np.clip(0.30 - level, 0, None)
    offset = skirt.offset + skirt.flare * depth
    if skirt.flare > 0.05:  # wide skirts fall in folds
        offset = offset + 0.02 * depth * np.sin(np.arctan2(template[:, 0], -template[:, 1]) * 12)
    vertices = vertices + normals * offset[:, None].astype(np.float32)
    level = wardrobe.level_of(vertices)
    cut = np.minimum(level - skirt.end, 0.32 - level)
    if skirt.label == labels.SKIRT:
        cut = np.minimum(cut, wardrobe.outfit.top.hem + 0.03 - level)
    if skirt.opening > 0:
        gap = np.abs(template[:, 0]) - skirt.opening - 0.06 * depth
        cut = np.where(template[:, 1] < 0, np.minimum(cut, gap), cut)
    wardrobe.add_shell(surface, vertices, cut, Material(skirt.label, "skirt", skirt.fabric), two_sided=True)
    if skirt.opening == 0:
        under = (wardrobe.level < 0.27) & (wardrobe.level > skirt.end + 0.10)
        wardrobe.hidden |= under & ~body.is_arm


def add_feet(wardrobe: Wardrobe) -> None:
    """Shoes, and socks above them."""
    body, outfit, surface = wardrobe.body, wardrobe.outfit, wardrobe.body.tights
    rows = surface.rows
    level, is_leg = wardrobe.level[rows], body.is_leg[rows]
    height = outfit.shoe_height
    low = height < -0.7
    slope = 0.25 * np.clip(body.template[rows, 1], -0.2, 0.05) if low else 0.0
    cut = np.where(is_leg, height - level + slope, -1).astype(np.float32)
    offset = 0.011 + 0.008 * (level < -0.79)
    vertices = wardrobe.tights + wardrobe.tights_normals * offset[:, None].astype(np.float32)
    for side, label in ((1.0, labels.LEFT_SHOE), (-1.0, labels.RIGHT_SHOE)):
        wardrobe.add_shell(surface, vertices, cut, Material(label, "shoe", outfit.shoes.fabric), side=side)
    wardrobe.hidden |= (wardrobe.level < min(height - _SNUG, -0.77)) & ~body.is_arm
    if outfit.socks is not None:
        above = np.where(is_leg, height + 0.10 - level, -1).astype(np.float32)
        vertices = wardrobe.tights + wardrobe.tights_normals * np.float32(0.004)
        wardrobe.add_shell(surface, vertices, above, Material(labels.SOCKS, "leg", outfit.socks.fabric))


def add_scarf(wardrobe: Wardrobe, scarf: Wearable) -> None:
    """A scarf: a roll around the neck and one end hanging down the front."""
    body = wardrobe.body
    surface, rows = body.tights, body.tights.rows
    level, template = wardrobe.level[rows], body.template[rows]
    material = Material(labels.SCARF, "top", scarf.fabric)
    end = np.minimum(0.033 - np.abs(template[:, 0] - 0.055), level - 0.36)
    end = np.where((template[:, 1] < 0) & ~body.is_arm[rows], np.minimum(end, 0.70 - level), -1)
    offset = np.float32(0.05 if wardrobe.outfit.jacket is not None else 0.035)
    vertices = surface.smooth(wardrobe.tights + wardrobe.tights_normals * offset, 0.5, 3)
    wardrobe.add_shell(surface, vertices, end.astype(np.float32), material, two_sided=True)
    _add_roll(wardrobe, material)


def _add_roll(wardrobe: Wardrobe, material: Material) -> None:
    around, tube = np.linspace(0, 2 * np.pi, 25), np.linspace(0, 2 * np.pi, 9)
    a, t = (g.ravel() for g in np.meshgrid(around, tube, indexing="ij"))
    neck = wardrobe.joint("neck01")
    radius = 0.035 + 0.006 * np.sin(3 * a)
    reach = 0.075 + radius * np.cos(t)
    points = np.stack([reach * np.sin(a), 0.012 - reach * np.cos(a) * 1.05, -0.02 + 0.02 * np.cos(a + np.pi) + radius * 1.2 * np.sin(t)], 1)
    faces = grid_faces(len(around), len(tube))
    weights: dict[str, FloatArray | float] = {"neck01": 0.5, "spine01": 0.5}
    wardrobe.add_rigid(
        (points + neck).astype(np.float32), faces, weights, points + wardrobe.body.template_joints[4], material, two_sided=True
    )


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Triangles of a grid of points stored row by row, (F, 3)."""
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)
