"""Numbers of things in sentences: "1 picture is", "2 pictures are"."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, one: str, many: str) -> str:
    """The number with the words that fit it: ``counted(1, "picture is", "pictures are")`` is "1 picture is"."""
    return f"{number} {one if number == 1 else many}"


def which(found: Sequence[str]) -> str:
    """``it is a.jpg`` or ``the first is a.jpg``: the first of them, by name."""
    return f"{'it' if len(found) == 1 else 'the first'} is {found[0]}"
