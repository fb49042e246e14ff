"""Painting of bare skin: face features, beard, and which LIP label the skin of a limb gets.

Positions are on the template body (metres): eyes at x = +-0.033, z = 0.88; lips at z = 0.807; the face looks to -y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidclip.synth import labels
from reidclip.synth.colours import HAIR, IRIS, rgb, skin_rgb
from reidclip.synth.identity import Identity
from reidclip.synth.mesh import FloatArray
from reidclip.synth.noise import waves

_MOUTH = 0.8075
_EYE_X = 0.0329


def hair_rgb(identity: Identity) -> FloatArray:
    """Colour of the person's hair."""
    return np.asarray(np.clip(rgb(HAIR[identity.hair_colour]) * identity.hair_shade, 0, 1), np.float32)


def skin_labels(coords: FloatArray, arm: FloatArray) -> NDArray[np.uint8]:
    """LIP labels of skin fragments; head, neck and chest count as face, as LIP-trained parsers have it."""
    left = coords[:, 0] > 0
    out = np.full(len(coords), labels.FACE, np.uint8)
    leg = coords[:, 2] < 0.14
    out[leg & left], out[leg & ~left] = labels.LEFT_LEG, labels.RIGHT_LEG
    is_arm = arm > 0.015
    out[is_arm & left], out[is_arm & ~left] = labels.LEFT_ARM, labels.RIGHT_ARM
    return out


def paint_skin(identity: Identity, coords: FloatArray, eye_z: float) -> FloatArray:
    """Base colours (n, 3) of skin fragments at template positions (n, 3)."""
    colour = np.tile(skin_rgb(identity.tone), (len(coords), 1))
    colour *= (1 + np.float32(0.05) * waves(coords, 25, identity.noise))[:, None]
    head = np.nonzero((coords[:, 2] > eye_z - 0.16) & (coords[:, 1] < -0.03))[0]
    if len(head):
        colour[head] = _paint_face(identity, coords[head], colour[head], eye_z)
    return colour


def _paint_face(identity: Identity, coords: FloatArray, colour: FloatArray, eye_z: float) -> FloatArray:
    x, y, z = coords[:, 0], coords[:, 1], coords[:, 2] - np.float32(eye_z)
    side = np.abs(x)
    front = y < -0.10
    # Eye sockets, sides of the nose and the shadow under it and under the lower lip give the face relief.
    socket = front & (np.abs(side - _EYE_X) < 0.024) & (np.abs(z - 0.004) < 0.015)
    colour[socket] *= np.float32(0.74)
    nose = front & (side > 0.009) & (side < 0.02) & (z < -0.002) & (z > -0.05)
    colour[nose] *= np.float32(0.84)
    nostril = front & (side < 0.017) & (z < -0.046) & (z > -0.056)
    colour[nostril] *= np.float32(0.66)
    cheek = front & (side > 0.03) & (z < -0.03) & (z > -0.07)
    colour[cheek] *= np.array([1.03, 0.95, 0.94], np.float32)
    if identity.age == "old":
        crease = front & (np.abs(side - (0.022 - 0.3 * (z + 0.045))) < 0.0022) & (z < -0.045) & (z > -0.09)
        colour[crease | (front & (side < 0.05) & (np.abs(np.mod(z - 0.045, 0.014) - 0.007) < 0.0015) & (z > 0.045))] *= np.float32(0.82)
    colour = _paint_beard(identity, coords, colour, z)
    colour = _paint_mouth(identity, colour, side, y, z + np.float32(eye_z))
    brow_height = 0.025 + identity.brow_tilt * (side - 0.033) + 0.005 * np.sin(np.clip((side - 0.012) / 0.043, 0, 1) * 3.1)
    brow = front & (side > 0.011) & (side < 0.055) & (np.abs(z - brow_height) < identity.brow)
    colour[brow] = hair_rgb(identity) * np.float32(0.62) + np.float32(0.06) * skin_rgb(identity.tone)
    lash = front & (np.abs(side - _EYE_X) < 0.019) & (np.abs(z - 0.0085 + 18 * (side - _EYE_X) ** 2) < 0.0028)
    colour[lash] *= np.float32(0.3)
    return colour


def _paint_mouth(identity: Identity, colour: FloatArray, side: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    front = y < -0.135
    shape = (side / 0.027) ** 2 + ((z - _MOUTH) / 0.0125) ** 2
    lips = front & (shape < 1)
    natural = skin_rgb(identity.tone) * np.array([0.86, 0.6, 0.58], np.float32)
    painted = np.array([0.72, 0.14, 0.2], np.float32)
    amount = np.float32(max(0.0, identity.lip - 0.35) / 0.65)
    colour[lips] = natural * (1 - amount) + painted * amount
    line = front & (side < 0.027) & (np.abs(z - _MOUTH - 0.001) < 0.0017)
    colour[line] *= np.float32(0.45)
    chin = front & (side < 0.018) & (z < _MOUTH - 0.013) & (z > _MOUTH - 0.021)
    colour[chin] *= np.float32(0.88)
    return colour


def _paint_beard(identity: Identity, coords: FloatArray, colour: FloatArray, z: FloatArray) -> FloatArray:
    if identity.beard == "none":
        return colour
    side, y = np.abs(coords[:, 0]), coords[:, 1]
    rise = 0.42 * np.clip(side - 0.03, 0, 0.04)  # the beard's edge climbs towards the ears
    jaw = (z < -0.062 + rise) & (z > -0.145) & (y < -0.055)
    moustache = (z < -0.054) & (z > -0.071) & (side < 0.032) & (y < -0.135)
    area = {"stubble": jaw | moustache, "full": jaw | moustache, "moustache": moustache, "goatee": (jaw & (side < 0.03)) | moustache}[
        identity.beard
    ]
    if identity.beard in ("goatee", "full", "stubble"):
        area = area & ~((z > -0.062) & (z < -0.054) & (side < 0.006))
    amount = np.float32(0.42 if identity.beard == "stubble" else 0.9)
    texture = 1 + 0.25 * waves(coords, 260, identity.noise + 9)
    colour[area] = colour[area] * (1 - amount) + (hair_rgb(identity) * np.float32(0.85) * amount) * texture[area][:, None]
    return colour


def paint_eyes(identity: Identity, coords: FloatArray, eye: FloatArray) -> FloatArray:
    """Base colours (n, 3) of eyeball fragments."""
    x, z = np.abs(coords[:, 0]) - eye[0], coords[:, 2] - eye[2]
    radius = np.sqrt(x * x + z * z)
    colour = np.tile(np.array([0.9, 0.89, 0.87], np.float32), (len(coords), 1))
    colour[radius < 0.0085] = rgb(IRIS[identity.iris])
    colour[radius < 0.004] = 0.04
    colour[z > 0.006] *= np.float32(0.55)
    return colour


def in_lens(identity: Identity, coords: FloatArray, eye: FloatArray) -> NDArray[np.bool_]:
    """Fragments of the face seen through the lenses of spectacles, (n,)."""
    x, z = (np.abs(coords[:, 0]) - eye[0]) / 0.027, (coords[:, 2] - eye[2] + 0.002) / 0.021
    inside: NDArray[np.bool_] = (x * x + z * z < 1) & (coords[:, 1] < -0.11)
    return inside
