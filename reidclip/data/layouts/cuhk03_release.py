"""CUHK03 as extracted from its release: two flat folders of pictures, and a division of each that a file lists."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from reidclip.data.faults import Fault
from reidclip.data.layouts.cuhk03_boxes import BOXES, PARTS, UNDIVIDED, Boxes
from reidclip.data.layouts.flat import FlatNames, NamedPicture
from reidclip.data.mat_files import cells, read_mat
from reidclip.data.split_files import read_json
from reidclip.errors import UserError
from reidclip.records import Sample

RELEASE = "cuhk-03.mat"
_PEOPLE_OF_A_PAIR = 1_000  # three digits: pair * this + number is a person


def _names(boxes: Boxes) -> FlatNames:
    return FlatNames(
        title="CUHK03",
        folders={boxes.folder: "all"},
        pattern=re.compile(r"(?P<pair>[1-5])_(?P<pid>\d{3})_(?P<cam>\d)_(?P<number>\d{2})\.(?i:png)"),
        cameras=2,
        example="1_001_1_01.png",
        expected_tree=f"DATA/{boxes.folder}/1_001_1_01.png",
    )


_OF_BOXES = {boxes: _names(boxes) for boxes in BOXES}


def known_in(root: Path) -> bool:
    """True for a folder with CUHK03's names in ``images_labeled`` or ``images_detected``."""
    return any(names.known_in(root) for names in _OF_BOXES.values())


def release_file(root: Path) -> Path | None:
    """The release's file below a folder; None when it is not there."""
    return next((path for path in (root / "cuhk03_release" / RELEASE, root / RELEASE) if path.is_file()), None)


def unextracted(root: Path) -> bool:
    """Whether there is the release's file and nothing was taken out of it."""
    try:
        return release_file(root) is not None and not known_in(root)
    except (OSError, ValueError):
        return False


def person(pair: int, number: int) -> int:
    """Identity of a person of a pair of cameras, both from 1."""
    return pair * _PEOPLE_OF_A_PAIR + number


def read(root: Path, notes: list[str], faults: list[Fault], classic: Container[Boxes] = ()) -> list[Sample]:
    """All samples that a division names; what is skipped is added to ``notes``, what does not fit to ``faults``.

    Args:
        classic: kinds of boxes whose classic divisions are known; where there is no new one, their pictures are in the split "undivided".

    Raises:
        UserError: no division, new or classic, of either kind of boxes, one that cannot be read, or SciPy is needed and not installed.
    """
    samples: list[Sample] = []
    divisions = {boxes: _division(root, boxes) for boxes, names in _OF_BOXES.items() if names.known_in(root)}
    if not any(division or boxes in classic for boxes, division in divisions.items()):
        missing = " and ".join(str(root / boxes.division) for boxes in divisions)
        raise UserError(f"{missing} is missing, which says who trains and who tests.", "It comes with the code of Zhong et al., CVPR 2017.")
    for boxes, names in _OF_BOXES.items():
        division = divisions.get(boxes)
        if not any(divisions.values()) and boxes in divisions and boxes in classic:
            tree = names.read(root)
            notes += [*tree.notes, f"Of {boxes.name} boxes only classic divisions are known: {root / boxes.division} is missing."]
            faults += tree.faults
            samples += [_sample(picture, boxes, UNDIVIDED) for picture in tree.pictures]
            continue
        if division is None:
            lacking = root / (boxes.division if boxes in divisions else boxes.folder)
            notes.append(f"Pictures of {boxes.name} boxes are not read: {lacking} is missing.")
            continue
        tree = names.read(root)
        notes += tree.notes
        faults += tree.faults
        samples += _placed(root, boxes, tree.pictures, division, faults)
    return samples


def _placed(root: Path, boxes: Boxes, pictures: list[NamedPicture], division: Mapping[str, str], faults: list[Fault]) -> list[Sample]:
    """Samples of the pictures in their splits."""
    samples = []
    present = {p.path.rpartition("/")[2]: p for p in pictures}
    for name, picture in present.items():
        if name in division:
            samples.append(_sample(picture, boxes, division[name]))
        else:
            kind = f"Pictures of {boxes.name} boxes that are in no part of the new division"
            faults.append(Fault(kind, picture.path, f"{root / picture.path} is in no part of the new division", "Move it away."))
    for name in sorted(division.keys() - present.keys()):
        path = root / boxes.folder / name
        faults.append(Fault("Pictures of the new division that are missing", f"{boxes.folder}/{name}", f"there is no file {path}", _AGAIN))
    return samples


def _sample(picture: NamedPicture, boxes: Boxes, part: str) -> Sample:
    fields = picture.fields
    return Sample(picture.path, person(int(fields["pair"]), int(fields["pid"])), int(fields["cam"]) - 1, -1, boxes.split(part))


_AGAIN = "Take the pictures out of the release again: reidclip datasets extract DATA."


def _division(root: Path, boxes: Boxes) -> dict[str, str] | None:
    """File name -> "train", "query" or "gallery": from the published file, or what torchreid kept of it; None without either."""
    path, kept = root / boxes.division, root / f"splits_new_{boxes.word}.json"
    if path.is_file():
        return _published(path)
    return _kept(kept) if kept.is_file() else None


def _published(path: Path) -> dict[str, str]:
    variables = read_mat(path, "cuhk03")
    try:
        names = [_text(cell) for cell in cells(variables["filelist"])]
        found = {}
        for part in PARTS:
            for index in cells(variables[f"{part}_idx"]):
                if not 1 <= int(index) <= len(names):  # numbered from 1
                    raise ValueError(f"{part}_idx has {int(index)}, and there are {len(names)} names")
                found[names[int(index) - 1]] = part
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no division of CUHK03 ({type(error).__name__}: {error}).", "Fetch it again.") from error
    return found


def _text(cell: Any) -> str:
    """A cell with a text: MATLAB's texts are arrays."""
    return str(cell[0]) if not isinstance(cell, str) else cell


def _kept(path: Path) -> dict[str, str]:
    """torchreid's file: a list of one division, whose entries begin with an absolute path."""
    document = read_json(path)
    try:
        return {str(entry[0]).replace("\\", "/").rpartition("/")[2]: part for part in PARTS for entry in document[0][part]}
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path} is no list of splits with {', '.join(PARTS)}.", "Take it away, or restore it.") from error
