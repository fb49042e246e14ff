"""The label sets of human parsers: names, colours, and which labels are clothes.

Names and order are those of the published parsers (Li et al., "Self-Correction for Human Parsing", TPAMI 2020); the first three are
LIP, ATR and Pascal-Person-Part. SCNet's merged set is that of Guo et al., "Semantic-aware Consistency Network for Cloth-changing
Person Re-Identification" (ACM MM 2023). What counts as clothes is CCAF's list for LIP (section 3: no hats, no shoes); for the others
it is this project's own translation of that list. `choose_clothes` lets the user override every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidclip.data.lip import LIP_LABELS
from reidclip.data.shielding import Colour
from reidclip.errors import UserError, nearest


@dataclass(frozen=True)
class LabelSet:
    """A label set.

    Attributes:
        name: as on the command line.
        labels: index -> name; index 0 is the background.
        clothes: names of the labels that are shielded by default; empty when nobody said which.
        note: what a user should know of it, or "".
        colours: index -> RGB; empty for the PASCAL VOC colour map, which SCHP writes.
    """

    name: str
    labels: tuple[str, ...]
    clothes: tuple[str, ...]
    note: str = ""
    colours: tuple[Colour, ...] = ()

    @property
    def palette(self) -> tuple[Colour, ...]:
        """Label index -> RGB."""
        return self.colours or palette(len(self.labels))

    def table(self) -> list[tuple[int, str, bool]]:
        """One row per label: index, name, whether it counts as clothes by default."""
        return [(index, name, name in self.clothes) for index, name in enumerate(self.labels)]


@dataclass(frozen=True)
class Clothes:
    """Which labels of a set are clothes, resolved: names as the set spells them, and their indices."""

    label_set: LabelSet
    names: tuple[str, ...]
    indices: tuple[int, ...]


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

SCNET = LabelSet(
    "scnet",
    (
        "Background",
        "Head",
        "Upper-clothes",
        "Skirt",
        "Pants",
        "Dress",
        "Belt",
        "Shoes",
        "Legs",
        "Arms",
        "Bag",
        "Scarf",
    ),
    ("Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"),
    "ATR's labels merged to 12 (hat, hair, sunglasses and face are Head), as the SCNet repository ships them in processed/.",
)

LABEL_SETS: dict[str, LabelSet] = {known.name: known for known in (LIP, ATR, PASCAL, SCNET)}


def label_set_of(labels: Sequence[str]) -> LabelSet | None:
    """The known set with exactly these names in this order, or None."""
    return next((known for known in LABEL_SETS.values() if known.labels == tuple(labels)), None)


def named_set(labels: Sequence[str], name: str = "own") -> LabelSet:
    """The known set with these labels, else a set of that name for which nobody said yet what is clothes."""
    return label_set_of(labels) or LabelSet(name, tuple(labels), ())


def choose_clothes(label_set: LabelSet, wanted: Sequence[str] | None = None) -> Clothes:
    """The labels that are clothes: those wanted, upper or lower case, else the label set's own table.

    Raises:
        UserError: a name that the set does not have (with the nearest one), or a set without a table and nothing wanted.
    """
    names = label_set.clothes if wanted is None else tuple(wanted)
    if not names:
        raise UserError(
            f"Nobody said which labels of the set '{label_set.name}' are clothes: {', '.join(label_set.labels)}.",
            f"""Say it, for example --set clothes='["{label_set.labels[-1]}"]'.""",
        )
    known = {label.lower(): index for index, label in enumerate(label_set.labels)}
    wrong = [name for name in names if name.lower() not in known]
    if wrong:
        hint = nearest(wrong[0].capitalize(), label_set.labels)
        raise UserError(f"Setting 'clothes' names the label '{wrong[0]}', which the label set '{label_set.name}' does not have.", hint)
    chosen = tuple(dict.fromkeys(known[name.lower()] for name in names))
    return Clothes(label_set, tuple(label_set.labels[index] for index in chosen), tuple(sorted(chosen)))


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
