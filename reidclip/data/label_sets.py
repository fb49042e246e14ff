"""The label sets of human parsers: names, colours, and which labels are clothes.

Names and order are those of the published parsers (Li et al., "Self-Correction for Human Parsing", TPAMI 2020); the first three are
LIP, ATR and Pascal-Person-Part. What counts as clothes is CCAF's list for LIP (section 3: no hats, no shoes); for the other two
it is this project's own translation of that list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidclip.data.lip import LIP_LABELS

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """A label set.

    Attributes:
        name: as on the command line.
        labels: index -> name; index 0 is the background.
        clothes: names of the labels that are shielded by default.
        note: what a user should know of it, or "".
    """

    name: str
    labels: tuple[str, ...]
    clothes: tuple[str, ...]
    note: str = ""


LIP = LabelSet("lip", LIP_LABELS, ("Upper-clothes", "Dress", "Coat", "Socks", "Pants", "Jumpsuits", "Scarf", "Skirt", "Glove"))

ATR = LabelSet(
    "atr",
    (
        "Background",
        "Hat",
        "Hair",
        "Sunglasses",
        "Upper-clothes",
        "Skirt",
        "Pants",
        "Dress",
        "Belt",
        "Left-shoe",
        "Right-shoe",
        "Face",
        "Left-leg",
        "Right-leg",
        "Left-arm",
        "Right-arm",
        "Bag",
        "Scarf",
    ),
    ("Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"),
)

PASCAL = LabelSet(
    "pascal",
    ("Background", "Head", "Torso", "Upper Arms", "Lower Arms", "Upper Legs", "Lower Legs"),
    ("Torso", "Upper Arms", "Upper Legs", "Lower Legs"),
    "Labels body parts, dressed or bare: hair, face, hats and hands stay visible, bare legs and upper arms are shielded too.",
)

LABEL_SETS: dict[str, LabelSet] = {known.name: known for known in (LIP, ATR, PASCAL)}


def label_set_of(labels: Sequence[str]) -> LabelSet | None:
    """The known set with exactly these names in this order, or None."""
    return next((known for known in LABEL_SETS.values() if known.labels == tuple(labels)), None)


def palette(count: int) -> tuple[Colour, ...]:
    """Label index -> RGB, the PASCAL VOC colour map, of which the colours that SCHP writes are the beginning.

    Bit b of an index's three-bit groups, lowest first, becomes bit 7 - b of red, green and blue.
    """
    return tuple(_voc_colour(index) for index in range(count))


def _voc_colour(index: int) -> Colour:
    red = green = blue = 0
    for bit in range(8):
        red |= (index >> (3 * bit) & 1) << (7 - bit)
        green |= (index >> (3 * bit + 1) & 1) << (7 - bit)
        blue |= (index >> (3 * bit + 2) & 1) << (7 - bit)
    return red, green, blue
