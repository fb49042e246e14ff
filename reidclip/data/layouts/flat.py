"""Flat folders of pictures whose names carry the labels: what LTCC, VC-Clothes and Market-1501 share.

Names alone are matched, never paths: a root such as ``my_ccreid/`` or ``2024-11-19-1/`` looks like a name's part, and programs that
search the whole path read wrong labels from it without an error.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reidclip.data.faults import Fault
from reidclip.data.files import is_hidden, is_picture
from reidclip.errors import UserError
from reidclip.records import Sample

Key = TypeVar("Key", str, tuple[str, ...])

_LOOK_AT = 1000  # entries of a folder that recognition looks at, in the order of the file system


@dataclass(frozen=True)
class NamedPicture:
    """A picture whose name fits.

    Attributes:
        path: POSIX path relative to the data set's root.
        split: of the folder it lies in.
        fields: what the name says, as text: "pid", "cam" and what else the pattern names.
    """

    path: str
    split: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class FlatTree:
    """What the folders hold: pictures sorted by folder and name, notes of what was skipped, and what does not fit."""

    pictures: list[NamedPicture]
    notes: list[str]
    faults: list[Fault]


@dataclass(frozen=True)
class FlatNames:
    """The folders and the names of one data set.

    Attributes:
        title: the data set's name in messages.
        folders: folder -> split.
        pattern: of the whole base name, with the groups ``pid`` and ``cam`` as far as names say them; extensions in any case.
        cameras: how many there are; they are numbered from 1.
        example: a name that fits, for messages.
        expected_tree: for messages.
    """

    title: str
    folders: Mapping[str, str]
    pattern: re.Pattern[str]
    cameras: int
    example: str
    expected_tree: str

    def known_in(self, root: Path) -> bool:
        """True when one of the folders holds a picture with a fitting name. Looks at a few names only; never raises."""
        return any(self._names_one(root / folder) for folder in self.folders)

    def read(self, root: Path) -> FlatTree:
        """Everything in the folders that are there.

        Raises:
            UserError: none of the folders, or no pictures in them.
        """
        if not any((root / folder).is_dir() for folder in self.folders):
            raise UserError(f"{root} has no {self.title} tree.", f"Expected:\n{self.expected_tree}")
        pictures: list[NamedPicture] = []
        faults: list[Fault] = []
        no_pictures: list[Path] = []
        sub_folders: list[Path] = []
        for folder, split in self.folders.items():
            for name, is_folder in _entries(root / folder):
                if is_folder:
                    sub_folders.append(root / folder / name)
                elif not is_picture(name):
                    no_pictures.append(root / folder / name)
                elif isinstance(fields := self._fields(root, f"{folder}/{name}"), Fault):
                    faults.append(fields)
                else:
                    pictures.append(NamedPicture(f"{folder}/{name}", split, fields))
        notes = _skipped_notes(no_pictures, sub_folders)
        if not pictures and not faults:
            raise UserError(
                " ".join((f"{root} has folders of {self.title} but no pictures in them.", *notes)), f"Expected:\n{self.expected_tree}"
            )
        return FlatTree(pictures, notes, faults)

    def _names_one(self, folder: Path) -> bool:
        try:
            with os.scandir(folder) as entries:
                return any(is_picture(e.name) and self.pattern.fullmatch(e.name) for e in itertools.islice(entries, _LOOK_AT))
        except (OSError, ValueError):
            return False

    def _fields(self, root: Path, path: str) -> dict[str, str] | Fault:
        match = self.pattern.fullmatch(path.rpartition("/")[2])
        if match is None:
            return Fault(
                f"Pictures that are not named as in {self.title}",
                path,
                f"{root / path} is not named as in {self.title}",
                f"Names look like {self.example}; restore the name, or move away what the release does not have.",
            )
        if "cam" in self.pattern.groupindex and not 1 <= int(match["cam"]) <= self.cameras:
            return Fault(
                f"Pictures of cameras that {self.title} does not have",
                path,
                f"{root / path} names camera {int(match['cam'])}",
                f"Cameras of {self.title} are numbered 1 to {self.cameras}, as in {self.example}; restore the name.",
            )
        return match.groupdict()


def samples_of(pictures: Sequence[NamedPicture], outfit: Callable[[NamedPicture], Any] | None = None) -> list[Sample]:
    """Samples with 0-based cameras and, where ``outfit`` gives a key, clothes labels.

    A clothes label is the rank of its key among the sorted keys of its half (training; query and gallery together).

    Args:
        pictures: of all splits.
        outfit: key of the picture's outfit, different for different people; None: clothes are unknown.
    """
    ranks: dict[bool, dict[Any, int]] = {}
    if outfit is not None:
        for half in (True, False):
            ranks[half] = sorted_ranks(outfit(p) for p in pictures if (p.split == "train") is half)
    return [
        Sample(
            path=p.path,
            pid=int(p.fields["pid"]),
            camid=int(p.fields["cam"]) - 1,
            clothes_id=-1 if outfit is None else ranks[p.split == "train"][outfit(p)],
            split=p.split,
        )
        for p in pictures
    ]


def sorted_ranks(keys: Iterable[Key]) -> dict[Key, int]:
    """Key -> its rank among the different keys; text is sorted as text, as the published programs do: "1_10" comes before "1_2"."""
    return {key: rank for rank, key in enumerate(sorted(set(keys)))}


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) in sorted order, hidden ones left out; empty when there is no such folder.

    A link that leads nowhere counts as a file: a picture that is gone must not vanish in silence.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted((e.name, e.is_dir()) for e in entries if not is_hidden(e.name))


def _skipped_notes(files: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    notes = []
    if files:
        notes.append(f"{len(files)} files that are no pictures were skipped; the first is {files[0]}.")
    if folders:
        notes.append(f"{len(folders)} sub-folders were skipped, since pictures lie in one flat folder; the first is {folders[0]}.")
    return notes
