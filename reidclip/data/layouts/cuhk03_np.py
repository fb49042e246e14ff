"""CUHK03-NP: the new protocol's pictures in Market-1501's folders, once per kind of boxes."""

from __future__ import annotations

import re
from pathlib import Path

from reidclip.data.faults import Fault
from reidclip.data.layouts.cuhk03_boxes import BOXES, Boxes
from reidclip.data.layouts.flat import FlatNames
from reidclip.records import Sample

_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
INNER = "cuhk03-np"


def _names(prefix: str, boxes: Boxes) -> FlatNames:
    return FlatNames(
        title="CUHK03-NP",
        folders={f"{prefix}{folder}": boxes.split(part) for folder, part in _FOLDERS.items()},
        pattern=re.compile(r"(?P<pid>\d{1,4})_c(?P<cam>\d)(?:s\d+)?_.+\.(?i:png|jpg)"),
        cameras=2,
        example="0001_c1_1.png",
        expected_tree="DATA/labeled/bounding_box_train/0001_c1_1.png",
    )


_OF_BOXES = {boxes: _names(f"{boxes.word}/", boxes) for boxes in BOXES}


def known_in(root: Path) -> bool:
    """True for a folder with CUHK03-NP's names in ``labeled`` or ``detected``, or one that holds ``cuhk03-np``."""
    return any(names.known_in(base) for base in (root, root / INNER) for names in _OF_BOXES.values())


def base_of(root: Path) -> Path:
    """The folder that holds ``labeled`` and ``detected``."""
    return root if any(names.known_in(root) for names in _OF_BOXES.values()) else root / INNER


def is_one_box(root: Path) -> bool:
    """Whether a folder is called and filled as one of the two."""
    return any(root.name == boxes.word and _names("", boxes).known_in(root) for boxes in BOXES)


def read(base: Path, notes: list[str], faults: list[Fault]) -> list[Sample]:
    """All samples; what is skipped is added to ``notes``, what does not fit to ``faults``."""
    samples = []
    for boxes, names in _OF_BOXES.items():
        if not any((base / folder).is_dir() for folder in names.folders):
            notes.append(f"There are no {boxes.name} boxes: {base / boxes.word} is missing.")
            continue
        tree = names.read(base)
        notes += tree.notes
        faults += tree.faults
        samples += [Sample(p.path, int(p.fields["pid"]), int(p.fields["cam"]) - 1, -1, p.split) for p in tree.pictures]
    return samples
