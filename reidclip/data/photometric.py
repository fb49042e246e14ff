"""Random changes of colour of one uint8 picture: grey scale, colour jitter, AugMix; what is drawn, and how it is applied. No torch.

In the order of CLIP-FGDI's published program: grey before the geometry (`reidclip.data.geometry`), jitter and AugMix after it. Masks are
not touched; what is hidden by them is hidden in the changed picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from reidclip.data.augmix import Mix, draw_mix, mixed
from reidclip.data.images import UInt8

Strength = tuple[float, float, float, float]

STRENGTH: Strength = (0.15, 0.1, 0.05, 0.05)  # brightness, contrast, saturation, hue, as CLIP-FGDI's program has them


@dataclass(frozen=True)
class Photometric:
    """How often colours are changed, and how much; the defaults change nothing.

    Attributes:
        grey: probability of grey scale.
        jitter: probability of colour jitter.
        strength: how far jitter goes: factors on brightness, contrast and saturation are uniform in 1 - s .. 1 + s, the turn of the hue
            in -s .. s of the circle.
        augmix: probability of AugMix (`reidclip.data.augmix`).
        severity: of AugMix, 1 to 10.
    """

    grey: float = 0.0
    jitter: float = 0.0
    strength: Strength = STRENGTH
    augmix: float = 0.0
    severity: float = 3.0

    @property
    def nothing(self) -> bool:
        """Whether no picture is ever changed."""
        return not (self.grey or self.jitter or self.augmix)


@dataclass(frozen=True)
class Changes:
    """The random choices made for one picture, or for all frames of one clip.

    Attributes:
        grey: becomes grey.
        jitter: (which, how much) in the order in which they are applied; empty for none.
        mix: AugMix's choices, or None.
    """

    grey: bool = False
    jitter: tuple[tuple[str, float], ...] = ()
    mix: Mix | None = None


NONE = Changes()
UNCHANGED = Photometric()


def draw_changes(photometric: Photometric, rng: np.random.Generator) -> Changes:
    """Draw the changes of one picture from its own generator, which is left alone where nothing may change."""
    if photometric.nothing:
        return NONE
    grey, jitter, augmix = rng.random(3) < (photometric.grey, photometric.jitter, photometric.augmix)
    return Changes(
        bool(grey),
        _draw_jitter(photometric.strength, rng) if jitter else (),
        draw_mix(photometric.severity, rng) if augmix else None,
    )


def _draw_jitter(strength: Strength, rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
    """All four, in random order."""
    centres = (1.0, 1.0, 1.0, 0.0)  # factors that change nothing; a turn by nothing
    amounts = [(name, float(rng.uniform(c - s, c + s))) for name, c, s in zip(_JITTER, centres, strength, strict=True)]
    return tuple(amounts[place] for place in rng.permutation(len(amounts)))


def before_geometry(changes: Changes, planes: UInt8) -> UInt8:
    """(3, H, W) RGB, grey where that was drawn (ITU-R 601: 0.299 R + 0.587 G + 0.114 B): new planes, or those given."""
    if not changes.grey:
        return planes
    grey = cv2.cvtColor(cv2.merge(list(planes)), cv2.COLOR_RGB2GRAY)
    return np.stack([grey] * 3)


def after_geometry(changes: Changes, planes: UInt8) -> None:
    """Jitter and AugMix, in place, on (3, H, W) RGB of the final size."""
    if not changes.jitter and changes.mix is None:
        return
    picture: UInt8 = cv2.merge(list(planes))  # (H, W, 3), which OpenCV works on
    for name, amount in changes.jitter:
        picture = _JITTER[name](picture, amount)
    if changes.mix is not None:
        picture = mixed(picture, changes.mix)
    planes[:] = cv2.split(picture)


def _brightness(picture: UInt8, factor: float) -> UInt8:
    return _mapped(picture, factor * _LEVELS)


def _contrast(picture: UInt8, factor: float) -> UInt8:
    """Away from the mean grey, or towards it."""
    mean = round(cv2.mean(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0])
    return _mapped(picture, mean + factor * (_LEVELS - mean))


def _saturation(picture: UInt8, factor: float) -> UInt8:
    """Away from each pixel's grey, or towards it."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(picture, factor, grey, 1 - factor, 0), np.uint8)


def _hue(picture: UInt8, turn: float) -> UInt8:
    """Every colour turned by a share of the circle."""
    hsv = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2HSV)  # in degrees; as uint8 it would be off by up to 8 grey levels
    hsv[..., 0] = np.mod(hsv[..., 0] + np.float32(360 * turn), 360)
    return np.asarray(cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)), np.uint8)


_LEVELS = np.arange(256, dtype=np.float64)
_JITTER: Mapping[str, Callable[[UInt8, float], UInt8]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
}


def _mapped(picture: UInt8, levels: np.ndarray) -> UInt8:
    """Grey level v of every channel becomes ``levels[v]``, rounded and clipped."""
    return np.asarray(cv2.LUT(picture, levels.round().clip(0, 255).astype(np.uint8)), np.uint8)
