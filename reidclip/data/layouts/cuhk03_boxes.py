"""The two kinds of boxes of CUHK03, and what their folders, files and splits are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Boxes:
    """One kind of boxes.

    Attributes:
        name: "labelled" or "detected".
        word: as files spell it.
        suffix: of its splits; the labelled ones are the usual splits.
    """

    name: str
    word: str
    suffix: str

    @property
    def folder(self) -> str:
        """Of the extracted pictures."""
        return f"images_{self.word}"

    @property
    def division(self) -> str:
        """The file of the new protocol."""
        return f"cuhk03_new_protocol_config_{self.word}.mat"

    def split(self, part: str) -> str:
        """Name of the split for "train", "query" or "gallery"."""
        return f"{part}{self.suffix}"


LABELLED = Boxes("labelled", "labeled", "")
DETECTED = Boxes("detected", "detected", "-detected")
BOXES = (LABELLED, DETECTED)
PARTS = ("train", "query", "gallery")
UNDIVIDED = "undivided"
"""In place of a part: pictures of which only classic divisions are known."""
SPLITS = tuple(boxes.split(part) for boxes in BOXES for part in (*PARTS, UNDIVIDED))
