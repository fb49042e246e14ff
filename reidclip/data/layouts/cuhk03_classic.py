"""CUHK03's 20 classic divisions: 100 people test, all others train; query and gallery are the same pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidclip.data.found_draws import Pictures, listed_splits
from reidclip.data.layouts.cuhk03_boxes import BOXES, PARTS, UNDIVIDED, Boxes
from reidclip.data.layouts.cuhk03_release import person
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.split_files import read_json
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Sample

TESTSETS = "testsets.json"
FORMAT = "reidclip cuhk03 testsets 1"


def with_classic_divisions(root: Path) -> frozenset[Boxes]:
    """The kinds of boxes whose classic divisions a file tells."""
    return frozenset(boxes for boxes in BOXES if any(path.is_file() for path in _files(root, boxes)))


def classic_draws(dataset: Dataset) -> tuple[dict[str, Draw], list[str]]:
    """Divisions named "classic-labelled-0" and so on, and a note where they are not known.

    Raises:
        UserError: a file of divisions that does not fit.
    """
    draws: dict[str, Draw] = {}
    lacking = []
    for boxes in BOXES:
        splits = {boxes.split(part) for part in (*PARTS, UNDIVIDED)}
        samples = [s for s in dataset.samples if s.split in splits]
        found = _of_boxes(dataset.root, boxes, samples) if samples else {}
        draws |= {name.replace("split", f"classic-{boxes.name}"): draw for name, draw in found.items()}
        if samples and not found:
            lacking.append(f"classic-{boxes.name}")
    why = f"the 20 test sets are in the release alone; `reidclip datasets extract` writes them to {TESTSETS}."
    return draws, [missing_protocols_note(lacking, why)] if lacking else []


def _files(root: Path, boxes: Boxes) -> tuple[Path, Path]:
    """This toolkit's, and what torchreid keeps."""
    return root / TESTSETS, root / f"splits_classic_{boxes.word}.json"


def _of_boxes(root: Path, boxes: Boxes, samples: list[Sample]) -> dict[str, Draw]:
    own, kept = _files(root, boxes)
    if own.is_file():
        return {f"split-{n}": _draw(samples, people) for n, people in enumerate(_testsets(own))}
    return listed_splits(kept, read_json(kept), Pictures(samples)) if kept.is_file() else {}


def _testsets(path: Path) -> Iterator[frozenset[int]]:
    document: Any = read_json(path)
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"its format is '{document['format']}'")
        yield from [frozenset(person(int(pair), int(number)) for pair, number in testset) for testset in document["testsets"]]
    except (KeyError, TypeError, ValueError) as error:
        again = "Write it again: reidclip datasets extract DATA."
        raise UserError(f"{path} does not hold CUHK03's test sets ({type(error).__name__}: {error}).", again) from error


def _draw(samples: list[Sample], people: frozenset[int]) -> Draw:
    test = tuple(s.path for s in sorted(samples, key=lambda s: s.path) if s.pid in people)
    return Draw(tuple(s.path for s in sorted(samples, key=lambda s: s.path) if s.pid not in people), test, test)
