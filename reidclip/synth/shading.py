"""Deferred shading: label and lit colour of every covered sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.synth import labels
from reidclip.synth.fabric import paint_fabric
from reidclip.synth.figure import Figure, Material
from reidclip.synth.identity import Identity
from reidclip.synth.mesh import FloatArray, unit
from reidclip.synth.noise import waves
from reidclip.synth.raster import Hits
from reidclip.synth.skin import hair_rgb, in_lens, paint_eyes, paint_skin, skin_labels


@dataclass(frozen=True)
class Daylight:
    """Ranges from which the light of a picture is drawn: strength of the ambient and of the key light, and the key light's warmth."""

    ambient: tuple[float, float] = (0.55, 0.75)
    key: tuple[float, float] = (0.3, 0.65)
    warmth: float = 0.0


USUAL_DAYLIGHT = Daylight()


@dataclass(frozen=True)
class Light:
    """A key light and an ambient dome.

    Attributes:
        direction: (3,) unit vector towards the key light.
        ambient, key: strengths.
        colour: (3,) tint of the key light.
    """

    direction: FloatArray
    ambient: float
    key: float
    colour: FloatArray


def sample_light(rng: np.random.Generator, forward: FloatArray, daylight: Daylight = USUAL_DAYLIGHT) -> Light:
    """Draw the light of a picture; mostly from the camera's side so that faces are lit."""
    toward = np.arctan2(-forward[1], -forward[0]) + rng.normal(0, 1.1)
    height = np.deg2rad(rng.uniform(30, 75))
    direction = np.array([np.cos(toward) * np.cos(height), np.sin(toward) * np.cos(height), np.sin(height)], np.float32)
    warm = daylight.warmth + rng.normal(0, 0.03)
    colour = np.array([1 + warm, 1, 1 - warm], np.float32)
    return Light(direction, float(rng.uniform(*daylight.ambient)), float(rng.uniform(*daylight.key)), colour)


def shade(
    figure: Figure, normals: FloatArray, hits: Hits, identity: Identity, eye: FloatArray, light: Light, forward: FloatArray
) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.uint8]]:
    """Colours and labels of the hits.

    Args:
        figure: the dressed person.
        normals: (N, 3) posed vertex normals.
        hits: what the rasteriser saw.
        identity: for skin, hair and eyes.
        eye: (3,) centre of the template's left eye.
        light: the light.
        forward: (3,) viewing direction.

    Returns:
        Pixel numbers (n,), colours (n, 3) in linear-ish [0, ~1.3] and LIP labels (n,), all in the same new order.
    """
    # Sorted by material, each material's fragments are one slice.
    material_of = figure.face_material[hits.face].astype(np.uint8)
    order = np.argsort(material_of, kind="stable")
    corner, weight = figure.faces[hits.face[order]], hits.weight[order]
    known = np.concatenate([figure.coords, normals, figure.arm[:, None]], 1)  # (N, 7), gathered together
    at = known[corner[:, 0]] * weight[:, :1]
    at += known[corner[:, 1]] * weight[:, 1:2]
    at += known[corner[:, 2]] * weight[:, 2:]
    coords, normal, arm = np.ascontiguousarray(at[:, :3]), unit(at[:, 3:6]), at[:, 6]
    colour = np.empty((len(corner), 3), np.float32)
    gloss = np.zeros(len(corner), np.float32)
    label = np.empty(len(corner), np.uint8)
    ends = np.cumsum(np.bincount(material_of, minlength=len(figure.materials)))
    for material, start, end in zip(figure.materials, [0, *ends[:-1]], ends, strict=True):
        if end > start:
            part = slice(start, end)
            label[part] = material.label if material.label >= 0 else skin_labels(coords[part], arm[part])
            colour[part], gloss[part] = _paint(material, identity, coords[part], eye)
    if identity.glasses != "none":
        seen = (label == labels.FACE) & in_lens(identity, coords, eye)
        label[seen] = labels.GLASSES
        colour[seen] = colour[seen] * np.float32(0.9) + np.float32(0.05)
    return hits.pixel[order], lit(colour, gloss, normal, light, forward), label


def _paint(material: Material, identity: Identity, coords: FloatArray, eye: FloatArray) -> tuple[FloatArray, float]:
    """Base colour (n, 3) and strength of the highlight."""
    painter, fabric = material.painter, material.fabric
    if painter == "skin":
        return paint_skin(identity, coords, float(eye[2])), 0.10
    if painter == "eye":
        return paint_eyes(identity, coords, eye), 0.15
    if painter == "hair":
        return _paint_hair(identity, coords), 0.16
    if painter == "glasses":
        return np.full((len(coords), 3), 0.05, np.float32), 0.3
    assert fabric is not None
    if painter in ("top", "shirt", "leg", "skirt"):
        return paint_fabric(fabric, coords, painter), 0.0
    colour = np.tile(fabric.rgb, (len(coords), 1))
    if painter == "shoe":
        sole = coords[:, 2] < -0.815
        colour[sole] = (0.85, 0.85, 0.83) if fabric.seed % 2 else (0.13, 0.12, 0.12)
        if fabric.seed % 3 == 0:  # a stripe on the side
            colour[(np.abs(coords[:, 1] + 0.08) < 0.014) & ~sole] = fabric.second_rgb
    elif painter == "bag":
        colour *= (1 + np.float32(0.12) * waves(coords, 60, fabric.seed))[:, None]
    return colour, 0.06


def _paint_hair(identity: Identity, coords: FloatArray) -> FloatArray:
    # Strands run down the head: fast variation around it, slow along it.
    strand = waves(coords * np.array([3, 3, 0.35], np.float32), 45, identity.noise + 1)
    lock = waves(coords * np.array([1, 1, 0.3], np.float32), 40, identity.noise + 2)
    colour = np.tile(hair_rgb(identity), (len(coords), 1)) * (1 + 0.26 * strand + 0.2 * lock)[:, None]
    return colour.astype(np.float32)


def lit(colour: FloatArray, gloss: FloatArray, normal: FloatArray, light: Light, forward: FloatArray) -> FloatArray:
    """Shaded colours (n, 3) of fragments.

    Args:
        colour: (n, 3) of the surface.
        gloss: (n,) strength of the highlight.
        normal: (n, 3) unit vectors; those that look away from the camera are turned round.
        light: the light.
        forward: (3,) viewing direction.
    """
    facing = -(normal[:, 0] * forward[0] + normal[:, 1] * forward[1] + normal[:, 2] * forward[2])
    flip = np.where(facing < -0.1, np.float32(-1), np.float32(1))  # insides of open cloth
    n = normal * flip[:, None]
    toward = light.direction
    diffuse = np.clip(n[:, 0] * toward[0] + n[:, 1] * toward[1] + n[:, 2] * toward[2], 0, 1)
    half = toward - forward
    half = half / np.sqrt((half * half).sum())
    shine = np.clip(n[:, 0] * half[0] + n[:, 1] * half[1] + n[:, 2] * half[2], 0, 1) ** 16 * gloss
    edge = 0.7 + 0.3 * np.abs(facing)
    base = (light.ambient * (0.78 + 0.22 * n[:, 2])) * edge
    lit = colour * (base[:, None] + (light.key * diffuse * edge)[:, None] * light.colour)
    return np.asarray(lit + (light.key * shine)[:, None], np.float32)
