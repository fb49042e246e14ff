"""The 16 pairs of phrases that describe a body, and the measurement that decides each (CLIP3DReID, Liu et al., CVPR 2024, section 3.2).

The pairs and the sentence are the paper's; which measurement decides a pair is ours, as the paper does not say. Every rule is a ratio or a
size that `reidclip.interfaces.BodySession.measure` gives; the first phrase is true of bodies above the population's median.
"""

from __future__ import annotations

from dataclasses import dataclass

TEMPLATE = "A photo of a person; the person {phrase}."
"""``{phrase}`` stands for a phrase with its verb: "is tall", "has long legs"."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two opposite phrases.

    Attributes:
        first, second: the phrases, without a verb.
        verb: "is" or "has".
        measure: name of the measurement that is larger where ``first`` is true.
    """

    first: str
    second: str
    verb: str
    measure: str

    def sentences(self, template: str = TEMPLATE) -> tuple[str, str]:
        """Both as sentences."""
        first, second = (template.replace("{phrase}", f"{self.verb} {phrase}") for phrase in (self.first, self.second))
        return first, second


PAIRS: tuple[Pair, ...] = (
    Pair("muscular", "slender", "is", "limb_girth_ratio"),  # girths of upper arm and calf, over stature
    Pair("broad-shouldered", "narrow-shouldered", "is", "shoulder_ratio"),  # shoulder breadth over stature
    Pair("heavyset", "petite", "is", "mass_kg"),
    Pair("tall", "short", "is", "stature_m"),
    Pair("long legs", "short legs", "has", "leg_ratio"),  # hip height over stature
    Pair("a long torso", "a short torso", "has", "torso_ratio"),  # hip to neck over stature
    Pair("curvy", "angular", "is", "curve_ratio"),  # mean of chest and hip girth over waist girth
    Pair("full-figured", "skinny", "is", "bmi"),
    Pair("stocky", "willowy", "is", "ponderal_index"),  # mass over the cube of stature
    Pair("pear-shaped", "apple-shaped", "is", "hip_waist_ratio"),  # girths
    Pair("athletic", "non-athletic", "is", "chest_waist_ratio"),  # girths
    Pair("fit", "unfit", "is", "stature_waist_ratio"),  # stature over waist girth
    Pair("large-breasted", "small-breasted", "is", "bust_ratio"),  # girth at the bust over that under it
    Pair("long-armed", "short-armed", "is", "arm_ratio"),  # shoulder to wrist over stature
    Pair("long-necked", "short-necked", "is", "neck_ratio"),  # length of the neck over stature
    Pair("high-waisted", "low-waisted", "is", "waist_height_ratio"),  # height of the narrowest section of the trunk over stature
)

MEASURES: tuple[str, ...] = tuple(pair.measure for pair in PAIRS)
"""Measurements that every body model gives."""

REPORTED: tuple[str, ...] = ("stature_m", "shoulder_breadth_m", "waist_girth_m", "hip_girth_m", "leg_ratio")
"""Measurements whose errors are reported of a predicted body; every body model gives these too."""
