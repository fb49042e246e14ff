"""What each item of an index wears, as its own descriptor beside its group: one outfit is often split between several groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reidclip.errors import WorkError
from reidclip.gallery.query import Filter

WORN_FILE = "worn.safetensors"
SAME_OUTFIT = 0.9
"""Euclidean distance of two descriptors up to which they count as one outfit.

Of synthetic people in two outfits under three cameras (100 people, 40 groups) a search by groups alone leaves out 87 % of the same outfit
and keeps 98.3 % of the person's other one; items within 0.9 left out too, these are 95 % and 97.9 %; within 1.0, 97 % and 97.4 %.
"""
MAY_ERR = "clothes were seen by a parser and grouped by their colours, which may err: the same outfit can answer, and another be left out"
UNKNOWN = -1
_KEY, _BLOCK = "worn", 65_536


@dataclass(frozen=True)
class Worn:
    """What a query wears.

    Attributes:
        group: number of its class of clothes in the index; -1 where unknown.
        descriptor: (C,) `reidclip.gallery.clothes`; empty where none is known, as of an index of labels.
    """

    group: int = UNKNOWN
    descriptor: tuple[float, ...] = ()

    @classmethod
    def seen(cls, group: int, descriptor: np.ndarray) -> Worn:
        """Of a group and a descriptor (C,), which is all zero where no clothes were seen."""
        return cls(int(group), tuple(map(float, descriptor)) if descriptor.any() else ())

    def left_out(self, wanted: Filter) -> Filter:
        """The filter without items in these clothes; unchanged where nothing is known of them."""
        if self.group == UNKNOWN:
            return wanted
        return replace(wanted, not_clothes=(*wanted.not_clothes, self.group), unlike=self.descriptor)


def unlike(worn: np.ndarray, descriptor: Iterable[float], within: float = SAME_OUTFIT) -> np.ndarray:
    """(N,) bool: which of the descriptors (N, C) are farther than ``within`` from this one (C,)."""
    own = np.array(list(descriptor), dtype=np.float32)
    far = np.ones(len(worn), dtype=bool)
    for start in range(0, len(worn), _BLOCK):
        apart = worn[start : start + _BLOCK].astype(np.float32) - own
        far[start : start + _BLOCK] = (apart**2).sum(axis=1) > within**2
    return far


def save_worn(path: Path, descriptors: np.ndarray) -> None:
    """(N, C) as safetensors, in 16 bits: far finer than outfits differ, at half the size."""
    save_file({_KEY: np.ascontiguousarray(descriptors, dtype=np.float16)}, path)


def load_worn(path: Path, count: int) -> np.ndarray:
    """(N, C) float16 that `save_worn` wrote.

    Raises:
        WorkError: the file is something else, or of another number of items.
    """
    try:
        found: np.ndarray = load_file(path)[_KEY]
    except (OSError, KeyError, SafetensorError) as error:
        raise WorkError(f"{path} holds no descriptors of clothes: {error}.", "Build the index again.") from error
    if found.ndim != 2 or len(found) != count:
        raise WorkError(f"{path} describes the clothes of {len(found)} items, not of {count}.", "Build the index again.")
    return found
