"""Random divisions of small data sets, drawn the same on every machine: they depend on sorted names and a fixed seed alone.

The published programs draw without a seed at first use and keep the result on that machine, so nobody else's division can be had.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from reidclip.records import Draw, Sample

SEED = 0  # part of the divisions, not of a run: everybody's are the same
NUMBER = 10  # random divisions of a data set, as published

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


def halves(people: Iterable[int], numbers: random.Random) -> tuple[frozenset[int], frozenset[int]]:
    """Identities to train on and to test on; of an odd number the larger half is for testing, as published."""
    order = shuffled(sorted(people), numbers)
    return frozenset(order[: len(order) // 2]), frozenset(order[len(order) // 2 :])


def paths_by_person(samples: Iterable[Sample]) -> Mapping[int, list[str]]:
    """Identity -> its pictures, sorted; identities ascending."""
    found: dict[int, list[str]] = defaultdict(list)
    for sample in sorted(samples, key=lambda s: (s.pid, s.path)):
        found[sample.pid].append(sample.path)
    return found


def numbered(draws: Iterable[Draw], prefix: str = "split") -> dict[str, Draw]:
    """Draws by name, as published programs number their splits: "split-0", "split-1", ..."""
    return {f"{prefix}-{number}": draw for number, draw in enumerate(draws)}
