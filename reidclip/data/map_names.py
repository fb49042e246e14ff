"""Which file of a folder of label maps belongs to which picture, told from names alone.

Folders made elsewhere mirror the data set's tree or only its last folders (SCHP writes one flat folder, others keep one folder per
identity), and some add a word to the name. One naming must hold for the whole folder: what it does not cover is missing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reidclip.data.files import is_hidden

WORDS = ("", "_parsing", "_parse", "_label", "_labels", "_seg", "_mask")
"""What follows a picture's stem. ``_vis`` and the like are pictures to look at, not label maps, and are never taken."""
SUFFIXES = (".png", ".npy")
"""In the order of preference: SCHP writes raw scores as ``.npy`` beside its ``.png`` maps."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How the maps of a folder are named.

    Attributes:
        start: which parts of a picture's path the map's path has, as a slice: 0 all of them, 1 all but the first folder (``human_parsing/``
            in place of ``rgb/``), -1 the name alone (a flat folder), -2 the name and its folder.
        word, suffix: what follows the stem.
        keep_suffix: the picture's own suffix stays, ``a.jpg.png``.
    """

    start: int = 0
    word: str = ""
    suffix: str = ".png"
    keep_suffix: bool = False

    def of(self, path: str) -> str:
        """Relative path of a picture's map."""
        parts = path.split("/")
        *folders, name = parts[min(self.start, len(parts) - 1) :]
        stem = name if self.keep_suffix else PurePosixPath(name).stem
        return "/".join([*folders, stem + self.word + self.suffix])

    def __str__(self) -> str:
        kept = (
            "<path>/" if self.start == 0 else f"<path from folder {self.start + 1}>/" if self.start > 0 else "<folder>/" * (-self.start - 1)
        )
        return f"{kept}<{'name' if self.keep_suffix else 'stem'}>{self.word}{self.suffix}"


def files_below(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> frozenset[str]:
    """Relative POSIX paths of all files below a folder that may be label maps (or end otherwise); hidden ones are left out."""
    found: list[str] = []
    for place, below, names in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not is_hidden(name)]
        relative = Path(place).relative_to(folder)
        found += [(relative / name).as_posix() for name in names if not is_hidden(name) and name.endswith(suffixes)]
    return frozenset(found)


def match(paths: Sequence[str], files: frozenset[str]) -> tuple[Naming, dict[str, str]]:
    """The naming that gives most pictures a map, and picture path -> map path for these.

    A map that two pictures would share belongs to neither. Among namings that do equally well the one with more folders wins.
    """
    best, taken = Naming(), dict[str, str]()
    for naming in _candidates(paths, files):
        wanted = {path: naming.of(path) for path in paths}
        shared = Counter(wanted.values())
        found = {path: name for path, name in wanted.items() if name in files and shared[name] == 1}
        if len(found) > len(taken):
            best, taken = naming, found
        if len(taken) == len(paths):
            break
    return best, taken


def _candidates(paths: Sequence[str], files: frozenset[str]) -> list[Naming]:
    """Namings worth a try, the preferred ones first; those whose endings no file has are left out."""
    folders = max((path.count("/") for path in paths), default=0)
    starts = [*range(folders), *range(-folders, 0)] or [-1]
    endings = [(word, suffix) for suffix in SUFFIXES for word in WORDS if any(name.endswith(word + suffix) for name in files)]
    return [Naming(start, word, suffix, keep) for keep in (False, True) for word, suffix in endings for start in starts]
