"""CCVID: people in video, three sessions; every sample is a tracklet, a folder of frames in order.

Gu, Chang, Ma, Bai, Shan, Chen: "Clothes-Changing Person Re-Identification with RGB Modality Only", CVPR 2022. Labels and protocols are
those of guxinqian/Simple-CCReID: the cameras of session 3 are other ones (+12); clothes are labelled per person. Cameras are numbered
from 0 here, from 1 there: nothing but their equality is ever looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.data.doubtful_labels import doubtful_labels_note
from reidclip.data.faults import Fault, without_faults
from reidclip.data.files import file_names, is_picture
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import sorted_ranks
from reidclip.data.layouts.lists import first_line, line_fault, lines_of
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/train.txt (also query.txt, gallery.txt)     lines: session1/001_01 001 u0_l0_s0_c0_a0 (tracklet, identity, clothes)
DATA/session1/001_01/00001.jpg                   session<1-3>/<pid>_<camera>/<frame>.jpg"""

_INNER = "CCVID"
_LISTS = {"train": "train.txt", "query": "query.txt", "gallery": "gallery.txt"}
_LINE = re.compile(r"(?P<folder>\S+)\s+(?P<pid>\d+)\s+(?P<clothes>\S+)")
_FOLDER = re.compile(r"session(?P<session>[123])/(?P<pid>\d{3})_(?P<cam>\d{2})")
_CAMERAS = 12
_LINES_LOOK = "Lines look like session1/001_01 001 u0_l0_s0_c0_a0; restore the list of the release."

_WHOLE = "All query tracklets against all gallery tracklets; a tracklet's feature is the mean over its clips."
_PROTOCOLS = (
    Protocol("general", Rule.STD, "query", "gallery", note=_WHOLE),
    Protocol("same-clothes", Rule.SC, "query", "gallery", note=f"{_WHOLE} Printed by the reference program, not published."),
    Protocol("cloth-changing", Rule.CC, "query", "gallery", note=_WHOLE),
)

_PUBLISHED = (
    count("identities", 75, "T", "train"),
    count("tracklets", 948, "T", "train"),
    count("clothes", 159, "T", "train"),
    count("identities", 151, "T", "query"),
    count("tracklets", 834, "T", "query"),
    count("identities", 151, "T", "gallery"),
    count("tracklets", 1_074, "T", "gallery"),
    count("clothes", 321, "T", "query", "gallery"),
    count("identities", 226, "S"),
    count("tracklets", 2_856, "T"),
    count("frames", 347_833, "T"),
)


class CcvidLayout:
    """Reads CCVID; the folder given may be the one that holds ``CCVID``."""

    name = "ccvid"
    title = "CCVID (Gu et al.; CVPR 2022)"
    expected_tree = EXPECTED_TREE
    inner = (_INNER,)
    source = "The authors published it for research use (CC BY-NC-SA 4.0); see the paper's repository, guxinqian/Simple-CCReID."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with a list whose first line names a tracklet of CCVID."""
        try:
            return any(_names_one(base) for base in (root, root / _INNER))
        except (OSError, ValueError):
            return False

    def load(self, root: Path) -> Dataset:
        """All tracklets that the lists name, and the protocols. A copy may lack lists; notes say what it cannot do then.

        Raises:
            UserError: no CCVID tree, or no tracklets.
            DataFaultsError: lists with lines that do not fit, come twice, or name folders that are not there or empty.
        """
        base = root / _INNER if (root / _INNER).is_dir() and not _names_one(root) else root
        if not any((base / name).is_file() for name in _LISTS.values()):
            raise UserError(f"{root} has no CCVID tree: {', '.join(_LISTS.values())} are missing.", f"Expected:\n{EXPECTED_TREE}")
        reader = _Reader(base)
        tracklets = [t for split in _LISTS for t in reader.tracklets(split)]
        if not tracklets and not reader.faults:
            raise UserError(" ".join((f"{root} lists no tracklets.", *reader.notes())), f"Expected:\n{EXPECTED_TREE}")
        dataset = assemble(self.name, base, _samples(tracklets), _PROTOCOLS, reader.notes(), splits=tuple(_LISTS))
        return without_faults(dataset, reader.faults)


LAYOUT = CcvidLayout()


@dataclass(frozen=True)
class _Tracklet:
    folder: str
    split: str
    pid: str
    clothes: str
    camera: int
    frames: tuple[str, ...]

    @property
    def outfit(self) -> str:
        return f"{self.pid}_{self.clothes}"


class _Reader:
    """The lists, and the folders that they name."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.faults: list[Fault] = []
        self._missing: list[str] = []
        self._doubtful: list[str] = []
        self._skipped: list[Path] = []
        self._first_named: dict[str, str] = {}

    def notes(self) -> tuple[str, ...]:
        """What is missing, skipped or doubtful."""
        notes = list(self._missing)
        if self._skipped:
            notes.append(f"{len(self._skipped)} files that are no pictures were skipped; the first is {self._skipped[0]}.")
        if self._doubtful:
            told = f"{len(self._doubtful)} of the listed tracklets have another identity than their folder's name; the first is"
            notes.append(doubtful_labels_note(f"{told} {self._doubtful[0]}. The lists decide."))
        return tuple(notes)

    def tracklets(self, split: str) -> Iterator[_Tracklet]:
        """Those of one list that fit and have frames."""
        path = self._base / _LISTS[split]
        if not path.is_file():
            self._missing.append(f"There are no {split} tracklets: {path} is missing.")
            return
        for number, line in lines_of(path, self.faults):
            match = _LINE.fullmatch(line)
            if match is None:
                self._fault(path, number, f"'{line[:80]}' is not a tracklet, an identity and a label of clothes")
                continue
            named = _FOLDER.fullmatch(match["folder"])
            where = f"{path.name}, line {number}"
            if named is None or not 1 <= int(named["cam"]) <= _CAMERAS:
                self._fault(path, number, f"{match['folder']} is not named like a tracklet of CCVID")
            elif (before := self._first_named.setdefault(match["folder"], where)) != where:
                self._fault(path, number, f"{match['folder']} is listed already in {before}")
            elif frames := self._frames(path, number, match["folder"]):
                if int(named["pid"]) != int(match["pid"]):
                    self._doubtful.append(f"{where}: {line}")
                camera = int(named["cam"]) - 1 + (_CAMERAS if named["session"] == "3" else 0)
                yield _Tracklet(match["folder"], split, match["pid"], match["clothes"], camera, frames)

    def _frames(self, path: Path, number: int, folder: str) -> tuple[str, ...]:
        """Relative paths of the frames in order; none, and a fault, where there are none."""
        where = self._base / folder
        if not where.is_dir():
            remedy = "Unpack the data set again, or restore the folder: without it this is another benchmark."
            self.faults.append(line_fault(path, number, f"there is no folder {where}", "Listed tracklets that are missing", remedy))
            return ()
        names = file_names(where)
        self._skipped += [where / name for name in names if not is_picture(name)]
        frames = tuple(f"{folder}/{name}" for name in names if is_picture(name))
        if not frames:
            remedy = "Unpack the data set again: a tracklet has at least one frame."
            self.faults.append(line_fault(path, number, f"{where} holds no frames", "Listed tracklets without frames", remedy))
        return frames

    def _fault(self, path: Path, number: int, what: str) -> None:
        self.faults.append(line_fault(path, number, what, remedy=_LINES_LOOK))


def _names_one(base: Path) -> bool:
    """Whether a list begins with a tracklet of CCVID."""
    firsts = (_LINE.fullmatch(first_line(base / name)) for name in _LISTS.values())
    return any(first is not None and _FOLDER.fullmatch(first["folder"]) for first in firsts)


def _samples(tracklets: list[_Tracklet]) -> list[Sample]:
    """A label of clothes is the rank of person and label, as text, within the half."""
    ranks = {half: sorted_ranks(t.outfit for t in tracklets if (t.split == "train") is half) for half in (True, False)}
    return [Sample(t.folder, int(t.pid), t.camera, ranks[t.split == "train"][t.outfit], t.split, frames=t.frames) for t in tracklets]
