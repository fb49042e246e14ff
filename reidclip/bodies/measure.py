"""Measurements of any body model's bodies in the canonical pose, from the surface, the joints and the skinning weights.

Heights are along z. ``t`` is a level of the trunk: 0 at the hip joints, 1 at the neck joint. A girth is the length of a tape, the perimeter
of the hull of a plane section; the arms are left out of those of the trunk (vertices with more than half their weight on arm joints).

====================  ==================================================================================================================
name                  definition
====================  ==================================================================================================================
stature_m             highest less lowest point of the surface, bare feet
mass_kg               volume of the surface times 985 kg/m3; small openings (eyes, mouth) matter little
bmi                   mass / stature^2
ponderal_index        mass / stature^3
shoulder_breadth_m    between the shoulder joints
chest_girth_m         the largest horizontal section of the chest region, up to below the armpits: over the bust
under_bust_girth_m    the section at one level right below that region
waist_girth_m         the smallest section between hip and chest, t in 0.15 .. 0.5
hip_girth_m           the largest section about the hip joints, t in -0.15 .. 0.1, around both legs
upper_arm_girth_m     section half-way from shoulder to elbow, perpendicular to the arm; mean of both
thigh_girth_m         section half-way from hip to knee, perpendicular to the thigh; mean of both
calf_girth_m          largest section 0.15 .. 0.5 of the way from knee to ankle, perpendicular to the shank; mean of both
leg_length_m          height of the hip joints over the sole (lowest point)
torso_length_m        height of the neck joint over the hip joints
arm_length_m          shoulder to elbow to wrist joint; mean of both
neck_length_m         neck joint (root of the neck) to head joint (base of the skull)
head_height_m         highest point over the neck joint
waist_height_m        height over the sole of the waist's section
====================  ==================================================================================================================

Ratios: ``leg_ratio``, ``torso_ratio``, ``arm_ratio``, ``neck_ratio``, ``shoulder_ratio``, ``waist_height_ratio``: over stature.
``limb_girth_ratio``: mean of upper arm's and calf's girth over stature. ``curve_ratio``: mean of chest and hip girth over the waist's.
``waist_hip_ratio``, ``hip_waist_ratio``, ``chest_waist_ratio``: of girths. ``bust_ratio``: chest girth over under-bust girth.
``stature_waist_ratio``: stature over waist girth.

They differ from `reidclip.synth.measure`, whose numbers published sets rest on, where that takes trunk sections at fixed levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reidclip.bodies.sections import across, edges_of, girths

DENSITY = 985.0  # kg/m3, of the whole body; that of `reidclip.synth.measure`
_WAIST = np.linspace(0.15, 0.5, 36)
_HIP = np.linspace(-0.15, 0.1, 6)
_CALF = np.linspace(0.15, 0.5, 8)
_UPRIGHT = np.eye(3)


@dataclass(frozen=True)
class Landmarks:
    """Which joints of a model are which; pairs are left, right.

    Attributes:
        arms: names of the joints from the shoulder to the hand, by side.
        legs: those from the hip to the foot, by side.
        chest: levels t of the trunk between which the bust is looked for; models place their hip and neck joints differently.
        under_bust: level t of the section under it.
    """

    hips: tuple[str, str]
    knees: tuple[str, str]
    ankles: tuple[str, str]
    shoulders: tuple[str, str]
    elbows: tuple[str, str]
    wrists: tuple[str, str]
    neck: str
    head: str
    arms: tuple[tuple[str, ...], tuple[str, ...]]
    legs: tuple[tuple[str, ...], tuple[str, ...]]
    chest: tuple[float, float]
    under_bust: float


class Tape:
    """What measures the bodies of one model."""

    def __init__(self, faces: np.ndarray, weights: np.ndarray, joints: Sequence[str], landmarks: Landmarks) -> None:
        """See `Landmarks`.

        Args:
            faces: (F, 3) triangles.
            weights: (V, J) skinning weights.
            joints: J names.
            landmarks: of the model.
        """
        self._faces = faces
        self._marks = landmarks
        self._index = {name: number for number, name in enumerate(joints)}
        arms, legs = ([self._mostly(weights, side) for side in sides] for sides in (landmarks.arms, landmarks.legs))
        self._trunk_edges = edges_of(faces, ~(arms[0] | arms[1]))
        self._arm_edges = [edges_of(faces, part) for part in arms]
        self._leg_edges = [edges_of(faces, part) for part in legs]
        self._chest = np.linspace(*landmarks.chest, 8)
        self._levels = np.concatenate([_HIP, _WAIST, [landmarks.under_bust], self._chest])

    def _mostly(self, weights: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        return np.asarray(weights[:, [self._index[name] for name in names]].sum(1) > 0.5)

    def measure(self, vertices: np.ndarray, joints: np.ndarray) -> dict[str, np.ndarray]:
        """All measurements of the table above.

        Args:
            vertices: (B, V, 3) metres, canonical pose.
            joints: (B, J, 3) their joints.

        Returns:
            (B,) float64 by name.
        """
        rows = [self._one(points, at) for points, at in zip(vertices.astype(np.float64), joints.astype(np.float64), strict=True)]
        lengths = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
        lengths["mass_kg"] = volumes(vertices, self._faces) * DENSITY
        return lengths | _ratios(lengths)

    def _one(self, points: np.ndarray, joints: np.ndarray) -> dict[str, float]:
        """Lengths of one body: (V, 3) and (J, 3)."""
        marks, at = self._marks, {name: joints[number] for name, number in self._index.items()}
        sole, crown = float(points[:, 2].min()), float(points[:, 2].max())
        hip, neck = float(np.mean([at[name][2] for name in marks.hips])), float(at[marks.neck][2])
        heights = hip + self._levels * (neck - hip)
        around = girths(points, self._trunk_edges, _UPRIGHT, heights)
        hips, waist, under, chest = np.split(around, np.cumsum([len(_HIP), len(_WAIST), 1]))
        narrowest = int(waist.argmin())
        return {
            "stature_m": crown - sole,
            "shoulder_breadth_m": _distance(*(at[name] for name in marks.shoulders)),
            "chest_girth_m": float(chest.max()),
            "under_bust_girth_m": float(under[0]),
            "waist_girth_m": float(waist[narrowest]),
            "hip_girth_m": float(hips.max()),
            "upper_arm_girth_m": self._limb(points, at, self._arm_edges, marks.shoulders, marks.elbows, [0.5]),
            "thigh_girth_m": self._limb(points, at, self._leg_edges, marks.hips, marks.knees, [0.5]),
            "calf_girth_m": self._limb(points, at, self._leg_edges, marks.knees, marks.ankles, _CALF),
            "leg_length_m": hip - sole,
            "torso_length_m": neck - hip,
            "arm_length_m": self._arm_length(at),
            "neck_length_m": _distance(at[marks.neck], at[marks.head]),
            "head_height_m": crown - neck,
            "waist_height_m": float(heights[len(_HIP) + narrowest]) - sole,
        }

    def _arm_length(self, at: dict[str, np.ndarray]) -> float:
        marks = self._marks
        sides = zip(marks.shoulders, marks.elbows, marks.wrists, strict=True)
        return float(np.mean([_distance(at[a], at[b]) + _distance(at[b], at[c]) for a, b, c in sides]))

    @staticmethod
    def _limb(
        points: np.ndarray,
        at: dict[str, np.ndarray],
        edges: Sequence[np.ndarray],
        starts: tuple[str, str],
        ends: tuple[str, str],
        shares: Sequence[float] | np.ndarray,
    ) -> float:
        """Largest girth at the shares of the way between two joints, mean of both sides."""
        found = []
        for own, start, end in zip(edges, starts, ends, strict=True):
            axes = across(at[end] - at[start])
            low, high = float(axes[2] @ at[start]), float(axes[2] @ at[end])
            found.append(girths(points, own, axes, low + np.asarray(shares) * (high - low)).max())
        return float(np.mean(found))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum()))


def volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Volumes of closed meshes with outward faces, cubic metres: (B, V, 3), (F, 3) -> (B,), the signed tetrahedra over each triangle."""
    corners = [vertices[:, faces[:, k]].astype(np.float64) for k in range(3)]
    return np.asarray((corners[0] * np.cross(corners[1], corners[2])).sum((1, 2)) / 6)


def _ratios(of: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stature, waist, hip, chest = (of[f"{name}_m"] for name in ("stature", "waist_girth", "hip_girth", "chest_girth"))
    return {
        "bmi": of["mass_kg"] / stature**2,
        "ponderal_index": of["mass_kg"] / stature**3,
        "limb_girth_ratio": (of["upper_arm_girth_m"] + of["calf_girth_m"]) / 2 / stature,
        "shoulder_ratio": of["shoulder_breadth_m"] / stature,
        "leg_ratio": of["leg_length_m"] / stature,
        "torso_ratio": of["torso_length_m"] / stature,
        "arm_ratio": of["arm_length_m"] / stature,
        "neck_ratio": of["neck_length_m"] / stature,
        "waist_height_ratio": of["waist_height_m"] / stature,
        "curve_ratio": (chest + hip) / 2 / waist,
        "hip_waist_ratio": hip / waist,
        "waist_hip_ratio": waist / hip,
        "chest_waist_ratio": chest / waist,
        "stature_waist_ratio": stature / waist,
        "bust_ratio": chest / of["under_bust_girth_m"],
    }
