"""Rendered pictures with exact label maps: read from the renderer's folders, and kept decoded in files that are mapped into memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from reidclip.data.images import read_indexed_png, read_picture
from reidclip.errors import UserError
from reidclip_schp.tiny_geometry import Fit, letterbox

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """RGB (H, W, 3) and labels (H, W), uint8."""

    picture: UInt8
    labels: UInt8


@dataclass(frozen=True)
class Bank:
    """Many pairs of one size: pictures (N, H, W, 3) and labels (N, H, W), uint8, mapped from files."""

    pictures: UInt8
    labels: UInt8

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Pair:
        return Pair(self.pictures[index], self.labels[index])

    @classmethod
    def open(cls, stem: Path) -> Bank:
        """What `create` wrote and `fill` filled."""
        files = _files(stem)
        if not all(file.is_file() for file in files) or filled(stem) < len(np.load(files[1], mmap_mode="r")):
            raise UserError(f"{stem} is not there or not full.", "Run examples/train_schp_tiny/prepare.py first (see README.md).")
        return cls(*(np.load(file, mmap_mode="r") for file in files))

    @classmethod
    def create(cls, stem: Path, count: int, size_hw: tuple[int, int]) -> Bank:
        """Files of that many pairs to be filled in place; files of the same shape are kept as they are."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        shapes = ((count, *size_hw, 3), (count, *size_hw))
        if not all(
            file.is_file() and np.load(file, mmap_mode="r").shape == shape for file, shape in zip(_files(stem), shapes, strict=True)
        ):
            stem.with_suffix(".done").unlink(missing_ok=True)
            for file, shape in zip(_files(stem), shapes, strict=True):
                np.lib.format.open_memmap(str(file), mode="w+", dtype=np.uint8, shape=shape)
        return cls(*(np.load(file, mmap_mode="r+") for file in _files(stem)))


def filled(stem: Path) -> int:
    """How many pairs of a bank are there."""
    progress = stem.with_suffix(".done")
    return int(progress.read_text(encoding="utf-8")) if progress.is_file() else 0


def fill(stem: Path, bank: Bank, make: Callable[[int], Pair], every: int = 500) -> None:
    """Fill a bank from the first pair that is missing; says how far it is."""
    for index in range(filled(stem), len(bank)):
        pair = make(index)
        bank.pictures[index], bank.labels[index] = pair.picture, pair.labels
        if (index + 1) % every == 0 or index + 1 == len(bank):
            stem.with_suffix(".done").write_text(str(index + 1), encoding="utf-8")
            print(f"{stem.name} {index + 1}/{len(bank)}, {time.process_time():.0f} processor seconds", flush=True)


def _files(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}-pictures.npy"), stem.with_name(f"{stem.name}-labels.npy")


def rendered_pair(root: Path, row: dict[str, str]) -> Pair:
    """One picture of `reidclip synth ROOT --layout pairs` with its label map, by its row of the table."""
    labels, _ = read_indexed_png(root / row["parsing"])
    return Pair(read_picture(root / row["path"]), labels)


def rows(root: Path) -> list[dict[str, str]]:
    """The renderer's table: one row per picture."""
    table = root / "attributes.jsonl"
    if not table.is_file():
        raise UserError(f"There is no {table}.", "Render pictures first: reidclip synth OUT --layout pairs (see README.md).")
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines() if line]


def letterboxed(pair: Pair, size_hw: tuple[int, int]) -> Pair:
    """Picture and labels as the parser sees them: fitted into the size, the rest grey and background.

    Labels are taken at pixel centres (INTER_NEAREST takes them at corners, which moves a map by up to half a pixel).
    """
    if pair.labels.shape == size_hw:
        return pair
    fit = Fit.of((pair.labels.shape[0], pair.labels.shape[1]), size_hw)
    labels = np.zeros(size_hw, np.uint8)
    inner = cv2.resize(pair.labels, (fit.width, fit.height), interpolation=cv2.INTER_NEAREST_EXACT)
    labels[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = inner
    return Pair(letterbox(pair.picture, size_hw), labels)
