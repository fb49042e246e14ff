"""Styles: what a whole data set has in common beside its people: places, cameras, light, season, resolution.

Without a style a set is rendered as ever. A style changes where and how people are seen and what the season lets them wear; it
knows nothing of identities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidclip.synth.compose import USUAL_OPTICS, Optics, Response
from reidclip.synth.outfit import Outfit, Trousers, sample_alike, sample_outfit
from reidclip.synth.scenery import KINDS, kind_of
from reidclip.synth.shading import USUAL_DAYLIGHT, Daylight

SEASONS = ("any", "summer", "winter", "mild", "alike")
_SHORT, _LONG = 0.3, -0.6  # sleeve shorter than (metres along the arm), trousers that end lower than (template height)


@dataclass(frozen=True)
class Style:
    """What a set's cameras, light and clothes have in common.

    Attributes:
        title: a sentence for people.
        rooms: places that a camera looks at.
        kinds: kinds of places.
        cast, cast_spread: mean gain per channel over the cameras, and how far cameras differ in it.
        gain, gamma, softness: ranges of the cameras' brightness, contrast and blur in pixels.
        elevation: range of the cameras' heights above the person, degrees.
        optics: resolution, noise and compression.
        daylight: ambient and key light.
        season: what is worn: ``any``, ``summer``, ``winter``, ``mild`` (nothing on head, hands or eyes), or ``alike``
            (t-shirts or polo shirts and long trousers that differ in colour and pattern alone, plain shoes, nothing else).
    """

    title: str
    rooms: int = 3
    kinds: tuple[str, ...] = KINDS
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cast_spread: float = 0.035
    gain: tuple[float, float] = (0.92, 1.1)
    gamma: tuple[float, float] = (0.88, 1.12)
    softness: tuple[float, float] = (0.0, 0.35)
    elevation: tuple[float, float] = (0.0, 20.0)
    optics: Optics = USUAL_OPTICS
    daylight: Daylight = USUAL_DAYLIGHT
    season: str = "any"


STYLES: dict[str, Style] = {
    "even": Style(
        "Many places per camera and cameras much alike, so that a camera does not look like other clothes; one cut of clothes, any cloth.",
        rooms=10, cast_spread=0.015, gain=(0.97, 1.05), gamma=(0.95, 1.06), softness=(0.0, 0.2), season="alike",
    ),
    "summer-square": Style(
        "Summer: squares and streets in full sun, sharp pictures from eye height, short sleeves.",
        rooms=6, kinds=("plaza", "street"), cast=(1.05, 1.01, 0.94), gain=(1.0, 1.12), gamma=(0.85, 0.98), softness=(0.0, 0.15),
        elevation=(0.0, 10.0), optics=Optics(scales=(1.0, 0.85), shares=(0.8, 0.2), noise=0.008, quality=(85, 98)),
        daylight=Daylight((0.5, 0.65), (0.5, 0.8), 0.04), season="summer",
    ),
    "winter-street": Style(
        "Winter: overcast streets, cold colours, coats, scarves and gloves.",
        rooms=6, kinds=("street", "shop"), cast=(0.93, 0.99, 1.07), gain=(0.85, 1.0), gamma=(1.0, 1.18), softness=(0.1, 0.4),
        elevation=(5.0, 20.0), optics=Optics(scales=(1.0, 0.85, 0.7), shares=(0.4, 0.3, 0.3), noise=0.014, quality=(70, 92)),
        daylight=Daylight((0.7, 0.85), (0.1, 0.3), -0.03), season="winter",
    ),
    "indoor": Style(
        "Indoors: corridors and shops under greenish light, cameras below the ceiling, any clothes.",
        rooms=6, kinds=("corridor", "shop"), cast=(0.97, 1.05, 0.95), gain=(0.9, 1.05), gamma=(0.9, 1.1), softness=(0.1, 0.4),
        elevation=(20.0, 38.0), optics=Optics(scales=(1.0, 0.7, 0.5), shares=(0.4, 0.4, 0.2), noise=0.016, quality=(60, 85)),
        daylight=Daylight((0.65, 0.8), (0.2, 0.4), 0.0),
    ),
    "evening-park": Style(
        "Evening: parks, few pixels, noise and strong compression, any clothes.",
        rooms=6, kinds=("foliage", "plaza"), cast=(1.06, 0.99, 0.93), gain=(0.6, 0.8), gamma=(0.8, 1.0), softness=(0.3, 0.7),
        elevation=(0.0, 25.0), optics=Optics(scales=(0.6, 0.45, 0.35), shares=(0.4, 0.4, 0.2), noise=0.03, quality=(50, 75)),
        daylight=Daylight((0.45, 0.6), (0.2, 0.55), 0.06),
    ),
}  # fmt: skip


def places_of(style: Style, rng: np.random.Generator) -> tuple[int, ...]:
    """Numbers of a camera's places, all of the style's kinds."""
    out: list[int] = []
    while len(out) < style.rooms:
        number = int(rng.integers(1 << 20, 1 << 30))
        if kind_of(number) in style.kinds:
            out.append(number)
    return tuple(out)


def response_of(style: Style, rng: np.random.Generator) -> Response:
    """Draw a camera of the style."""
    r, g, b = (float(m * v) for m, v in zip(style.cast, np.clip(1 + rng.normal(0, style.cast_spread, 3), 0.9, 1.1), strict=True))
    gain, gamma, softness = (float(rng.uniform(*span)) for span in (style.gain, style.gamma, style.softness))
    return Response((r, g, b), gain, gamma, softness, style.optics)


def outfit_for(season: str, rng: np.random.Generator, male: bool) -> Outfit:
    """Draw an outfit that suits the season; nothing but sex may shift it, as in `sample_outfit`, and in ``alike`` not even that."""
    if season == "alike":
        return sample_alike(rng)
    while True:
        outfit = sample_outfit(rng, male)
        if suits(season, outfit):
            return outfit


def suits(season: str, outfit: Outfit) -> bool:
    """Whether an outfit is worn in a season.

    Raises:
        ValueError: no such season.
    """
    if season == "any":
        return True
    if season == "mild":
        return outfit.hat is None and outfit.sunglasses is None and outfit.gloves is None
    if season == "summer":
        warm = (outfit.jacket, outfit.scarf, outfit.gloves)
        return all(thing is None for thing in warm) and outfit.top.sleeve < _SHORT and (outfit.hat is None or outfit.hat.kind != "beanie")
    if season == "winter":
        legs = not isinstance(outfit.bottom, Trousers) or outfit.bottom.end < _LONG
        return outfit.jacket is not None and legs and outfit.sunglasses is None and (outfit.hat is None or outfit.hat.kind == "beanie")
    raise ValueError(f"unknown season {season!r}")
