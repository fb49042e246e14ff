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
class FlatNames:
    """The folders and the names of one data set.

    Attributes:
        title: the data set's name in messages.
        folders: folder -> split.
        pattern: of the whole base name, with at least the groups ``pid`` and ``cam`` (numbered from 1).
        example: a name that fits, for messages.
        expected_tree: for messages.
    """

    title: str
    folders: Mapping[str, str]
    pattern: re.Pattern[str]
    example: str
    expected_tree: str

    def known_in(self, root: Path) -> bool:
        """True when one of the folders holds a picture with a fitting name. Looks at a few names only; never raises."""
        return any(self._names_one(root / folder) for folder in self.folders)

    def read(self, root: Path) -> tuple[list[NamedPicture], list[str]]:
        """All pictures of the folders that are there, sorted by folder and name, and notes of what was skipped.

        Raises:
            UserError: none of the folders, no pictures, or a picture whose name does not fit.
        """
        if not any((root / folder).is_dir() for folder in self.folders):
            raise UserError(f"{root} has no {self.title} tree.", f"Expected:\n{self.expected_tree}")
        pictures: list[NamedPicture] = []
        no_pictures: list[Path] = []
        sub_folders: list[Path] = []
        for folder, split in self.folders.items():
            for name, is_folder in _entries(root / folder):
                if is_folder:
                    sub_folders.append(root / folder / name)
                elif is_picture(name):
                    pictures.append(NamedPicture(f"{folder}/{name}", split, self._fields(root / folder / name)))
                else:
                    no_pictures.append(root / folder / name)
        notes = _skipped_notes(no_pictures, sub_folders)
        if not pictures:
            raise UserError(
                " ".join((f"{root} has folders of {self.title} but no pictures in them.", *notes)), f"Expected:\n{self.expected_tree}"
            )
        return pictures, notes

    def _names_one(self, folder: Path) -> bool:
        try:
            with os.scandir(folder) as entries:
                return any(is_picture(e.name) and self.pattern.fullmatch(e.name) for e in itertools.islice(entries, _LOOK_AT))
        except (OSError, ValueError):
            return False

    def _fields(self, path: Path) -> dict[str, str]:
        match = self.pattern.fullmatch(path.name)
        if match is None:
            raise UserError(f"{path} is not named as in {self.title}.", f"Names look like {self.example}; mend or remove the file.")
        if int(match["cam"]) == 0:
            raise UserError(f"{path} names camera 0.", f"Cameras of {self.title} are numbered from 1, as in {self.example}.")
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
