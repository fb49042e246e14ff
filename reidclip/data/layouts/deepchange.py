"""DeepChange: seventeen cameras over a year; lists beside the folders decide which pictures belong, tracklets stand for cameras.

Xu, Zhu: "DeepChange: A Long-Term Person Re-Identification Benchmark with Clothes Change", ICCV 2023. Labels and protocols are those of
guxinqian/Simple-CCReID: the *tracklet* is the camera key of the rule, so that matches under the same camera in another tracklet count;
the true camera is kept beside it (`Sample.camera`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.data.faults import Fault, without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import sorted_ranks
from reidclip.data.layouts.lists import first_line, line_fault, lines_of
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/train-set-bbox.txt (also val-set-query, ...)                lines: p0702_c13_20200813_154757_000038_bbox.jpg,<tracklet>
DATA/train-set/p0702_c13_20200813_154757_000038_bbox.jpg         p<pid>_c<camera>_<day>_<time>_<frame>_bbox.jpg
DATA/val-set-query/  val-set-gallery/  test-set-query/  test-set-gallery/    the same, each with its list"""

_INNER = "DeepChangeDataset"
_FOLDERS = {
    "train-set": "train",
    "val-set-query": "val-query",
    "val-set-gallery": "val-gallery",
    "test-set-query": "query",
    "test-set-gallery": "gallery",
}
_SPLITS = tuple(_FOLDERS.values())
_HALVES = (("train",), ("query", "gallery"), ("val-query", "val-gallery"))  # the order in which test labels of clothes are numbered
_LINE = re.compile(r"(?P<name>[^,/\\]+),\s*(?P<tracklet>\d+)")
_FILE = re.compile(r"[pP](?P<pid>\d+)_c(?P<cam>\d+)_(?P<date>\d{8})_(?P<time>\d{6})_(?P<frame>\d+)_bbox\.(?i:jpg)")
_EXAMPLE = "p0702_c13_20200813_154757_000038_bbox.jpg"

_TRACKLET = "The tracklet is the rule's camera, as in the original paper: matches under the same camera in another tracklet count."
_PROTOCOLS = (
    Protocol("general", Rule.STD, "query", "gallery", note=f"Test half, all queries, the whole gallery; as published. {_TRACKLET}"),
    Protocol("val", Rule.STD, "val-query", "val-gallery", note=f"Validation half. {_TRACKLET}"),
    Protocol(
        "general-true-camera",
        Rule.STD,
        "query",
        "gallery",
        note="Test half with the true camera in the rule: harder, and not to be mixed with published numbers.",
        true_camera=True,
    ),
)

_PUBLISHED = (
    count("identities", 450, "T", "train"),
    count("images", 75_083, "G", "train"),
    count("identities", 150, "T", "val-query", "val-gallery"),
    count("images", 4_976, "G", "val-query"),
    count("images", 17_865, "G", "val-gallery"),
    count("identities", 521, "T", "query", "gallery"),
    count("images", 17_527, "G", "query"),
    count("images", 62_956, "G", "gallery"),
    count("identities", 1_121, "R"),
    count("images", 178_407, "R"),
    count("cameras", 17, "R"),
)


class DeepChangeLayout:
    """Reads DeepChange; the folder given may be the one that holds ``DeepChangeDataset``."""

    name = "deepchange"
    title = "DeepChange (Xu, Zhu; ICCV 2023)"
    expected_tree = EXPECTED_TREE
    inner = (_INNER,)
    source = "The authors give it to those who sign an agreement for research use; see the paper's project page (Peng Xu, Xiatian Zhu)."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with a list whose first line names a DeepChange picture, and the folder beside it."""
        try:
            return any(_names_one(base, folder) for base in (root, root / _INNER) for folder in _FOLDERS)
        except (OSError, ValueError):
            return False

    def near_miss(self, root: Path) -> str:
        """What a folder that has DeepChange's picture folders lacks, one sentence; "" for every other folder."""
        there = [f for f in _FOLDERS if (root / f).is_dir()]
        lists = [f"{f}-bbox.txt" for f in there if not (root / f"{f}-bbox.txt").is_file()]
        return f"{root} has {there[0]}, but no {', '.join(lists)}: the lists say which pictures belong." if lists else ""

    def load(self, root: Path) -> Dataset:
        """All samples that the lists name, and the protocols. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no DeepChange tree, or no pictures.
            DataFaultsError: lists with lines that do not fit, come twice, or name files that are not there.
        """
        base = root / _INNER if (root / _INNER).is_dir() and not any((root / folder).is_dir() for folder in _FOLDERS) else root
        if not any((base / folder).is_dir() and _list(base, folder).is_file() for folder in _FOLDERS):
            raise UserError(
                " ".join(filter(None, (f"{root} has no DeepChange tree.", self.near_miss(base)))), f"Expected:\n{EXPECTED_TREE}"
            )
        notes: list[str] = []
        faults: list[Fault] = []
        listed = [picture for folder in _FOLDERS for picture in _pictures(base, folder, notes, faults)]
        if not listed and not faults:
            raise UserError(" ".join((f"{root} has DeepChange's folders but no pictures.", *notes)), f"Expected:\n{EXPECTED_TREE}")
        reason = "DeepChange has no labels of clothes. Clothes are identity and day: pictures of one day are taken as one outfit."
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), reason))
        return without_faults(assemble(self.name, base, _samples(listed), _PROTOCOLS, notes, splits=_SPLITS), faults)


LAYOUT = DeepChangeLayout()


@dataclass(frozen=True)
class _Picture:
    path: str
    split: str
    fields: dict[str, str]
    tracklet: int

    @property
    def outfit(self) -> str:
        return f"{self.fields['pid']}_{self.fields['date']}"


def _list(base: Path, folder: str) -> Path:
    return base / f"{folder}-bbox.txt"


def _names_one(base: Path, folder: str) -> bool:
    match = _LINE.fullmatch(first_line(_list(base, folder)))
    return match is not None and _FILE.fullmatch(match["name"]) is not None and (base / folder).is_dir()


def _pictures(base: Path, folder: str, notes: list[str], faults: list[Fault]) -> Iterator[_Picture]:
    """Pictures of one list that are there and named as they should be."""
    path = _list(base, folder)
    if not path.is_file() or not (base / folder).is_dir():
        notes.append(f"There are no {_FOLDERS[folder]} pictures: {base / folder if path.is_file() else path} is missing.")
        return
    present = set(os.listdir(base / folder))
    first_named: dict[str, int] = {}
    for number, line in lines_of(path, faults):
        match = _LINE.fullmatch(line)
        if match is None:
            remedy = f"Lines look like {_EXAMPLE},12 (picture, tracklet); restore the list of the release."
            faults.append(line_fault(path, number, f"'{line[:80]}' is not a picture and a tracklet", remedy=remedy))
            continue
        name = match["name"]
        fields = _FILE.fullmatch(name)
        if fields is None:
            kind = "Listed pictures that are not named as in DeepChange"
            remedy = f"Names look like {_EXAMPLE}; restore the list of the release."
            faults.append(line_fault(path, number, f"{name} is not named as in DeepChange", kind, remedy))
        elif first_named.setdefault(name, number) != number:
            remedy = "A picture comes once in a list; restore the list of the release."
            faults.append(line_fault(path, number, f"{name} is listed already in line {first_named[name]}", remedy=remedy))
        elif name not in present:
            remedy = "Unpack the data set again, or restore the file: without it this is another benchmark."
            what = f"there is no file {base / folder / name}"
            faults.append(line_fault(path, number, what, "Listed pictures that are missing", remedy))
        else:
            yield _Picture(f"{folder}/{name}", _FOLDERS[folder], fields.groupdict(), int(match["tracklet"]))


def _samples(pictures: list[_Picture]) -> list[Sample]:
    """Clothes of the validation half are numbered behind those of the test half, whose labels are then the published ones."""
    samples: list[Sample] = []
    start = 0
    for half in _HALVES:
        members = [p for p in pictures if p.split in half]
        ranks = sorted_ranks(p.outfit for p in members)
        samples += [
            Sample(p.path, int(p.fields["pid"]), p.tracklet, start + ranks[p.outfit], p.split, camera=int(p.fields["cam"]) - 1)
            for p in members
        ]
        start += len(ranks) if half != ("train",) else 0
    return samples
