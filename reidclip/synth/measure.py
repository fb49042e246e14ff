"""Body measurements of a shape, in metres, as an anthropometrist would take them."""

from __future__ import annotations

import cv2
import numpy as np

from reidclip.synth.body import BodyModel, Shape
from reidclip.synth.mesh import FloatArray

_DENSITY = 985.0  # kg per cubic metre


def measure(body: BodyModel, shape: Shape) -> dict[str, float]:
    """Stature, breadths, girths and limb lengths in metres, mass in kg, and ratios of them."""
    rows = body.body.rows
    points = shape.vertices[rows]
    joint = {name: shape.joints[i].astype(np.float64) for name, i in body.joint_index.items()}
    sole, crown = float(points[:, 2].min()), float(points[:, 2].max())
    stature = crown - sole
    hip, neck = float(joint["upperleg01.L"][2]), float(joint["neck01"][2])
    trunk = neck - hip
    waist, chest = (_girth(body, points, hip + share * trunk) for share in (0.27, 0.66))
    hips = max(_girth(body, points, hip + share * trunk) for share in (-0.1, -0.05, 0.0, 0.05))
    shoulders = _distance(joint["upperarm01.L"], joint["upperarm01.R"])
    arm = _distance(joint["upperarm01.L"], joint["lowerarm01.L"]) + _distance(joint["lowerarm01.L"], joint["wrist.L"])
    mass = _volume(points, body.body.faces) * _DENSITY
    values = {
        "stature_m": stature,
        "mass_kg": mass,
        "bmi": mass / stature**2,
        "shoulder_breadth_m": shoulders,
        "chest_girth_m": chest,
        "waist_girth_m": waist,
        "hip_girth_m": hips,
        "leg_length_m": hip - sole,
        "arm_length_m": arm,
        "head_height_m": crown - float(joint["neck01"][2]),
        "leg_ratio": (hip - sole) / stature,
        "shoulder_ratio": shoulders / stature,
        "waist_hip_ratio": waist / hips,
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum()))


def _girth(body: BodyModel, points: FloatArray, height: float) -> float:
    """Length of a tape around trunk or hips at a height: the hull of the section, arms left out."""
    local = ~body.is_arm[body.body.rows]
    faces = body.body.faces[local[body.body.faces].all(1)]
    corner = points[faces]
    above = corner[:, :, 2] - height
    crossed = (above.min(1) < 0) & (above.max(1) > 0)
    corner, above = corner[crossed], above[crossed]
    section = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        rows = above[:, i] * above[:, j] < 0
        share = above[rows, i] / (above[rows, i] - above[rows, j])
        section.append((corner[rows, i] + share[:, None] * (corner[rows, j] - corner[rows, i]))[:, :2])
    flat = np.concatenate(section).astype(np.float32)
    if len(flat) < 3:
        return 0.0
    return float(cv2.arcLength(cv2.convexHull(flat), True))


def _volume(points: FloatArray, faces: np.ndarray) -> float:
    """Volume of the mesh in cubic metres; its few small openings matter little."""
    a, b, c = (points[faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.abs((a * np.cross(b, c)).sum()) / 6)


def build_words(values: dict[str, float], muscle: float, male: bool) -> tuple[str, str]:
    """Words for build and height, from measurements (the muscle slider decides "athletic" together with girth)."""
    bmi, stature = values["bmi"], values["stature_m"]
    if bmi < 19.0:
        build = "slim"
    elif bmi > 27.5:
        build = "heavy"
    elif muscle > 0.68 and values["shoulder_ratio"] > (0.2 if male else 0.19):
        build = "athletic"
    elif bmi > 24.5:
        build = "stocky"
    else:
        build = "average"
    low, high = (1.70, 1.83) if male else (1.58, 1.69)
    return build, "short" if stature < low else "tall" if stature > high else "medium height"
