"""A small CUHK03 on disk: its release in the published structure, and what is extracted from it, built by hand.

Two pairs of cameras with two people each. Cells without a picture are empty, as in the release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.trees import picture

# (pair, person) -> numbers of the pictures, from 1; 1 to 5 are view 1
LABELLED = {(1, 1): (1, 2, 6), (1, 2): (1, 6, 7), (2, 1): (1, 2, 6, 7), (2, 2): (5, 10)}
DETECTED = {(1, 1): (1, 6), (1, 2): (1, 6, 7), (2, 1): (1, 2, 6), (2, 2): (4, 5, 10)}
BOXES = {"labeled": LABELLED, "detected": DETECTED}
TESTSETS = (((1, 1), (2, 2)), ((1, 2), (2, 1)), ((2, 1), (2, 2)))

TRAIN = ((1, 1), (2, 2))  # of the new protocol; the others test
QUERY = {"labeled": ((1, 2, 1), (1, 2, 6), (2, 1, 1), (2, 1, 6)), "detected": ((1, 2, 1), (1, 2, 6), (2, 1, 2), (2, 1, 6))}


def names(boxes: str) -> list[str]:
    """File names of all pictures, sorted."""
    return sorted(name(*person, number) for person, numbers in BOXES[boxes].items() for number in numbers)


def name(pair: int, person: int, number: int) -> str:
    """<pair>_<person>_<view>_<number>.png, from 1."""
    return f"{pair}_{person:03d}_{1 if number <= 5 else 2}_{number:02d}.png"


def pixels(boxes: str, pair: int, person: int, number: int) -> np.ndarray:
    """A picture of its own for every place, of its own size."""
    return picture(1000 * list(BOXES).index(boxes) + 100 * pair + 10 * person + number, 30 + number, 14 + person)


def split_of(boxes: str, pair: int, person: int, number: int) -> str:
    """In the new protocol."""
    if (pair, person) in TRAIN:
        return "train"
    return "query" if (pair, person, number) in QUERY[boxes] else "gallery"


def places(boxes: str) -> Iterator[tuple[int, int, int]]:
    """(pair, person, number) of every picture, sorted."""
    return ((*person, number) for person, numbers in sorted(BOXES[boxes].items()) for number in numbers)


def release(root: Path) -> Path:
    """``cuhk03_release/cuhk-03.mat`` as MATLAB 7.3 writes it: references, transposed arrays, two numbers for an empty cell."""
    import h5py

    path = root / "cuhk03_release" / "cuhk-03.mat"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        held = file.create_group("#refs#")

        def kept(array: np.ndarray) -> h5py.Reference:
            return held.create_dataset(str(len(held)), data=array, dtype=h5py.ref_dtype if array.dtype == object else None).ref

        for boxes in BOXES:
            pairs = [_pair(boxes, pair, kept) for pair in (1, 2)]
            file.create_dataset(boxes, data=np.array([pairs], object), dtype=h5py.ref_dtype)
        testsets = [kept(np.array(people, np.float64).T) for people in TESTSETS]
        file.create_dataset("testsets", data=np.array([testsets], object), dtype=h5py.ref_dtype)
    return root


def _pair(boxes, pair, kept):  # type: ignore[no-untyped-def]  # references of h5py have no type
    people = sorted(person for number, person in BOXES[boxes] if number == pair)
    cells = np.empty((10, len(people)), object)  # stored transposed: MATLAB has people x 10
    for column, person in enumerate(people):
        for number in range(1, 11):
            there = number in BOXES[boxes][pair, person]
            array = pixels(boxes, pair, person, number).transpose(2, 1, 0) if there else np.zeros(2, np.uint64)
            cells[number - 1, column] = kept(array)
    return kept(cells)


def divisions(root: Path) -> Path:
    """The two files of the new protocol."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    for boxes in BOXES:
        where = list(places(boxes))
        files = np.array([name(*place) for place in where], object).reshape(-1, 1)
        index = {
            f"{part}_idx": [[n] for n, place in enumerate(where, 1) if split_of(boxes, *place) == part]
            for part in ("train", "query", "gallery")
        }
        labels = [[10 * pair + person] for pair, person, _ in where]
        savemat(root / f"cuhk03_new_protocol_config_{boxes}.mat", {"filelist": files, "labels": labels, **index})
    return root


def cuhk03(root: Path) -> Path:
    """Extracted pictures, their divisions and the classic test sets."""
    divisions(root)
    for boxes in BOXES:
        (root / f"images_{boxes}").mkdir()
        for place in places(boxes):
            Image.fromarray(pixels(boxes, *place)).save(root / f"images_{boxes}" / name(*place))
    testsets = [[list(person) for person in people] for people in TESTSETS]
    (root / "testsets.json").write_text(json.dumps({"format": "reidclip cuhk03 testsets 1", "testsets": testsets}), encoding="utf-8")
    return root
