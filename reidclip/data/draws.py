"""Random divisions of small data sets, drawn the same on every machine: they depend on sorted names and a fixed seed alone.

The published programs draw without a seed at first use and keep the result on that machine, so nobody else's division can be had.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

SEED = 0  # part of the divisions, not of a run: everybody's are the same

T = TypeVar("T")


def generator() -> random.Random:
    """Numbers for the divisions of one data set."""
    return random.Random(SEED)


def shuffled(items: Sequence[T], numbers: random.Random) -> list[T]:
    """The items in random order (Fisher and Yates, as in Durstenfeld, 1964), every order as likely as the others.

    Only ``random()`` is promised to give the same numbers in every Python version; ``shuffle`` and ``sample`` are not.
    """
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(numbers.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order
