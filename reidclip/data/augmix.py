"""AugMix (Hendrycks, Mu, Cubuk, Zoph, Gilmer, Lakshminarayanan; ICLR 2020): a picture mixed with chains of operations on itself.

    x_aug = sum_i w_i chain_i(x),    w ~ Dirichlet(1, 1, 1)
    x'    = (1 - m) x + m x_aug,     m ~ Beta(1, 1)

Three chains of one to three operations each. The operations are those of AutoAugment without what the corruption benchmark tests (contrast,
brightness, colour, sharpness). No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from reidclip.data.images import UInt8

WIDTH = 3  # k, chains
DEPTH = 3  # operations of a chain, at most
ALPHA = 1.0  # of Dirichlet and Beta alike: every mixture is as likely as any other

Operation = Callable[[UInt8, float], UInt8]
"""(H, W, 3) uint8 and a level in -1..1 -> (H, W, 3) uint8; the sign is a direction, where there is one."""


@dataclass(frozen=True)
class Mix:
    """The random choices made for one picture.

    Attributes:
        share: m, of the augmented picture.
        weights: w, one per chain; they sum to 1.
        chains: operations by name, each with its level.
    """

    share: float
    weights: tuple[float, ...]
    chains: tuple[tuple[tuple[str, float], ...], ...]


def draw_mix(severity: float, rng: np.random.Generator) -> Mix:
    """Draw chains, levels and weights; levels are uniform in 0.01 .. severity / 10, with either sign."""
    names = tuple(OPERATIONS)
    chains = []
    for depth in rng.integers(1, DEPTH + 1, WIDTH).tolist():
        chosen, signs = rng.integers(0, len(names), depth).tolist(), rng.choice((-1.0, 1.0), depth).tolist()
        levels = (rng.uniform(0.1, severity, depth) / 10).tolist()
        chains.append(tuple((names[name], sign * level) for name, sign, level in zip(chosen, signs, levels, strict=True)))
    weights = rng.dirichlet([ALPHA] * WIDTH).tolist()
    return Mix(float(rng.beta(ALPHA, ALPHA)), tuple(weights), tuple(chains))


def mixed(picture: UInt8, mix: Mix) -> UInt8:
    """(H, W, 3) uint8 -> its mixture, rounded; same shape."""
    total, so_far = picture.astype(np.float32), 1 - mix.share
    for weight, chain in zip(mix.weights, mix.chains, strict=True):
        changed = picture
        for name, level in chain:
            changed = OPERATIONS[name](changed, level)
        so_far += mix.share * weight
        cv2.accumulateWeighted(changed, total, mix.share * weight / max(so_far, 1e-12))  # the mean of what came so far, as weighted
    return np.asarray(cv2.convertScaleAbs(total), np.uint8)  # rounds


def _autocontrast(picture: UInt8, level: float) -> UInt8:
    """Each channel stretched to 0..255."""
    found = _counts(picture) > 0
    low, high = found.argmax(axis=0), 255 - found[::-1].argmax(axis=0)
    return _mapped(picture, np.where(high > low, (_LEVELS - low) * 255 / np.maximum(high - low, 1), _LEVELS))


def _equalise(picture: UInt8, level: float) -> UInt8:
    """Each channel's levels spread so that all are about as frequent: the lowest to 0, the highest to 255."""
    counts = _counts(picture)
    below = counts.cumsum(axis=0) - counts
    others = below[-1] + counts[-1] - counts[255 - (counts[::-1] > 0).argmax(axis=0), range(3)]  # pixels below the highest level
    return _mapped(picture, np.where(others > 0, 255 * below / np.maximum(others, 1), _LEVELS))


def _posterise(picture: UInt8, level: float) -> UInt8:
    """The highest 4 bits of each value kept, at level 1 only one."""
    dropped = 4 + min(3, int(4 * abs(level)))
    return np.asarray(picture >> dropped << dropped, np.uint8)


def _solarise(picture: UInt8, level: float) -> UInt8:
    """Values above a threshold inverted: none at level 0, all at level 1."""
    threshold = 256 - int(256 * abs(level))
    return _mapped(picture, np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS))


def _rotate(picture: UInt8, level: float) -> UInt8:
    """Up to 30 degrees about the centre."""
    height, width = picture.shape[:2]
    return _warped(picture, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30 * level, 1.0))


def _shear_x(picture: UInt8, level: float) -> UInt8:
    return _warped(picture, np.array([[1, 0.3 * level, 0], [0, 1, 0]]))


def _shear_y(picture: UInt8, level: float) -> UInt8:
    return _warped(picture, np.array([[1, 0, 0], [0.3 * level, 1, 0]]))


def _translate_x(picture: UInt8, level: float) -> UInt8:
    """Up to a third of the width."""
    return _warped(picture, np.array([[1, 0, int(level * picture.shape[1] / 3)], [0, 1, 0]], np.float64))


def _translate_y(picture: UInt8, level: float) -> UInt8:
    """Up to a third of the height."""
    return _warped(picture, np.array([[1, 0, 0], [0, 1, int(level * picture.shape[0] / 3)]], np.float64))


OPERATIONS: Mapping[str, Operation] = {
    "autocontrast": _autocontrast,
    "equalise": _equalise,
    "posterise": _posterise,
    "solarise": _solarise,
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
_LEVELS = np.arange(256, dtype=np.float64)[:, None]


def _counts(picture: UInt8) -> np.ndarray:
    """(256, 3) float64: pixels of each value in each channel."""
    histograms = [cv2.calcHist([picture], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    return np.stack(histograms, axis=1, dtype=np.float64)


def _warped(picture: UInt8, matrix: np.ndarray) -> UInt8:
    """Bilinear; black comes in from outside."""
    # The number of OpenCV's threads is not touched: a forked worker that changes it waits for threads which only its parent has.
    height, width = picture.shape[:2]
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _mapped(picture: UInt8, levels: np.ndarray) -> UInt8:
    """Value v of channel c becomes ``levels[v, c]`` (256, 3), or ``levels[v, 0]`` (256, 1), rounded and clipped."""
    table = np.broadcast_to(levels, (256, 3)).round().clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table[:, None, :]), np.uint8)
