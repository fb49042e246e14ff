"""What a picture looks like: colours of regions, light, and what a camera does. Labels are not changed here.

All functions take and return float32 RGB (H, W, 3) in 0..255 unless they say otherwise, and draw from the generator they are given.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

GARMENTS = (1, 3, 5, 6, 7, 8, 9, 10, 11, 12)
SKIN = (13, 14, 15, 16, 17)
SHOES = (18, 19)
HAIR = (2,)


def colour(rng: np.random.Generator) -> Float:
    """A colour as clothes and streets have them: often grey, black or white, sometimes vivid."""
    kind = rng.random()
    if kind < 0.4:
        return (rng.uniform(5, 250) + rng.normal(0, 8, 3)).clip(0, 255).astype(np.float32)
    hue, saturation, value = rng.integers(0, 180), rng.uniform(40, 255 if kind > 0.7 else 130), rng.uniform(30, 255)
    pixel = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2RGB)
    return pixel[0, 0].astype(np.float32)


def blotches(rng: np.random.Generator, height: int, width: int, cells: int, channels: int = 1) -> Float:
    """Smooth noise, standard normal before smoothing, ``cells`` bumps along the height."""
    grid = rng.standard_normal((max(2, cells), max(2, cells // 2), channels)).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def recolour(rng: np.random.Generator, picture: Float, labels: UInt8) -> Float:
    """Give garments new colours and patterns by the label map, keeping their shading; shift skin and hair a little."""
    height, width = labels.shape
    grey = picture.mean(axis=2)
    for label in np.unique(labels):
        region = labels == label
        if label in GARMENTS or label in SHOES:
            if rng.random() < 0.55:
                picture[region] = _dyed(rng, picture, grey, region, height, width)
            if label in GARMENTS and rng.random() < 0.15:
                _print(rng, picture, region)
        elif label in HAIR and rng.random() < 0.5:
            picture[region] = picture[region] * rng.uniform(0.4, 1.5) + rng.normal(0, 6, 3)
    skin = np.isin(labels, SKIN)
    if rng.random() < 0.6:
        picture[skin] = picture[skin] * (rng.uniform(0.7, 1.35) * rng.normal(1, 0.05, 3)) + rng.normal(0, 5, 3)
    return picture.clip(0, 255)


def _dyed(rng: np.random.Generator, picture: Float, grey: Float, region: npt.NDArray[np.bool_], height: int, width: int) -> Float:
    shade = grey[region] / max(float(grey[region].mean()), 8.0)
    shade = np.clip(shade, 0.2, 2.2) ** rng.uniform(0.3, 1.6)
    base = np.broadcast_to(colour(rng), (len(shade), 3))
    kind = rng.random()
    if kind < 0.45:
        rows, columns = np.nonzero(region)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        phase = (np.cos(angle) * rows + np.sin(angle) * columns) / period * 2 * np.pi
        if kind < 0.15:  # checks
            mix = (np.sin(phase) * np.sin((np.cos(angle) * columns - np.sin(angle) * rows) / period * 2 * np.pi) > 0) * 1.0
        elif kind < 0.3:  # stripes
            mix = (np.sin(phase) > rng.uniform(-0.5, 0.7)) * 1.0
        else:  # prints, camouflage, wash
            mix = np.clip(blotches(rng, height, width, int(rng.integers(4, 40)))[region, 0] * rng.uniform(0.5, 3), 0, 1)
        base = base + (colour(rng) - base) * mix[:, None] * rng.uniform(0.3, 1)
    return (base * shade[:, None]).astype(np.float32)


def _print(rng: np.random.Generator, picture: Float, region: npt.NDArray[np.bool_]) -> None:
    rows, columns = np.nonzero(region)
    pick = rng.integers(len(rows))
    stamp = np.zeros(region.shape, np.uint8)
    size = (int(rng.integers(3, 22)), int(rng.integers(3, 22)))
    cv2.ellipse(stamp, (int(columns[pick]), int(rows[pick])), size, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    picture[(stamp > 0) & region] = colour(rng)


def light(rng: np.random.Generator, picture: Float) -> Float:
    """Uneven light, exposure, contrast, gamma, saturation and a colour cast."""
    height, width = picture.shape[:2]
    if rng.random() < 0.4:
        picture = picture * np.exp(0.25 * rng.random() * blotches(rng, height, width, int(rng.integers(2, 5))))
    if rng.random() < 0.5:
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + (picture - grey) * rng.uniform(0.3, 1.6)
    unit = (picture / 255).clip(0, 1) ** np.exp(rng.normal(0, 0.25))
    unit = (unit - 0.5) * rng.uniform(0.6, 1.35) + 0.5 + rng.normal(0, 0.08)
    return ((unit * rng.normal(1, 0.06, 3)) * 255).clip(0, 255).astype(np.float32)


def camera(rng: np.random.Generator, picture: Float) -> UInt8:
    """Blur, few pixels, sharpening, noise and JPEG, each now and then. Returns uint8."""
    height, width = picture.shape[:2]
    if rng.random() < 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.15:
        picture = cv2.blur(picture, (int(rng.integers(2, 8)), 1) if rng.random() < 0.8 else (1, int(rng.integers(2, 6))))
    if rng.random() < 0.75:
        factor = rng.uniform(0.35, 0.9)
        small = cv2.resize(picture, (max(8, round(width * factor)), max(8, round(height * factor))), interpolation=cv2.INTER_AREA)
        small = _sharpened(rng, small) + rng.normal(0, rng.uniform(0, 8), small.shape).astype(np.float32)
        picture = cv2.resize(_jpeg(rng, small), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    else:
        picture = _sharpened(rng, picture)
        picture = picture + rng.normal(0, rng.uniform(0, 10)) * rng.standard_normal(picture.shape).astype(np.float32)
    return _jpeg(rng, picture)


def _sharpened(rng: np.random.Generator, picture: Float) -> Float:
    if rng.random() < 0.4:
        return picture + (picture - cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.5))) * rng.uniform(0.3, 1.5)
    return picture


def _jpeg(rng: np.random.Generator, picture: Float) -> UInt8:
    flat = picture.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        return flat
    _, data = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
