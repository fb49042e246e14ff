"""What vectors are made of: folders, pictures, videos and trackers' output as one list of items below one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reidclip.gallery.items import Item
from reidclip.records import Dataset


@dataclass(frozen=True)
class Source:
    """Items of one place, in the order in which they are read.

    Attributes:
        kind: "pictures" may be read in any order, by several processes; a "video" frame after frame.
        root: the folder that the items' paths are relative to.
        items: what is read.
        cameras: of every item, as encoders with camera embeddings number them; None where nobody says.
    """

    kind: Literal["pictures", "video"]
    root: Path
    items: tuple[Item, ...]
    cameras: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Opened:
    """All sources of a call.

    Attributes:
        sources: at least one, none of them empty; all have the same root.
        dataset: where all of them are data sets or folders of pictures: these, joined; for the lineage.
        notes: what was left out, for people.
    """

    sources: tuple[Source, ...]
    dataset: Dataset | None
    notes: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The folder above all of them."""
        return self.sources[0].root

    @property
    def items(self) -> Sequence[Item]:
        """All items, in order."""
        return tuple(item for source in self.sources for item in source.items)
