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

from reidclip.data.files import is_picture
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.lists import ListedPicture, first_listed, read_list
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

    def load(self, root: Path) -> Dataset:
        """All samples that the lists name, and the protocol. A copy may lack one half; notes say what it cannot do then.

        Raises:
            UserError: no MSMT17 tree, no pictures, a list with a line that does not fit, comes twice, or names a file that is not there.
        """
        copies = list(_copies(root))
        if not copies:
            raise UserError(f"{root} has no MSMT17 tree.", f"Expected:\n{EXPECTED_TREE}")
        copy, others = copies[0], copies[1:]
        notes = [f"Also there, not read: {other.base / other.train}. Give its folder alone to read it." for other in others]
        if copy.version == "2":
            notes.append("This is version 2, whose faces are blurred; most published numbers are of version 1.")
        samples = _samples(copy, notes)
        if not samples:
            raise UserError(" ".join((f"{root} has MSMT17's folders but no pictures.", *notes)), f"Expected:\n{EXPECTED_TREE}")
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), "MSMT17 has no clothes labels, and nobody changes."))
        return replace(assemble(self.name, copy.base, samples, _PROTOCOLS, notes), numbered_apart=True)


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
        firsts = (first_listed(self.base / name) for name in _LISTS.values())
        return any(first and is_picture(first) and _FILE.fullmatch(first.rpartition("/")[2]) for first in firsts)


def _copies(root: Path) -> Iterator[_Copy]:
    """Every version in the folder and in its sub-folders of the usual names, the preferred one first."""
    for base in (root, *(root / name for name in _PARENTS)):
        if any((base / name).is_file() for name in _LISTS.values()):
            for version, train, test in _VERSIONS:
                if (base / train).is_dir() or (base / test).is_dir():
                    yield _Copy(base, version, train, test)


def _samples(copy: _Copy, notes: list[str]) -> list[Sample]:
    """Samples of all lists whose pictures are there."""
    samples: list[Sample] = []
    first_named: dict[str, str] = {}
    for split, name in _LISTS.items():
        path, folder = copy.base / name, copy.folder(split)
        if not path.is_file() or not (copy.base / folder).is_dir():
            notes.append(f"There are no {split} pictures: {copy.base / (folder if path.is_file() else name)} is missing.")
            continue
        listed = read_list(path)
        _check_files(path, copy.base / folder, listed)
        for entry in listed:
            sample = Sample(f"{folder}/{entry.path}", entry.pid, _camera(path, entry), -1, split)
            where = f"{name}, line {entry.line}"
            if (before := first_named.setdefault(sample.path, where)) != where:
                raise UserError(f"{path}, line {entry.line}: {entry.path} is listed already in {before}.", "List every picture once.")
            samples.append(sample)
    return samples


def _camera(path: Path, entry: ListedPicture) -> int:
    match = _FILE.fullmatch(entry.path.rpartition("/")[2])
    if match is None or int(match["cam"]) == 0 or not is_picture(match[0]):
        raise UserError(
            f"{path}, line {entry.line}: {entry.path} is not named as in MSMT17.",
            f"Names look like {_EXAMPLE}; the third field is the camera, from 01 on.",
        )
    return int(match["cam"]) - 1


def _check_files(path: Path, folder: Path, listed: list[ListedPicture]) -> None:
    """Every listed picture exists; folders are listed once instead of asking for 126,441 files one by one."""
    present: dict[str, set[str]] = {}
    missing = []
    for entry in listed:
        parent, _, name = entry.path.rpartition("/")
        if parent not in present:
            present[parent] = set(os.listdir(folder / parent)) if (folder / parent).is_dir() else set()
        if name not in present[parent]:
            missing.append(entry)
    if missing:
        more = f" ({len(missing)} pictures of {len(listed)} are missing)" if len(missing) > 1 else ""
        raise UserError(
            f"{path}, line {missing[0].line}: there is no file {folder / missing[0].path}{more}.", "Restore it, or remove the line."
        )
