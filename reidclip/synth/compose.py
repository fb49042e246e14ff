"""From samples to a photograph: downsampling, shadows, occluders, and the faults of a surveillance camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reidclip.synth import labels
from reidclip.synth.mesh import FloatArray

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Optics:
    """What a camera and its recorder do to detail.

    Attributes:
        scales, shares: resolutions at which people are seen, as shares of the picture's own, and how often each occurs.
        noise: most noise, as a standard deviation in [0, 1].
        quality: range of the JPEG quality.
    """

    scales: tuple[float, ...] = (1.0, 0.85, 0.7, 0.5)
    shares: tuple[float, ...] = (0.55, 0.2, 0.17, 0.08)
    noise: float = 0.016
    quality: tuple[int, int] = (70, 96)


USUAL_OPTICS = Optics()


@dataclass(frozen=True)
class Response:
    """What a camera does to colours; mild, so that a camera is recognisable but does not hide the person.

    Attributes:
        cast: (3,) gain per channel.
        gain: brightness.
        gamma: contrast.
        softness: extra blur in pixels.
        optics: resolution, noise and compression.
    """

    cast: tuple[float, float, float]
    gain: float
    gamma: float
    softness: float
    optics: Optics = USUAL_OPTICS


def sample_response(rng: np.random.Generator) -> Response:
    """Draw a camera."""
    r, g, b = (float(v) for v in np.clip(1 + rng.normal(0, 0.035, 3), 0.9, 1.1))
    return Response((r, g, b), float(rng.uniform(0.92, 1.1)), float(rng.uniform(0.88, 1.12)), float(rng.uniform(0, 0.35)))


def downsample(
    pixel: NDArray[np.int64], colour: FloatArray, label: UInt8, height: int, width: int, factor: int
) -> tuple[FloatArray, FloatArray, UInt8]:
    """Average colours and take the majority label over ``factor`` x ``factor`` samples.

    Both come from the same samples, so picture and label map are aligned by construction.

    Args:
        pixel: (n,) indices of covered samples in the (height * factor, width * factor) grid.
        colour: (n, 3).
        label: (n,) LIP labels.

    Returns:
        Premultiplied colour (height, width, 3), coverage (height, width) in [0, 1], labels (height, width).
    """
    wide = width * factor
    samples = np.zeros((height * factor * wide, 3), np.float32)
    samples[pixel] = colour
    covered = np.zeros(height * factor * wide, np.float32)
    covered[pixel] = 1
    ids = np.zeros(height * factor * wide, np.uint8)
    ids[pixel] = label
    size = (width, height)
    mean = cv2.resize(samples.reshape(-1, wide, 3), size, interpolation=cv2.INTER_AREA)
    coverage = cv2.resize(covered.reshape(-1, wide), size, interpolation=cv2.INTER_AREA)
    return np.asarray(mean, np.float32), np.asarray(coverage, np.float32), majority(ids.reshape(-1, wide), factor)


def majority(ids: UInt8, factor: int) -> UInt8:
    """Most frequent value of each factor x factor block (ties: the sample met first), (H*f, W*f) -> (H, W)."""
    samples = [ids[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    best = samples[0].copy()
    most = np.ones(best.shape, np.uint8)
    for other in samples[1:]:
        most += other == best
    for candidate in samples[1:]:
        count = np.zeros(best.shape, np.uint8)
        for other in samples:
            count += other == candidate
        better = count > most
        best[better] = candidate[better]
        most = np.maximum(most, count)
    return np.asarray(best, np.uint8)


def cast_shadow(image: FloatArray, outlines: list[FloatArray], feet: list[FloatArray], strength: float, scale: float) -> None:
    """Darken the ground in place: soft shadows of body parts, and contact shadows under the feet.

    Args:
        image: (H, W, 3).
        outlines: point sets (n, 2) of body parts projected onto the ground along the light; their hulls are filled.
        feet: ellipses (3, 2): centre and the ends of the two half-axes.
        strength: darkness of the directional shadow in [0, 1].
        scale: pixels per metre.
    """
    mask: FloatArray = np.zeros(image.shape[:2], np.float32)
    if strength > 0:
        for points in outlines:
            cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), strength)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.02 * scale)), np.float32)
    contact: FloatArray = np.zeros(image.shape[:2], np.float32)
    for centre, a, b in feet:
        axes = (int(max(abs(a[0] - centre[0]), abs(b[0] - centre[0]), 3)), int(max(abs(a[1] - centre[1]), abs(b[1] - centre[1]), 2)))
        cv2.ellipse(contact, (int(centre[0]), int(centre[1])), axes, 0, 0, 360, 0.6, -1)
    contact = np.asarray(cv2.GaussianBlur(contact, (0, 0), max(1.2, 0.025 * scale)), np.float32)
    image *= (1 - np.maximum(mask, contact))[..., None]


def occlude(image: FloatArray, label: UInt8, rng: np.random.Generator) -> str:
    """Put something between camera and person, in place; its pixels are background. Returns what it is."""
    height, width = label.shape
    mask = np.zeros((height, width), np.uint8)
    kind = str(rng.choice(["railing", "bicycle", "box", "pole", "bush"]))
    unit = max(1, width // 128)
    if kind == "railing":
        top = int(rng.uniform(0.55, 0.85) * height)
        for y in range(top, height, int(rng.uniform(10, 26) * unit)):
            cv2.line(mask, (0, y), (width, y + int(rng.integers(-8, 8)) * unit), 1, int(rng.integers(2, 5)) * unit)
        for x in range(int(rng.integers(0, 30)), width, int(rng.uniform(14, 50)) * unit):
            cv2.line(mask, (x, top), (x, height), 1, int(rng.integers(2, 5)) * unit)
    elif kind == "bicycle":
        r, y = int(rng.uniform(0.16, 0.26) * width), int(rng.uniform(0.85, 1.0) * height)
        x = int(rng.uniform(-0.2, 0.8) * width)
        for cx in (x, x + int(2.5 * r)):
            cv2.circle(mask, (cx, y - r), r, 1, 2 * unit)
        cv2.line(mask, (x, y - r), (x + r, y - int(2.2 * r)), 1, 3 * unit)
        cv2.line(mask, (x + r, y - int(2.2 * r)), (x + int(2.5 * r), y - r), 1, 3 * unit)
    elif kind == "pole":
        x = int(rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1)]) * width)
        cv2.line(mask, (x, 0), (x + int(rng.integers(-4, 5)) * unit, height), 1, int(rng.integers(3, 12)) * unit)
    elif kind == "box":
        x, y = rng.uniform(-0.2, 0.8) * width, rng.uniform(0.68, 0.92) * height
        cv2.rectangle(mask, (int(x), int(y)), (int(x + rng.uniform(0.2, 0.7) * width), height), 1, -1)
    else:
        for _ in range(30):
            centre = (int(rng.uniform(-0.1, 1.1) * width), int(rng.uniform(0.84, 1.05) * height))
            cv2.circle(mask, centre, int(rng.uniform(3, 11)) * unit, 1, -1)
    hidden = mask > 0
    paint = rng.uniform(0.1, 0.9, 3) if kind != "bush" else np.array([0.2, 0.34, 0.14]) * rng.uniform(0.5, 1.6)
    texture = 1 + 0.15 * np.asarray(cv2.resize(rng.normal(0, 1, (height // 6, width // 6)).astype(np.float32), (width, height)))
    image[hidden] = (paint * texture[hidden][:, None]).astype(np.float32)
    label[hidden] = labels.BACKGROUND
    return kind


def develop(image: FloatArray, response: Response, rng: np.random.Generator, faults: float) -> UInt8:
    """Exposure, colour cast, loss of resolution, blur and noise; (H, W, 3) float RGB -> uint8 RGB.

    Args:
        faults: 0 for a clean picture, 1 for the usual spread of blur, resolution and noise.
    """
    gain = response.gain * rng.uniform(0.9, 1.12)
    image = image * (np.array(response.cast, np.float32) * np.float32(gain))
    image = np.clip(image, 0, 1) ** np.float32(response.gamma * rng.uniform(0.92, 1.08))
    height, width = image.shape[:2]
    optics = response.optics
    scale = float(rng.choice(optics.scales, p=optics.shares))
    if faults > 0 and scale < 1:
        small = cv2.resize(image, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    blur = response.softness + faults * rng.uniform(0, 0.7)
    if blur > 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur * height / 256), np.float32)
    noise = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(faults * rng.uniform(0, optics.noise))
    return np.asarray(np.clip((image + noise) * 255 + 0.5, 0, 255), np.uint8)
