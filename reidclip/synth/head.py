"""Hair, hats and glasses: geometry bound to the head, defined on the template head and scaled to the person's."""

from __future__ import annotations

import numpy as np

from reidclip.synth import labels
from reidclip.synth.figure import Material, Wardrobe
from reidclip.synth.garments import grid_faces
from reidclip.synth.mesh import FloatArray, vertex_normals
from reidclip.synth.noise import waves
from reidclip.synth.outfit import Wearable

_THICKNESS = {
    "buzz cut": 0.004, "short": 0.013, "side part": 0.018, "quiff": 0.016, "curly": 0.034, "afro": 0.07, "bob": 0.022,
    "shoulder-length": 0.018, "long": 0.015, "ponytail": 0.010, "bun": 0.011,
}  # fmt: skip
_CURTAIN_END = {"bob": 0.765, "shoulder-length": 0.66, "long": 0.46}


class HeadFrame:
    """Maps points (n, 3) of the template head to the person's head at rest."""

    def __init__(self, wardrobe: Wardrobe) -> None:
        body, shape = wardrobe.body, wardrobe.shape
        rows = body.scalp.rows[body.hairline[body.scalp.rows] > 0]
        mine, template = shape.vertices[rows], body.template[rows]
        self._origin, self._template_origin = mine.mean(0), template.mean(0)
        self._scale = np.ptp(mine, axis=0) / np.ptp(template, axis=0)
        self.eye = body.eye_centre

    def __call__(self, points: np.ndarray) -> FloatArray:
        """Points in the rest pose of the person, (n, 3)."""
        return np.asarray((points - self._template_origin) * self._scale + self._origin, np.float32)


def add_hair(wardrobe: Wardrobe) -> None:
    """The hair of the person; flattened under a hat."""
    identity = wardrobe.identity
    style = identity.hair_style
    if style == "bald":
        return
    material = Material(labels.HAIR, "hair")
    frame = HeadFrame(wardrobe)
    _add_scalp(wardrobe, style, material)
    if style in _CURTAIN_END:
        _add_curtain(wardrobe, frame, _CURTAIN_END[style], material)
    elif style == "ponytail":
        path = np.array([[0, 0.05, 0.94], [0, 0.10, 0.935], [0, 0.125, 0.89], [0, 0.13, 0.82], [0, 0.125, 0.74], [0, 0.12, 0.66]])
        _add_tube(wardrobe, frame, path, np.array([0.02, 0.03, 0.034, 0.032, 0.026, 0.008]) * identity.volume, material)
    elif style == "bun":
        z = 0.985 if identity.noise % 2 else 0.92
        y = 0.0 if identity.noise % 2 else 0.075
        points, faces = ellipsoid(np.array([0, y, z]), np.array([0.048, 0.045, 0.045]) * identity.volume)
        wardrobe.add_rigid(frame(points), faces, {"head": 1.0}, points, material)


def _add_scalp(wardrobe: Wardrobe, style: str, material: Material) -> None:
    identity, body = wardrobe.identity, wardrobe.body
    surface, rows = body.scalp, body.scalp.rows
    template = body.template[rows]
    x, y, z = template[:, 0], template[:, 1], template[:, 2] - body.eye_centre[2]
    height = body.hairline[rows] + identity.fringe * (y < -0.10) + 0.006 * waves(template, 90, identity.noise + 5)
    height = height + _style_line(style, x, y)
    thickness = _THICKNESS[style] * (identity.volume if style != "buzz cut" else 1.0)
    growth = thickness * np.clip(0.25 + height / 0.035, 0.15, 1) * (1 + 0.3 * waves(template, 60, identity.noise + 6))
    growth = growth + np.clip(thickness - 0.006, 0, 0.012) * np.clip((z - 0.06) / 0.04, 0, 1)
    if style == "quiff":
        growth = growth + 0.035 * identity.volume * np.clip((z - 0.06) / 0.04, 0, 1) * np.clip((-y - 0.03) / 0.08, 0, 1)
    elif style == "side part":
        growth = growth + 0.02 * np.clip((z - 0.05) / 0.04, 0, 1) * np.clip(x / 0.05 * (1 if identity.noise % 2 else -1) + 0.4, 0, 1)
    elif style in ("curly", "afro"):
        growth = growth * (1 + 0.25 * waves(template, 110, identity.noise + 7))
    if wardrobe.outfit.hat is not None:
        growth = np.minimum(growth, 0.014)
        height = np.minimum(height, 0.055 - z)
    base = wardrobe.shape.vertices[rows]
    vertices = base + vertex_normals(base, surface.faces) * growth[:, None].astype(np.float32)
    if style not in ("buzz cut", "curly", "afro"):
        vertices = surface.smooth(vertices, 0.4, 2)
    wardrobe.add_shell(surface, vertices, height.astype(np.float32), material, two_sided=True)


def _style_line(style: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much lower than the common hairline a style reaches, metres."""
    back = y > -0.085
    if style in ("bob", "shoulder-length", "long"):
        return 0.05 * back
    if style in ("curly", "afro"):
        return 0.018 * back
    if style in ("quiff", "ponytail", "bun"):
        return -0.006 + 0 * x
    return 0 * x


def _add_curtain(wardrobe: Wardrobe, frame: HeadFrame, end: float, material: Material) -> None:
    """Hair hanging down the sides and back of the head to height ``end``."""
    identity = wardrobe.identity
    z = np.linspace(0.955, end - 0.01, max(8, int((0.955 - end) / 0.022)))
    angle = np.linspace(-1, 1, 27)
    zz, aa = np.meshgrid(z, angle, indexing="ij")
    reach = np.interp(zz, [0.74, 0.84, 0.9, 0.93, 0.96], [2.05, 2.0, 1.85, 1.6, 1.2])
    aa = aa * reach
    volume = 0.012 * identity.volume
    dome = np.sqrt(np.clip(1 - ((zz - 0.89) / 0.125).clip(0, 1) ** 2, 0.1, 1))
    width = (np.interp(zz, [0.5, 0.66, 0.76, 0.86, 0.9], [0.115, 0.108, 0.094, 0.088, 0.082]) + volume) * dome
    back = np.interp(zz, [0.45, 0.6, 0.68, 0.76, 0.9], [0.135, 0.128, 0.105, 0.072, 0.052]) + volume
    centre = -0.053
    wave = 0.006 * np.sin(aa * 9 + zz * 40 + identity.noise % 7) * np.clip((0.9 - zz) / 0.1, 0, 1)
    y = np.where(np.cos(aa) > 0, centre + (back - centre) * np.cos(aa) * dome, centre + 0.10 * np.cos(aa) * dome)
    points = np.stack([(width + wave) * np.sin(aa), y + wave, zz], -1).reshape(-1, 3)
    ragged = end + 0.012 * waves(points * np.array([1, 1, 0]), 60, identity.noise)
    torso = np.clip((0.74 - points[:, 2]) / 0.12, 0, 0.85).astype(np.float32)
    cut = points[:, 2] - ragged
    if wardrobe.outfit.hat is not None:
        cut = np.minimum(cut, 0.93 - points[:, 2])
    faces = grid_faces(len(z), len(angle))
    wardrobe.add_rigid(frame(points), faces, {"head": 1 - torso, "spine01": torso}, points, material, two_sided=True, cut=cut)


def _add_tube(wardrobe: Wardrobe, frame: HeadFrame, path: np.ndarray, radius: np.ndarray, material: Material) -> None:
    angle = np.linspace(0, 2 * np.pi, 9)
    direction = np.gradient(path, axis=0)
    side = np.array([1.0, 0, 0])
    points = []
    for centre, along, r in zip(path, direction, radius, strict=True):
        up = np.cross(side, along / np.sqrt((along * along).sum()))
        points.append(centre + r * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up))
    flat = np.concatenate(points)
    torso = np.clip((0.78 - flat[:, 2]) / 0.15, 0, 0.6).astype(np.float32)
    wardrobe.add_rigid(
        frame(flat), grid_faces(len(path), len(angle)), {"head": 1 - torso, "spine01": torso}, flat, material, two_sided=True
    )


def ellipsoid(centre: np.ndarray, radius: np.ndarray, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) and faces of an ellipsoid; ``power`` below 1 makes it boxy."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 9), np.linspace(0, 2 * np.pi, 15), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1).reshape(-1, 3)
    unit = np.sign(unit) * np.abs(unit) ** power
    faces = grid_faces(9, 15)
    return centre + unit * radius, faces


def add_hat(wardrobe: Wardrobe, hat: Wearable) -> None:
    """A cap with a peak, a beanie or a sun hat."""
    body, surface = wardrobe.body, wardrobe.body.scalp
    rows, frame = surface.rows, HeadFrame(wardrobe)
    z = body.template[rows, 2] - body.eye_centre[2]
    border = {"cap": 0.045, "beanie": 0.03, "sun hat": 0.05}[hat.kind]
    cut = np.minimum(body.hairline[rows] + 0.03, z - border)
    base = wardrobe.shape.vertices[rows]
    normals = vertex_normals(base, surface.faces)
    vertices = surface.smooth(base + normals * np.float32(0.02), 0.5, 4) + normals * np.float32(0.008)
    material = Material(labels.HAT, "top", hat.fabric)
    wardrobe.add_shell(surface, vertices, cut.astype(np.float32), material)
    eye = body.eye_centre[2]
    if hat.kind == "cap":
        angle = np.linspace(-1.25, 1.25, 13)
        inner, outer = (0.088, 0.11, eye + 0.052), (0.098, 0.20, eye + 0.038)
    elif hat.kind == "sun hat":
        angle = np.linspace(-np.pi, np.pi, 29)
        inner, outer = (0.085, 0.105, eye + 0.06), (0.16, 0.19, eye + 0.035)
    else:
        return
    rings = [np.stack([w * np.sin(angle), -0.055 - d * np.cos(angle), np.full_like(angle, h)], 1) for w, d, h in (inner, outer)]
    points = np.concatenate(rings)
    wardrobe.add_rigid(frame(points), grid_faces(2, len(angle)), {"head": 1.0}, points, material, two_sided=True)


def add_glasses(wardrobe: Wardrobe, shape: str, dark: bool) -> None:
    """Spectacles of a shape (``round``, ``square``, ``wide``), or sunglasses when ``dark``."""
    frame = HeadFrame(wardrobe)
    eye = frame.eye
    width, height, power = {"round": (0.026, 0.026, 1.0), "square": (0.029, 0.021, 0.45), "wide": (0.033, 0.018, 0.7)}[shape]
    angle = np.linspace(0, 2 * np.pi, 17)
    outline = np.stack(
        [np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power, np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power], 1
    )
    material = Material(labels.GLASSES, "glasses")
    for sign in (1.0, -1.0):
        inner = 0.0 if dark else 0.78
        rings = []
        for scale in (inner, 1.1):
            flat = outline * np.array([width, height]) * scale
            curve = -0.168 + 1.2 * np.clip(np.abs(flat[:, 0] + 0.031) - 0.02, 0, 1) ** 1.5
            rings.append(np.stack([sign * (eye[0] + flat[:, 0]), curve, eye[2] - 0.002 + flat[:, 1]], 1))
        points = np.concatenate(rings)
        wardrobe.add_rigid(frame(points), grid_faces(2, len(angle)), {"head": 1.0}, points, material, two_sided=True)
        x0 = eye[0] + width
        temple = np.array([[x0, -0.162, 0.005], [x0, -0.162, -0.003], [0.084, -0.06, 0.008], [0.084, -0.06, 0.0]])
        temple[:, 2] += eye[2]
        temple[:, 0] *= sign
        wardrobe.add_rigid(frame(temple), grid_faces(2, 2), {"head": 1.0}, temple, material, two_sided=True)
    bridge = np.array([[-0.01, -0.172, 0.004], [-0.01, -0.172, -0.003], [0.01, -0.172, 0.004], [0.01, -0.172, -0.003]])
    bridge[:, 2] += eye[2]
    wardrobe.add_rigid(frame(bridge), grid_faces(2, 2), {"head": 1.0}, bridge, material, two_sided=True)
