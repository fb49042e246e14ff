"""MSMT17: fifteen cameras, one outfit per person; lists beside the folders say which picture belongs where.

Wei, Zhang, Gao, Tian: "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018. Two versions exist, the
second with blurred faces; where both are found the first is read, as the published programs do.

Training and test identities are both numbered from 0 and are different people. They are kept as numbered: nothing compares the two
halves, and whoever joins them must move one by the number of training identities (1,041).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from reidclip.counted import counted, which
from reidclip.data.doubtful_labels import doubtful_labels_note
from reidclip.data.faults import Fault, without_faults
from reidclip.data.files import file_names, folders, is_picture
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.lists import ListedPicture, first_listed, line_fault, read_list
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/list_train.txt (also list_val, list_query, list_gallery)    lines: 0000/0000_000_01_0303morning_0015_0.jpg 0
DATA/train/0000/0000_000_01_0303morning_0015_0.jpg               train and val; mask_train_v2 in version 2
DATA/test/...                                                    query and gallery; mask_test_v2 in version 2"""

_PARENTS = ("MSMT17_V1", "MSMT17", "MSMT17_V2")  # in the order of preference, as the next
_VERSIONS = (("1", "train", "test"), ("2", "mask_train_v2", "mask_test_v2"))
_LISTS = {"train": "list_train.txt", "val": "list_val.txt", "query": "list_query.txt", "gallery": "list_gallery.txt"}
_FILE = re.compile(r"[^_]+_[^_]+_(?P<cam>\d{1,2})_.+")  # the camera is the third field
_EXACT = re.compile(r"\d{4}_\d{3}_\d{2}_\d{4}[a-z]+_\d+_\d+\.(?i:jpg)")  # the whole name in the release
_CAMERAS = 15
_LOOK_AT = 50  # sub-folders in which a picture is looked for; a copy may be half unpacked
_EXAMPLE = "0000_000_01_0303morning_0015_0.jpg"

_PROTOCOLS = (
    Protocol(
        "general",
        Rule.STD,
        "query",
        "gallery",
        note="All queries, the whole gallery. Published programs differ in the training pictures: list_train alone, or list_val as well.",
    ),
)

_PUBLISHED = (
    count("identities", 1_041, "R", "train", "val"),
    count("images", 30_248, "R", "train"),
    count("images", 2_373, "R", "val"),
    count("images", 32_621, "R", "train", "val"),
    count("cameras", 15, "R", "train", "val"),
    count("identities", 3_060, "R", "query"),
    count("images", 11_659, "R", "query"),
    count("identities", 3_060, "R", "gallery"),
    count("images", 82_161, "R", "gallery"),
    count("cameras", 15, "R", "query", "gallery"),
)


class Msmt17Layout:
    """Reads MSMT17; the folder given may be the one that holds ``MSMT17_V1``, ``MSMT17`` or ``MSMT17_V2``."""

    name = "msmt17"
    title = "MSMT17 (Wei et al.; CVPR 2018)"
    expected_tree = EXPECTED_TREE
    source = (
        "The authors give it to those who sign an agreement for research use; see the paper's page (Peking University, Shiliang Zhang)."
    )
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with MSMT17's picture folders and a list that names MSMT17 pictures in its first line."""
        try:
            return any(copy.names_pictures() for copy in _copies(root))
        except (OSError, ValueError):
            return False

    def near_miss(self, root: Path) -> str:
        """What a folder that has some of MSMT17's tree lacks, one sentence; "" for every other folder."""
        return next((told for base in _bases(root) if (told := _what_is_missing(base))), "")

    def load(self, root: Path) -> Dataset:
        """All samples that the lists name, and the protocol. A copy may lack one half; notes say what it cannot do then.

        Raises:
            UserError: no MSMT17 tree, or no pictures.
            DataFaultsError: lists with lines that do not fit, come twice, or name files that are not there.
        """
        copies = list(_copies(root))
        if not copies:
            raise UserError(" ".join(filter(None, (f"{root} has no MSMT17 tree.", self.near_miss(root)))), f"Expected:\n{EXPECTED_TREE}")
        copy, others = copies[0], copies[1:]
        notes = [f"Also there, not read: {other.base / other.train}. Give its folder alone to read it." for other in others]
        if copy.version == "2":
            notes.append("This is version 2, whose faces are blurred; most published numbers are of version 1.")
        faults: list[Fault] = []
        samples = _samples(copy, notes, faults)
        if not samples and not faults:
            raise UserError(" ".join((f"{root} has MSMT17's folders but no pictures.", *notes)), f"Expected:\n{EXPECTED_TREE}")
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), "MSMT17 has no clothes labels, and nobody changes."))
        dataset = assemble(self.name, copy.base, samples, _PROTOCOLS, notes)
        return without_faults(replace(dataset, numbered_apart=True), faults)


LAYOUT = Msmt17Layout()


@dataclass(frozen=True)
class _Copy:
    """Where one version lies: ``base`` holds the lists and the two picture folders."""

    base: Path
    version: str
    train: str
    test: str

    def folder(self, split: str) -> str:
        return self.train if split in ("train", "val") else self.test

    def names_pictures(self) -> bool:
        """Whether a list begins with a picture of MSMT17."""
        return any(_is_named(self.base / name) for name in _LISTS.values())


def _copies(root: Path) -> Iterator[_Copy]:
    """Every version in the folder and in its sub-folders of the usual names, the preferred one first."""
    for base in _bases(root):
        if any((base / name).is_file() for name in _LISTS.values()):
            yield from (_Copy(base, *version) for version in _versions(base))


def _bases(root: Path) -> tuple[Path, ...]:
    return (root, *(root / name for name in _PARENTS))


def _versions(base: Path) -> Iterator[tuple[str, str, str]]:
    """Those whose folders are there, one of the two at least."""
    return (version for version in _VERSIONS if any((base / folder).is_dir() for folder in version[1:]))


def _what_is_missing(base: Path) -> str:
    """What a folder with MSMT17's lists, or with pictures named as MSMT17's, lacks; "" for every other folder."""
    lists = [name for name in _LISTS.values() if (base / name).is_file()]
    if lists:
        named = any(_is_named(base / name) for name in lists)
        return f"{base} has {lists[0]}, but no folder train or test (version 2: mask_train_v2, mask_test_v2)." if named else ""
    named = any(_holds_pictures(base / folder) for version in _versions(base) for folder in version[1:])
    return f"{base} has pictures named as MSMT17's, but {', '.join(_LISTS.values())} are missing: they say who is on them." if named else ""


def _is_named(path: Path) -> bool:
    """Whether a list begins with a picture of MSMT17."""
    first = first_listed(path)
    return first is not None and is_picture(first) and _FILE.fullmatch(first.rpartition("/")[2]) is not None


def _holds_pictures(folder: Path) -> bool:
    """Whether the first picture in the first sub-folders is named exactly as MSMT17's are."""
    names = (name for person in folders(folder)[:_LOOK_AT] for name in file_names(person) if is_picture(name))
    first = next(names, None)
    return first is not None and _EXACT.fullmatch(first) is not None


def _samples(copy: _Copy, notes: list[str], faults: list[Fault]) -> list[Sample]:
    """Samples of all lines whose pictures are there."""
    samples: list[Sample] = []
    first_named: dict[str, str] = {}
    doubtful: list[str] = []
    for split, name in _LISTS.items():
        path, folder = copy.base / name, copy.folder(split)
        if not path.is_file() or not (copy.base / folder).is_dir():
            notes.append(f"There are no {split} pictures: {copy.base / (folder if path.is_file() else name)} is missing.")
            continue
        present = _Present(copy.base / folder)
        for entry in read_list(path, faults):
            where = f"{name}, line {entry.line}"
            if (before := first_named.setdefault(f"{folder}/{_lower_suffix(entry.path)}", where)) != where:
                faults.append(line_fault(path, entry.line, f"{entry.path} is listed already in {before}"))
            elif isinstance(sample := _sample(path, folder, entry, split, present), Fault):
                faults.append(sample)
            else:
                samples.append(sample)
                if _contradicts_its_folder(entry):
                    doubtful.append(f"{where}: {entry.path} {entry.pid}")
    if doubtful:
        reason = f"{counted(len(doubtful), 'line gives', 'lines give')} a picture another identity than its folder does; {which(doubtful)}."
        notes.append(doubtful_labels_note(f"{reason} The lists decide."))
    return samples


def _sample(path: Path, folder: str, entry: ListedPicture, split: str, present: _Present) -> Sample | Fault:
    match = _FILE.fullmatch(entry.path.rpartition("/")[2])
    if match is None or not 1 <= int(match["cam"]) <= _CAMERAS or not is_picture(match[0]):
        return line_fault(
            path,
            entry.line,
            f"{entry.path} is not named as in MSMT17",
            "Listed pictures that are not named as in MSMT17",
            f"Names look like {_EXAMPLE}; the third field is the camera, 01 to {_CAMERAS}. Restore the list of the release.",
        )
    found = present.find(entry.path)
    if found is None:
        return line_fault(
            path,
            entry.line,
            f"there is no file {present.folder / entry.path}",
            "Listed pictures that are missing",
            "Unpack the data set again, or restore the file: without it this is another benchmark.",
        )
    return Sample(f"{folder}/{found}", entry.pid, int(match["cam"]) - 1, -1, split)


def _contradicts_its_folder(entry: ListedPicture) -> bool:
    """Whether a numbered folder, which is the identity within its half, says another one than the list does."""
    folder = entry.path.rpartition("/")[0]
    return folder.isdecimal() and int(folder) != entry.pid


class _Present:
    """Which pictures are there; folders are listed once instead of asking for 126,441 files one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, dict[str, str]] = {}

    def find(self, path: str) -> str | None:
        """The path as it is on disk, where the extension may be written in another case; None when it is not there."""
        parent, _, name = path.rpartition("/")
        if parent not in self._names:
            there = sorted(os.listdir(self.folder / parent)) if (self.folder / parent).is_dir() else []
            # The name itself comes before others that differ from it in the case of the extension.
            self._names[parent] = {_lower_suffix(n): n for n in there} | {n: n for n in there}
        names = self._names[parent]
        found = names.get(name) or names.get(_lower_suffix(name))
        return None if found is None else f"{parent}/{found}" if parent else found


def _lower_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"
