"""What a picture shows, as attributes with values; and sentences that say one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

IDENTITY = ("gender", "glasses", "hair colour", "hair style", "beard", "age", "skin")  # what shielded pictures show too
FACE = ("glasses", "beard")  # cannot be seen from behind
_STYLES = {"buzz cut": "very short", "side part": "short side-parted"}
_BEARDS = {"none": "without a beard", "full": "with a full beard", "stubble": "with stubble"}
_OPENINGS = ("a photo of ", "", "a picture of ", "a surveillance picture of ")


class Attributes:
    """Values of all attributes of a table of pictures.

    Attributes:
        values: attribute -> its values, sorted.
        index: attribute -> (N,) place of each picture's value in ``values``, -1 where the picture does not show it.
        weights: attribute -> weight of each value in a loss, so that rare ones count: mean count over count, at most 4.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        found = {name: [_read(row).get(name) for row in rows] for name in _read(rows[0])}
        self.values = {name: sorted({v for v in column if v is not None}) for name, column in found.items()}
        self.index = {
            name: torch.tensor([-1 if v is None else self.values[name].index(v) for v in column]) for name, column in found.items()
        }
        self.weights = {name: _inverse_frequency(self.index[name], len(values)) for name, values in self.values.items()}

    def targets(self, name: str, rows: Sequence[int], shielded: int) -> Tensor:
        """Values of some pictures, the last ``shielded`` of which show nothing of clothes; -1 for unknown."""
        target = self.index[name][torch.as_tensor(rows)].clone()
        if shielded and name not in IDENTITY:
            target[len(target) - shielded :] = -1
        return target

    def sentences(self, rng: np.random.Generator) -> dict[str, list[str]]:
        """One sentence for every value of every attribute."""
        return {name: [sentence(name, value, rng) for value in values] for name, values in self.values.items()}


def _inverse_frequency(index: Tensor, classes: int) -> Tensor:
    count = torch.bincount(index[index >= 0], minlength=classes).float()
    return (count.mean() / count).clamp(max=4.0)


def _read(row: Mapping[str, Any]) -> dict[str, str | None]:
    person, outfit = row["identity"], row["outfit"]
    behind, covered = row["view"]["word"] == "back", "jacket" in outfit
    top, jacket = outfit["top"], outfit.get("jacket", {})
    return {
        "gender": person["gender"],
        "glasses": None if behind else ("no" if person["glasses"] == "none" else "yes"),
        "hair colour": None if person["hair_colour"] == "none" else person["hair_colour"],
        "hair style": person["hair_style"],
        "beard": None if behind else person["beard"],
        "age": person["age"],
        "skin": person["skin"],
        "garment": None if covered else top["name"],
        "colour": None if covered else top["colour"],
        "pattern": None if covered else top["pattern"],
        "bottom": outfit["bottom"]["name"],
        "bottom colour": outfit["bottom"]["colour"],
        "jacket": jacket.get("name", "no"),
        "jacket colour": jacket.get("colour"),
        "hat": outfit.get("hat", {}).get("name", "no"),
        "bag": outfit.get("bag", {}).get("name", "no"),
        "shoe colour": outfit.get("shoes", {}).get("colour"),
    }


def sentence(name: str, value: str, rng: np.random.Generator) -> str:
    """``a picture of a person with grey hair``: openings and nouns vary."""
    opening = _OPENINGS[int(rng.integers(len(_OPENINGS)))]
    if name == "gender":
        nouns = ("man", "guy") if value == "male" else ("woman", "lady")
        return f"{opening}a {nouns[int(rng.random() < 0.2)]}"
    if name == "age":
        return opening + ("an adult" if value == "adult" else _a(f"{value} person"))
    return f"{opening}a person {_phrase(name, value)}"


def _phrase(name: str, value: str) -> str:
    if name == "hair style":
        return _hair(value)
    if name == "beard":
        return _BEARDS.get(value, f"with a {value}")
    if name in ("jacket", "hat", "bag") and value == "no":
        return f"without a {name}"
    return {
        "glasses": "wearing glasses" if value == "yes" else "without glasses",
        "hair colour": f"with {value} hair",
        "skin": f"with {value} skin",
        "garment": f"wearing {_a(value)}",
        "colour": f"wearing {_a(value)} top",
        "pattern": f"wearing {_a(value)} top",
        "bottom": f"wearing {value if value.endswith('s') and value != 'dress' else _a(value)}",
        "bottom colour": f"wearing {value} bottoms",
        "jacket": f"wearing {_a(value)}",
        "jacket colour": f"wearing {_a(value)} jacket",
        "hat": f"wearing {_a(value)}",
        "bag": f"carrying {_a(value)}",
        "shoe colour": f"wearing {value} shoes",
    }[name]


def _hair(style: str) -> str:
    if style == "bald":
        return "with a bald head"
    if style in ("bob", "ponytail", "bun", "afro", "quiff"):
        return f"with {_a('bob haircut' if style == 'bob' else style)}"
    return f"with {_STYLES.get(style, style)} hair"


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words
