"""What is known of every vector of a gallery: one row per vector, kept as ``items.csv`` beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from reidclip.errors import WorkError

ITEMS_FILE = "items.csv"

_ANY_NAME = "surrogateescape"  # a file may be called by bytes that are no text


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or crop.

    Attributes:
        path: POSIX path of the picture, or of the video, relative to ``VectorSet.root``.
        frame: 0-based frame of a video; -1 for a picture.
        box: left, top, width, height in pixels of the picture or frame; None for all of it.
        track: the tracker's number; -1 without one.
        time: seconds since the epoch where a clock is known, else seconds from the video's begin; None where neither is.
        pid, camid, clothes_id: labels, -1 where unknown. ``clothes_id`` may be a cluster's number (see the index's ``clothes``).
        domain: name of the data set, "" when there is one.
    """

    path: str
    frame: int = -1
    box: tuple[int, int, int, int] | None = None
    track: int = -1
    time: float | None = None
    pid: int = -1
    camid: int = -1
    clothes_id: int = -1
    domain: str = ""

    @property
    def key(self) -> str:
        """Names the item within a gallery: path, and where they are known frame, track and box: "hall.mp4#120:7:10,20,64,128"."""
        box = ",".join(map(str, self.box)) if self.box else ""
        tail = f"{self.frame if self.frame >= 0 else ''}:{self.track if self.track >= 0 else ''}:{box}".rstrip(":")
        return f"{self.path}#{tail}" if tail else self.path


_COLUMNS = tuple(f.name for f in fields(Item))


def write_items(path: Path, items: Iterable[Item]) -> None:
    """One row per item; an empty cell stands for None."""
    with path.open("w", encoding="utf-8", errors=_ANY_NAME, newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # else a carriage return in a name ends its row
        writer.writerow(_COLUMNS)
        for i in items:
            box = " ".join(map(str, i.box)) if i.box else ""
            time = "" if i.time is None else float(i.time)
            writer.writerow((i.path, i.frame, box, i.track, time, i.pid, i.camid, i.clothes_id, i.domain))


def read_items(path: Path) -> list[Item]:
    """What `write_items` wrote.

    Raises:
        WorkError: the file is missing, or a row is not one of an item.
    """
    return list(_items(path))


def _items(path: Path) -> Iterator[Item]:
    try:
        with path.open(encoding="utf-8", errors=_ANY_NAME, newline="") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != _COLUMNS:
                raise WorkError(f"{path} is not a table of items.", "Make the artifact again.")
            for row in rows:
                yield _item(row)
    except OSError as error:
        raise WorkError(f"{path} cannot be read: {error.strerror or error}.", "Make the artifact again.") from error
    except (ValueError, csv.Error) as error:
        raise WorkError(f"{path}, line {rows.line_num}: not an item ({error}).", "Make the artifact again.") from error


def _item(row: list[str]) -> Item:
    path, frame, box, track, time, pid, camid, clothes_id, domain = row
    return Item(path, int(frame), _box(box), int(track), float(time) if time else None, int(pid), int(camid), int(clothes_id), domain)


def _box(told: str) -> tuple[int, int, int, int] | None:
    if not told:
        return None
    left, top, width, height = (int(v) for v in told.split(" "))
    return left, top, width, height
