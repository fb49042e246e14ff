"""Label maps and masks made elsewhere, with one of them at fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.data.files import mirrored
from reidclip.data.images import write_indexed_png, write_mask_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.data.open import open_dataset
from tests.cli.error_inputs.place import Place
from tests.fakes import SIZE


def bad_map(place: Place, argument: str) -> Path:
    """``bad_map:KIND``: one of the label maps in ``maps`` is as `_MAPS` says."""
    path = _first(place.root / "maps")
    _MAPS[argument](path)
    return path


def map_missing(place: Place, argument: str) -> Path:
    """One label map less than pictures; the error names the picture."""
    path = _first(place.root / "maps")
    path.unlink()
    return (place.data / path.relative_to(place.root / "maps")).with_suffix(".jpg")


def maps_flat(place: Place, argument: str) -> Path:
    """All label maps in one folder, by stem, where pictures share stems."""
    for path in sorted((place.root / "maps").rglob("*.png")):
        path.rename(place.root / "maps" / path.name)
    return place.root / "maps"


def maps_are_jpegs(place: Place, argument: str) -> Path:
    """Label maps saved as JPEG, which no label survives."""
    paths = sorted((place.root / "maps").rglob("*.png"))
    for path in paths:
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()
    return place.root / "maps"


def maps_all(place: Place, argument: str) -> Path:
    """``maps_all:LABEL``: every label map of the PRCC holds one label only."""
    for picture in sorted(place.data.rglob("*.jpg")):
        path = place.root / "maps" / mirrored(picture.relative_to(place.data).as_posix())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(path, np.full(SIZE, int(argument), np.uint8), LIP_PALETTE)
    return place.root / "maps"


def masks_of_other_size(place: Place, argument: str) -> Path:
    """A masks artifact of this data whose masks are not of the pictures' size: whole, and wrong."""
    dataset = open_dataset(place.data)
    with Store(place.store).create("masks", "m") as draft:
        for sample in dataset.samples:
            path = draft.path / "keep" / mirrored(sample.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mask_png(path, np.ones((8, 8), np.uint8))
        draft.describe(method="labels", dataset=DatasetRef.of(dataset), config={})
    return draft.artifact.path / "keep" / mirrored(dataset.samples[0].path)


def parsing_without_a_table(place: Place, argument: str) -> None:
    """A parsing artifact without ``labels.json``, as no command writes one."""
    dataset = open_dataset(place.data)
    with Store(place.store).create("parsing", "p") as draft:
        write_indexed_png(draft.path / "a.png", np.zeros(SIZE, np.uint8), LIP_PALETTE)
        draft.describe(method="other", dataset=DatasetRef.of(dataset), config={})


def parsing_with_a_strange_table(place: Place, argument: str) -> Path:
    """A parsing artifact whose ``labels.json`` is not what it should be."""
    dataset = open_dataset(place.data)
    with Store(place.store).create("parsing", "p") as draft:
        write_indexed_png(draft.path / "a.png", np.zeros(SIZE, np.uint8), LIP_PALETTE)
        draft.write("labels.json", json.dumps(["Background"]).encode())
        draft.describe(method="other", dataset=DatasetRef.of(dataset), config={})
    return draft.artifact.path / "labels.json"


def _first(folder: Path) -> Path:
    return sorted(folder.rglob("*.png"))[0]


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


_MAPS: dict[str, Callable[[Path], object]] = {
    "other_size": lambda path: write_indexed_png(path, np.zeros((64, 32), np.uint8), LIP_PALETTE),
    "turned": lambda path: write_indexed_png(path, np.zeros(SIZE[::-1], np.uint8), LIP_PALETTE),
    "unknown_label": lambda path: Image.fromarray(np.full(SIZE, 20, np.uint8)).save(path),
    "ignore_label": lambda path: Image.fromarray(np.full(SIZE, 255, np.uint8)).save(path),
    "two_valued": lambda path: Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), ((0, SIZE[0] - 4), (0, SIZE[1] - 4)))).save(path),
    "other_colours": lambda path: Image.new("RGB", SIZE[::-1], (1, 2, 3)).save(path),
    "rgb": lambda path: Image.new("RGB", SIZE[::-1], (85, 51, 0)).save(path),
    "rgba": lambda path: Image.new("RGBA", SIZE[::-1], (85, 51, 0, 255)).save(path),
    "sixteen_bit": lambda path: Image.fromarray(np.zeros(SIZE, np.uint16)).save(path),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("5 5 5\n"),
    "cut_off": _cut,
    "grey": lambda path: Image.fromarray(np.zeros(SIZE, np.uint8)).save(path),
}

BUILDERS = (
    bad_map,
    map_missing,
    maps_flat,
    maps_are_jpegs,
    maps_all,
    masks_of_other_size,
    parsing_without_a_table,
    parsing_with_a_strange_table,
)
