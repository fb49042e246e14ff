"""Label maps on their way to disk: written by a few threads, each noted in a journal when it is there.

The journal spares an interrupted run of tens of thousands of pictures from decoding what it has: a file that still has the noted CRC is
the map that was written, and its label counts stand beside. Maps without a note (a kill between file and journal) are read.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
import numpy.typing as npt

from reidclip.artifacts.payload import PART
from reidclip.data.files import mirrored
from reidclip.data.images import UInt8, read_indexed_png, write_indexed_png
from reidclip.data.label_sets import palette
from reidclip.errors import WorkError

LABELS = "labels"
JOURNAL = "finished-{}.log"  # one for each process: path, bytes, CRC-32 of the file, pixels of each label
THREADS = 2  # compression leaves the interpreter lock: two threads write several hundred maps of a crop's size a second
WAITING = 64_000_000  # pixels of maps that may wait for the disk before the network waits for it

Counts = npt.NDArray[np.int64]


def label_file(path: str) -> str:
    """Payload path of the label map of a picture (relative path)."""
    return f"{LABELS}/{mirrored(path)}"


@dataclass(frozen=True, slots=True)
class Finished:
    """A label map on disk: its picture, size and CRC-32 of its file, and how many pixels each label has."""

    path: str
    size: int
    crc: int
    pixels: tuple[int, ...]

    def line(self) -> str:
        """Its note in the journal."""
        return json.dumps([self.path, self.size, self.crc, self.pixels], separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> Finished | None:
        """The note of a line; None for one that was cut off."""
        try:
            path, size, crc, pixels = json.loads(line)
            return cls(str(path), int(size), int(crc), tuple(int(count) for count in pixels))
        except (ValueError, TypeError):
            return None


class MapWriter:
    """Context manager that writes label maps in the background; on leaving it without an error all of them are on disk.

    Args:
        folder: of the artifact.
        labels: how many labels there are.
        number: of this process; each has a journal.
    """

    def __init__(self, folder: Path, labels: int, number: int = 0) -> None:
        self._folder, self._palette, self._labels = folder, palette(labels), labels
        self._journal = (folder / JOURNAL.format(number)).open("a", encoding="utf-8")
        self._pool = ThreadPoolExecutor(THREADS, "label maps")
        self._waiting: deque[tuple[int, Future[Finished]]] = deque()
        self._pixels = 0
        self._lock = Lock()

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._drain(0)
        finally:
            # After Ctrl-C or a broken picture, what the network has done is still kept: a moment's work, unless the disk is full.
            self._pool.shutdown(wait=True, cancel_futures=isinstance(error, OSError))
            self._journal.close()

    def put(self, path: str, labels: UInt8) -> None:
        """Write the label map of a picture, soon; raises what an earlier one met."""
        self._waiting.append((labels.size, self._pool.submit(self._write, path, labels)))
        self._pixels += labels.size
        self._drain(WAITING)

    def _drain(self, allowed: int) -> None:
        """Forget those that are written, and wait until no more pixels than allowed are not."""
        while self._waiting and (self._pixels > allowed or not allowed or self._waiting[0][1].done()):
            pixels, written = self._waiting.popleft()
            self._pixels -= pixels
            written.result()

    def _write(self, path: str, labels: UInt8) -> Finished:
        """Written beside and renamed, so that a kill leaves no half label map behind for the next run to keep."""
        target = self._folder / label_file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{os.getpid()}{PART}")
        write_indexed_png(part, labels, self._palette)
        data = part.read_bytes()
        os.replace(part, target)
        note = Finished(path, len(data), zlib.crc32(data), tuple(pixels_of(labels, self._labels).tolist()))
        with self._lock:
            self._journal.write(note.line())
            self._journal.flush()
        return note


def pixels_of(labels: UInt8, count: int) -> Counts:
    """Pixels of each label, (count,) int64."""
    return np.bincount(labels.ravel(), minlength=count).astype(np.int64)


def find_finished(folder: Path, paths: Iterable[str], labels: int) -> dict[str, Counts]:
    """Pictures whose label maps an interrupted run left whole, with the pixels of each label. Damaged maps are left out."""
    notes = _journals(folder)
    found = {}
    for path in paths:
        pixels = _checked(folder / label_file(path), notes.get(path), labels)
        if pixels is not None:
            found[path] = pixels
    return found


def remove_journals(folder: Path) -> None:
    """They are no part of the artifact."""
    for journal in folder.glob(JOURNAL.format("*")):
        journal.unlink()


def _journals(folder: Path) -> Mapping[str, Finished]:
    return {note.path: note for journal in sorted(folder.glob(JOURNAL.format("*"))) for note in _notes(journal)}


def _notes(journal: Path) -> Iterator[Finished]:
    with journal.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            note = Finished.parse(line)
            if note is not None:
                yield note


def _checked(file: Path, note: Finished | None, labels: int) -> Counts | None:
    try:
        if note is not None:
            data = file.read_bytes()
            whole = len(data) == note.size and zlib.crc32(data) == note.crc and len(note.pixels) == labels
            return np.array(note.pixels, np.int64) if whole else None
        if not file.is_file():
            return None
        read, _ = read_indexed_png(file)
    except (OSError, WorkError):
        return None
    return pixels_of(read, labels) if read.size and int(read.max()) < labels else None
