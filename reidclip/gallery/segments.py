"""Vectors of an index on disk: files that are written once, and shared by the index's versions through hard links.

``segments.json`` names ``vectors-*.npy`` files, (n, D) float32 each, in the order of their rows. An index that keeps removed rows in place
(its graph knows them by number) lists them; rows are then numbered over those that are left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from reidclip.errors import WorkError

TABLE = "segments.json"
_BYTES = 1 << 28  # of a full file: memory while it is written, and what one removed row makes anew


@dataclass(frozen=True)
class Segments:
    """All vectors of an index, mapped into memory and not read.

    Attributes:
        folder: where the files are.
        width: D.
        names, rows: of the files in order, and how many rows each holds.
        removed: sorted numbers, over all files together, of rows that are there no longer.
    """

    folder: Path
    width: int
    names: tuple[str, ...]
    rows: tuple[int, ...]
    removed: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Segments:
        """What `write` and `extended` wrote.

        Raises:
            WorkError: no such table, or one that its files do not fit.
        """
        try:
            told = json.loads((folder / TABLE).read_text(encoding="utf-8"))
            names, rows = zip(*told["files"], strict=True) if told["files"] else ((), ())
            found = cls(folder, int(told["width"]), tuple(names), tuple(map(int, rows)), np.array(told["removed"], dtype=np.int64))
            shapes = [block.shape for block in found.blocks]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkError(f"{folder} holds no vectors of an index: {error}.", "Build the index again.") from error
        if shapes != [(n, found.width) for n in found.rows]:
            raise WorkError(f"{folder / TABLE} does not fit the files beside it.", "Build the index again.")
        return found

    @cached_property
    def blocks(self) -> list[np.ndarray]:
        """(n, D) float32 per file, read as they are used."""
        return [np.load(self.folder / name, mmap_mode="r", allow_pickle=False) for name in self.names]

    @property
    def total(self) -> int:
        """Rows in the files, removed ones among them."""
        return sum(self.rows)

    @property
    def count(self) -> int:
        """Rows that are left."""
        return self.total - len(self.removed)

    @cached_property
    def live(self) -> np.ndarray | None:
        """(count,) place in the files of each row; None where nothing was removed, and every row is its own place."""
        if not len(self.removed):
            return None
        left: np.ndarray = np.setdiff1d(np.arange(self.total), self.removed, assume_unique=True)
        return left

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Rows -> places in the files."""
        return rows if self.live is None else self.live[rows]

    def numbers(self, places: np.ndarray) -> np.ndarray:
        """Places in the files -> rows; -1 stays."""
        if self.live is None:
            return places
        return np.where(places < 0, -1, np.searchsorted(self.live, places))

    def at(self, places: np.ndarray) -> np.ndarray:
        """(R, D) float32 copies of the vectors at these places, in their order."""
        found = np.empty((len(places), self.width), dtype=np.float32)
        begin = 0
        for block in self.blocks:
            here = (places >= begin) & (places < begin + len(block))
            found[here] = block[places[here] - begin]
            begin += len(block)
        return found

    def blocks_from(self, place: int, size: int = 65_536) -> Iterator[np.ndarray]:
        """All vectors from a place on, removed ones among them, in pieces (B, D)."""
        begin = 0
        for block in self.blocks:
            for start in range(max(0, place - begin), len(block), size):
                yield block[start : start + size]
            begin += len(block)


def write(folder: Path, width: int, vectors: Iterator[np.ndarray]) -> Segments:
    """Vectors (B, D) float32 into files of an empty folder."""
    return _with(folder, width, [], [], (), vectors)


def extended(
    old: Segments, folder: Path, removed: Sequence[int] | np.ndarray, vectors: Iterator[np.ndarray], keep_places: bool
) -> Segments:
    """Those of ``old`` without the rows ``removed`` and with more, elsewhere; files that stay as they are become hard links.

    Args:
        keep_places: leave removed rows in their files and list them, so that places keep their numbers; else such files are made anew.
    """
    gone = np.union1d(old.removed, old.places(np.asarray(removed, dtype=np.int64))).astype(np.int64)
    names: list[str] = []
    rows: list[int] = []
    begin = 0
    for name, block in zip(old.names, old.blocks, strict=True):
        here = gone[(gone >= begin) & (gone < begin + len(block))] - begin
        begin += len(block)
        if keep_places or not len(here):
            names.append(name)
            link(old.folder / name, folder / name)
            rows.append(len(block))
        elif len(here) < len(block):
            names.append(_fresh_name([*old.names, *names]))
            np.save(folder / names[-1], np.delete(block, here, axis=0), allow_pickle=False)
            rows.append(len(block) - len(here))
    return _with(folder, old.width, names, rows, gone if keep_places else (), vectors)


def link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy on file systems that have no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _with(
    folder: Path, width: int, names: list[str], rows: list[int], removed: Sequence[int] | np.ndarray, vectors: Iterator[np.ndarray]
) -> Segments:
    """Add files of about `_BYTES` each, then the table."""
    room = max(1, _BYTES // (4 * width))
    waiting: list[np.ndarray] = []
    for block in vectors:
        rest = np.asarray(block, dtype=np.float32)
        while len(rest):
            part = rest[: room - sum(map(len, waiting))]
            rest = rest[len(part) :]
            waiting.append(part)
            if sum(map(len, waiting)) == room:
                _save(folder, names, rows, waiting)
    if waiting:
        _save(folder, names, rows, waiting)
    told = {"width": width, "files": list(zip(names, rows, strict=True)), "removed": [int(r) for r in removed]}
    (folder / TABLE).write_text(json.dumps(told) + "\n", encoding="utf-8")
    return Segments.read(folder)


def _save(folder: Path, names: list[str], rows: list[int], waiting: list[np.ndarray]) -> None:
    names.append(_fresh_name(names))
    rows.append(sum(map(len, waiting)))
    np.save(folder / names[-1], np.concatenate(waiting), allow_pickle=False)
    waiting.clear()


def _fresh_name(taken: Sequence[str]) -> str:
    """``vectors-0004.npy``: one more than any of these."""
    return f"vectors-{1 + max((int(name[8:-4]) for name in taken), default=0):04d}.npy"
