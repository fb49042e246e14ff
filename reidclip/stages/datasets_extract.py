"""``reidclip datasets extract`` as a function: pictures out of a release that keeps them in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from reidclip.data.cuhk03_mat import Cell, Release, open_release
from reidclip.data.layouts.cuhk03_boxes import BOXES
from reidclip.data.layouts.cuhk03_classic import FORMAT, TESTSETS
from reidclip.data.layouts.cuhk03_release import release_file
from reidclip.errors import UserError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Extracted:
    """What came out.

    Attributes:
        root: the data set's folder.
        pictures: of each of its folders.
        written: how many of them were not there before.
    """

    root: Path
    pictures: dict[str, int]
    written: int


def extract(root: Path, progress: Progress = lambda done, total: None) -> Extracted:
    """Write CUHK03's pictures as PNGs and its test sets as ``testsets.json``, beside the release's file.

    Files appear whole or not at all; those that are there are left as they are, so that a repeated call goes on with an interrupted one.

    Args:
        root: folder of the data set, with ``cuhk03_release/cuhk-03.mat``.
        progress: is told of places for pictures done and in total; some hold none.

    Raises:
        UserError: no such file, or h5py is not installed.
        WorkError: the file is damaged.
    """
    path = release_file(root)
    if path is None:
        raise UserError(
            f"There is nothing to extract in {root}: it has no cuhk03_release/cuhk-03.mat.",
            "Only CUHK03's release keeps its pictures in one file; other data sets are read as they are.",
        )
    folders = {boxes.word: root / boxes.folder for boxes in BOXES}
    with open_release(path) as release:
        testsets = release.testsets()
        cells = [cell for word in folders for cell in release.cells(word)]
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        pictures, written = dict.fromkeys((folder.name for folder in folders.values()), 0), 0
        for done, cell in enumerate(cells, start=1):
            found = _extract(release, cell, folders[cell.boxes])
            pictures[folders[cell.boxes].name] += found is not None
            written += found is True
            progress(done, len(cells))
    document = {"format": FORMAT, "pictures": pictures, "testsets": testsets}
    _whole(root / TESTSETS, lambda at: at.write_text(json.dumps(document) + "\n", encoding="utf-8"))
    return Extracted(root, pictures, written)


def _extract(release: Release, cell: Cell, folder: Path) -> bool | None:
    """Whether the picture was written: False where it was there already, None where the cell is empty."""
    target = folder / cell.name
    if target.is_file():
        return False
    picture = release.picture(cell)
    if picture is None:
        return None
    _whole(target, lambda at: Image.fromarray(np.ascontiguousarray(picture)).save(at, format="PNG"))
    return True


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name first: a killed writer leaves no half file under this one."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
