"""Lists that a data set keeps beside its folders, one picture or tracklet a line; ``<path> <pid>`` is a common kind of line."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.data.faults import Fault

_LINE = re.compile(r"(?P<path>\S+) (?P<pid>\d+)")


@dataclass(frozen=True)
class ListedPicture:
    """One line: its 1-based number, the POSIX path as listed, the identity."""

    line: int
    path: str
    pid: int


def read_list(path: Path, faults: list[Fault]) -> list[ListedPicture]:
    """All lines that fit, blank ones left out; every other line is added to ``faults``, and so is a list that is not text."""
    listed = []
    for number, line in lines_of(path, faults):
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(line_fault(path, number, f"'{line[:80]}' is not a path and an identity"))
        elif posixpath.normpath(match["path"]) != match["path"] or match["path"].startswith(("/", "..")) or "\\" in match["path"]:
            faults.append(line_fault(path, number, f"{match['path']} is no plain relative path"))
        else:
            listed.append(ListedPicture(number, match["path"], int(match["pid"])))
    return listed


def lines_of(path: Path, faults: list[Fault]) -> Iterator[tuple[int, str]]:
    """1-based number and text of every line that is not blank, stripped; none, and a fault more, of a list that is not text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        faults.append(Fault("Lists that cannot be read", path.name, what, "Restore the list of the release."))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def line_fault(
    path: Path,
    line: int,
    what: str,
    kind: str = "Lines of lists that do not fit",
    remedy: str = "Lines look like 0000/a.jpg 0; restore the list of the release.",
) -> Fault:
    """A fault in a line of a list; ``what`` is a clause."""
    return Fault(kind, f"{path.name}, line {line}: {what}", f"{path}, line {line}: {what}", remedy)


def first_listed(path: Path) -> str | None:
    """The path in the first line; None when there is no such file or line. Reads no further."""
    match = _LINE.fullmatch(first_line(path))
    return match["path"] if match else None


def first_line(path: Path) -> str:
    """The first line, stripped; "" when there is no such file, or it is not text. Reads no further."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return lines.readline(10_000).strip()
    except (OSError, ValueError):
        return ""
