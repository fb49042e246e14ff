"""One picture of a dressed person: pose, project, rasterise, shade, compose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.synth.body import BodyModel
from reidclip.synth.camera import Projection, View
from reidclip.synth.compose import Response, cast_shadow, develop, downsample, occlude
from reidclip.synth.figure import Figure
from reidclip.synth.identity import Identity
from reidclip.synth.mesh import FloatArray
from reidclip.synth.pose import sample_pose
from reidclip.synth.raster import rasterise
from reidclip.synth.scenery import cut_background, scenery
from reidclip.synth.shading import USUAL_DAYLIGHT, Daylight, Light, sample_light, shade

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Setting:
    """Where and how a picture is taken.

    Attributes:
        view: the camera's place relative to the person.
        pose: name of the pose.
        place: number of the scenery.
        response: the camera's colours.
        occluded: whether something stands in front.
        faults: strength of blur and noise, see `develop`.
        daylight: what its light is drawn from.
    """

    view: View
    pose: str
    place: int
    response: Response
    occluded: bool
    faults: float = 1.0
    daylight: Daylight = USUAL_DAYLIGHT


@dataclass(frozen=True)
class Picture:
    """A rendered picture.

    Attributes:
        image: (H, W, 3) RGB.
        label: (H, W) LIP labels.
        box: x, y, width, height in pixels of the labelled person.
        place: kind of the scenery.
        occluder: what stands in front; empty for nothing.
        quality: JPEG quality to write it with.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    place: str
    occluder: str
    quality: int


def posed(body: BodyModel, figure: Figure, rotations: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Skinned vertices (N, 3), standing on z = 0, and normals (N, 3)."""
    transforms = body.transforms(figure.joints, rotations)
    # einsum, not BLAS: for so little work BLAS threads cost forty times what they compute.
    blended = np.einsum("jn,jk->kn", figure.skin, transforms.reshape(len(transforms), 12))  # (12, N)
    x, y, z = figure.vertices.T
    nx, ny, nz = figure.normals.T
    vertices, normals = np.empty_like(figure.vertices), np.empty_like(figure.vertices)
    for axis in range(3):
        a, b, c, d = blended[4 * axis : 4 * axis + 4]
        vertices[:, axis] = a * x + b * y + c * z + d
        normals[:, axis] = a * nx + b * ny + c * nz
    vertices[:, 2] -= vertices[:, 2].min()
    return vertices, normals


def render(
    body: BodyModel, figure: Figure, identity: Identity, setting: Setting, rng: np.random.Generator, height: int, width: int
) -> Picture:
    """Take one picture."""
    rotations = sample_pose(body, rng, identity.habit, setting.pose)
    vertices, normals = posed(body, figure, rotations)
    factor = SUPERSAMPLING
    project = Projection(setting.view, vertices, height * factor, width * factor)
    points = project(vertices)
    hits = rasterise(points, figure.faces, height * factor, width * factor, figure.cut, figure.two_sided)
    light = sample_light(rng, project.forward, setting.daylight)
    pixel, colour, label = shade(figure, normals, hits, identity, body.eye_centre, light, project.forward)
    mean, coverage, label_map = downsample(pixel, colour, label, height, width, factor)
    place = scenery(setting.place)
    foot = float(np.clip(project.horizon + rng.uniform(0.15, 0.45), rng.uniform(0.12, 0.4), 0.93))
    image = cut_background(place, rng, height, width, foot) * np.float32(rng.uniform(0.85, 1.12))
    _shadow(image, project, vertices, light, rng)
    image = image * (1 - coverage[..., None]) + mean
    occluder = occlude(image, label_map, rng) if setting.occluded else ""
    return Picture(
        develop(image, setting.response, rng, setting.faults), label_map, _box(label_map), place.kind, occluder,
        int(rng.integers(*setting.response.optics.quality)),
    )  # fmt: skip


def _shadow(image: FloatArray, project: Projection, vertices: FloatArray, light: Light, rng: np.random.Generator) -> None:
    """Project parts of the body onto the ground along the light and darken the background there."""
    sparse = vertices[::7]
    fall = sparse[:, 2:3] * (light.direction / max(float(light.direction[2]), 0.3))
    ground = (sparse - fall).astype(np.float32)
    ground[:, 2] = 0
    flat = project(ground)[:, :2] / np.float32(SUPERSAMPLING)
    height = sparse[:, 2] / max(float(sparse[:, 2].max()), 1e-6)
    left = sparse[:, 0] > np.median(sparse[:, 0])
    bands = [(0.0, 0.3, left), (0.0, 0.3, ~left), (0.25, 0.6, left | ~left), (0.5, 0.85, left | ~left), (0.83, 1.01, left | ~left)]
    outlines = [flat[(height >= low) & (height <= high) & side] for low, high, side in bands]
    feet = []
    near = vertices[vertices[:, 2] < 0.10]
    middle = np.median(near[:, 0])
    for side in (near[near[:, 0] > middle], near[near[:, 0] <= middle]):
        if len(side):
            centre = side.mean(0) * np.array([1, 1, 0], np.float32)
            reach = np.array([[0, 0, 0], [0.14, 0, 0], [0, 0.17, 0]], np.float32)
            feet.append(project(centre + reach)[:, :2] / np.float32(SUPERSAMPLING))
    strength = float(rng.uniform(0, 0.45)) * (rng.random() < 0.6)
    cast_shadow(image, [o for o in outlines if len(o) > 2], feet, strength, project.scale / SUPERSAMPLING)


def _box(label: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(label.any(1))[0], np.nonzero(label.any(0))[0]
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
