"""The colour that stands where clothes (or all but clothes) were: 255 in CCAF's eq. (4) and (11), that is white."""

from __future__ import annotations

import re
from collections.abc import Sequence

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
COLOURS: dict[str, Colour] = {"white": WHITE, "black": (0, 0, 0), "grey": (128, 128, 128)}


def colour_of(value: str | Sequence[int]) -> Colour:
    """A name of `COLOURS`, "r,g,b", "#rrggbb", or three numbers -> RGB in 0..255.

    Raises:
        ValueError: none of these.
    """
    known = f"Write {', '.join(COLOURS)}, or red, green and blue from 0 to 255, for example 128,128,128 or #808080"
    if isinstance(value, str):
        name = value.strip().lower().replace("gray", "grey")
        if name in COLOURS:
            return COLOURS[name]
        if re.fullmatch("#[0-9a-f]{6}", name):
            red, green, blue = bytes.fromhex(name[1:])
            return red, green, blue
        parts: Sequence[str] | Sequence[int] = name.split(",")
    else:
        parts = value
    try:
        numbers = [int(part) for part in parts]
    except (TypeError, ValueError) as error:
        raise ValueError(f"no colour. {known}") from error
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers):
        raise ValueError(f"no colour. {known}")
    return numbers[0], numbers[1], numbers[2]
