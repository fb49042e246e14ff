"""What was found in the label maps so far: what the manifest of a parsing tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reidclip.counted import counted, which
from reidclip.stages.finished_maps import Counts


class Tally:
    """Counts over pictures, the same in whatever order they come.

    Args:
        labels: names; index 0 is the background.

    Attributes:
        pictures: those with a label map.
        skipped: broken ones.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.pictures = 0
        self.skipped: set[str] = set()
        self._pixels = np.zeros(len(self.labels), np.int64)
        self._empty: set[str] = set()

    def add(self, path: str, pixels: Counts) -> None:
        """One label map: how many pixels each label has."""
        self._pixels += pixels
        self.pictures += 1
        if pixels[0] == pixels.sum():
            self._empty.add(path)

    @classmethod
    def together(cls, tallies: Iterable[Tally]) -> Tally:
        """The tally of several processes."""
        first, *others = tallies
        total = cls(first.labels)
        for tally in (first, *others):
            total.pictures += tally.pictures
            total.skipped |= tally.skipped
            total._pixels += tally._pixels
            total._empty |= tally._empty
        return total

    def metrics(self) -> Mapping[str, Any]:
        """Counts of pictures, and each label's share of all pixels."""
        share = self._pixels / max(int(self._pixels.sum()), 1)
        return {
            "pictures": self.pictures,
            "skipped": len(self.skipped),
            "without_person": len(self._empty),
            "label_share": {name: round(float(value), 6) for name, value in zip(self.labels, share, strict=True)},
        }

    def notes(self) -> list[str]:
        """Sentences about what is amiss."""
        found = []
        if self.skipped:
            what = counted(len(self.skipped), "broken picture was skipped", "broken pictures were skipped")
            found.append(f"{what}; {which(sorted(self.skipped))}.")
        if self._empty:
            found.append(f"In {counted(len(self._empty), 'picture', 'pictures')} nobody was found; {which(sorted(self._empty))}.")
        return found
