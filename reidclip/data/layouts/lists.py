"""Lists of pictures that a data set keeps beside its folders: ``<path> <pid>`` on every line."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from reidclip.errors import UserError

_LINE = re.compile(r"(?P<path>\S+) (?P<pid>\d+)")


@dataclass(frozen=True)
class ListedPicture:
    """One line: its 1-based number, the POSIX path as listed, the identity."""

    line: int
    path: str
    pid: int


def read_list(path: Path) -> list[ListedPicture]:
    """All lines but blank ones.

    Raises:
        UserError: not text, a line that is not ``<path> <pid>``, or a path that leads out of the folder.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.", "Restore the list of the release.") from error
    listed = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{path}, line {number}: '{line.strip()[:80]}' is not a path and an identity.", "Lines look like 0000/a.jpg 0.")
        if posixpath.normpath(match["path"]) != match["path"] or match["path"].startswith(("/", "..")) or "\\" in match["path"]:
            raise UserError(f"{path}, line {number}: {match['path']} is no plain relative path.", "Lines look like 0000/a.jpg 0.")
        listed.append(ListedPicture(number, match["path"], int(match["pid"])))
    return listed


def first_listed(path: Path) -> str | None:
    """The path in the first line; None when there is no such file or line. Reads no further."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            match = _LINE.fullmatch(lines.readline(10_000).strip())
    except (OSError, ValueError):
        return None
    return match["path"] if match else None
