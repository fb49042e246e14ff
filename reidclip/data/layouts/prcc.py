"""PRCC: three cameras; A and B show one outfit in two rooms, C another outfit on another day.

Yang, Wu, Zheng: "Person Re-identification by Contour Sketch under Moderate Clothing Change", TPAMI 2021. Labels, splits
and protocols are those of guxinqian/Simple-CCReID, which every later program follows: the whole gallery A, multi-shot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.data.faults import Fault, without_faults
from reidclip.data.files import file_names, folders, is_picture
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import sorted_ranks
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/rgb/train/<pid>/A_cropped_rgb001.jpg   (also B_..., C_...; <pid> has three digits)
DATA/rgb/val/<pid>/...                      the same names
DATA/rgb/test/A/<pid>/cropped_rgb001.jpg    (also test/B, test/C)"""

_PID = re.compile(r"\d{3,}")
_TRAIN_FILE = re.compile(r"(?P<cam>[ABC])_cropped_rgb\d{3,4}\.(?i:jpg)")
_TEST_FILE = re.compile(r"cropped_rgb\d+\.(?i:jpg)")
_CAMERAS = {"A": 0, "B": 1, "C": 2}

# Folder under test/ -> split, camera. C_same exists in rendered sets alone: camera C with the clothes of A, a control.
_CONTROL = "test-C-same"
_TEST_FOLDERS = {"A": ("test-A", "A"), "B": ("test-B", "B"), "C": ("test-C", "C"), "C_same": (_CONTROL, "C")}
_SPLITS = ("train", "val", *(split for split, _ in _TEST_FOLDERS.values()))

_SINGLE_SHOT = "Gallery: one picture of camera A per identity; mean of 10 draws over sorted paths, this toolkit's own."
_PROTOCOLS = (
    Protocol("same-clothes", Rule.STD, "test-B", "test-A", note="All of camera B against all of camera A (multi-shot), same outfit."),
    Protocol("cloth-changing", Rule.STD, "test-C", "test-A", note="All of camera C against all of camera A (multi-shot), other outfit."),
    Protocol(
        "same-clothes-control",
        Rule.STD,
        _CONTROL,
        "test-A",
        note="Rendered sets only: camera C in the outfit of camera A, which tells the change of clothes from the change of camera.",
    ),
    Protocol("same-clothes-single-shot", Rule.STD, "test-B", "test-A", note=_SINGLE_SHOT, single_shot_repeats=10),
    Protocol("cloth-changing-single-shot", Rule.STD, "test-C", "test-A", note=_SINGLE_SHOT, single_shot_repeats=10),
)

# The training half was counted from a complete list of its files, the test half is what guxinqian/Simple-CCReID states. That val holds
# every training identity is hearsay, the number of its pictures is what the rest leaves of the total.
_PUBLISHED = (
    count("identities", 150, "C", "train"),
    count("images", 17_896, "C", "train"),
    count("images", 5_952, "C", "train", what="train, camera A", where=lambda s: s.camid == 0),
    count("images", 5_317, "C", "train", what="train, camera B", where=lambda s: s.camid == 1),
    count("images", 6_627, "C", "train", what="train, camera C", where=lambda s: s.camid == 2),
    count("clothes", 300, "C", "train"),
    count("cameras", 3, "C", "train"),
    count("identities", 150, "G", "val"),
    count("images", 5_002, "S", "val"),
    count("clothes", 300, "G", "val"),  # as the identities, of which they are two each
    count("identities", 71, "R", "test-A"),
    count("images", 3_384, "R", "test-A"),
    count("identities", 71, "R", "test-B"),
    count("images", 3_873, "R", "test-B"),
    count("identities", 71, "R", "test-C"),
    count("images", 3_543, "R", "test-C"),
    count("clothes", 142, "R", "test-A", "test-B", "test-C"),
    count("cameras", 3, "R", "test-A", "test-B", "test-C"),
    count("identities", 221, "T"),
    count("images", 33_698, "T"),
    count("clothes", 442, "T"),
    count("cameras", 3, "T"),
)


class PrccLayout:
    """Reads PRCC; the folder given may be the one that holds ``rgb``, or ``rgb`` itself."""

    name = "prcc"
    title = "PRCC (Yang, Wu, Zheng; TPAMI 2021)"
    expected_tree = EXPECTED_TREE
    source = "The authors give it to those who ask for research use; see the paper's project page (Sun Yat-sen University, Wei-Shi Zheng)."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with PRCC's training or test tree."""
        try:
            return _pictures_folder(root) is not None
        except OSError:
            return False

    def load(self, root: Path) -> Dataset:
        """All samples, labels and protocols. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no PRCC tree, or no pictures.
            DataFaultsError: pictures or folders whose names are not PRCC's.
        """
        pictures = _pictures_folder(root)
        if pictures is None:
            raise UserError(f"{root} has no PRCC tree.", f"Expected:\n{EXPECTED_TREE}")
        base = pictures.parent if pictures.name == "rgb" else pictures
        found = _Found(pictures, base)
        samples = _samples(found, base)
        if not samples and not found.faults:
            raise UserError(f"{root} has PRCC's folders but no pictures.", f"Expected:\n{EXPECTED_TREE}")
        rendered = any(s.split == _CONTROL for s in samples)
        protocols = [p for p in _PROTOCOLS if rendered or p.query != _CONTROL]  # nobody misses the control in the release
        return without_faults(assemble(self.name, base, samples, protocols, found.notes(), splits=_SPLITS), found.faults)


LAYOUT = PrccLayout()


def _pictures_folder(root: Path) -> Path | None:
    """The folder ``rgb``, wherever ``root`` points; None when there is no PRCC here."""
    root = Path(os.path.abspath(root))  # so that "." has a name; links are left as they are
    for folder in [root] if root.name == "rgb" else [root / "rgb", root]:
        test = folder / "test"
        if (test / "A").is_dir() and ((test / "B").is_dir() or (test / "C").is_dir()):
            return folder
        # Other data sets have a folder train as well; only below rgb does it say enough.
        if folder.name == "rgb" and any(_PID.fullmatch(f.name) for f in folders(folder / "train")):
            return folder
    return None


@dataclass(frozen=True)
class _Picture:
    path: Path
    split: str
    cam: str  # A, B or C
    pid: str  # the folder's name, zero padded


class _Found:
    """Everything below ``rgb``, names checked; ``base`` is what paths are relative to."""

    def __init__(self, pictures: Path, base: Path) -> None:
        self.faults: list[Fault] = []
        self._base = base
        self._skipped: list[Path] = []
        self._unknown: list[Path] = []
        self.train = [p for split in ("train", "val") for p in self._training_half(pictures / split, split)]
        self.test = list(self._test_half(pictures / "test"))

    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        notes = []
        if self._skipped:
            notes.append(f"{len(self._skipped)} files that are no pictures were skipped; the first is {self._skipped[0]}.")
        if self._unknown:
            notes.append(f"Unknown folders were skipped; the first is {self._unknown[0]}.")
        return tuple(notes)

    def _training_half(self, folder: Path, split: str) -> Iterator[_Picture]:
        for pid, path, match in self._walk(folder, _TRAIN_FILE, "A_cropped_rgb001.jpg"):
            yield _Picture(path, split, match["cam"], pid)

    def _test_half(self, folder: Path) -> Iterator[_Picture]:
        for camera_folder in folders(folder):
            if camera_folder.name not in _TEST_FOLDERS:
                self._unknown.append(camera_folder)
                continue
            split, cam = _TEST_FOLDERS[camera_folder.name]
            for pid, path, _ in self._walk(camera_folder, _TEST_FILE, "cropped_rgb001.jpg"):
                yield _Picture(path, split, cam, pid)

    def _walk(self, folder: Path, pattern: re.Pattern[str], example: str) -> Iterator[tuple[str, Path, re.Match[str]]]:
        """(pid, path, match on the base name) of all pictures in ``folder/<pid>/`` whose names fit."""
        for person in folders(folder):
            if not _PID.fullmatch(person.name):
                remedy = "Identity folders have three digits, such as 092. Restore the name, or move away what the release does not have."
                self._fault("Folders that are not named like a PRCC identity", person, "is not named like a PRCC identity", remedy)
                continue
            for name in file_names(person):
                path = person / name
                if not is_picture(name):
                    self._skipped.append(path)
                    continue
                match = pattern.fullmatch(name)
                if match is None:
                    remedy = f"Names look like {example} here; restore the name, or move away what the release does not have."
                    self._fault("Pictures that are not named as in PRCC", path, "is not named as in PRCC", remedy)
                    continue
                yield person.name, path, match

    def _fault(self, kind: str, path: Path, what: str, remedy: str) -> None:
        self.faults.append(Fault(kind, path.relative_to(self._base).as_posix(), f"{path} {what}", remedy))


def _samples(found: _Found, base: Path) -> list[Sample]:
    train_rank = sorted_ranks(_clothes_key(p) for p in found.train)
    test_rank = sorted_ranks(p.pid for p in found.test)
    samples = [_sample(p, base, train_rank[_clothes_key(p)]) for p in found.train]
    samples += [_sample(p, base, 2 * test_rank[p.pid] + (p.split == "test-C")) for p in found.test]
    return samples


def _clothes_key(picture: _Picture) -> str:
    """Training half: cameras A and B share the key ``092``, camera C has ``092C`` (Simple-CCReID's keys)."""
    return picture.pid + ("C" if picture.cam == "C" else "")


def _sample(picture: _Picture, base: Path, clothes_id: int) -> Sample:
    return Sample(
        path=picture.path.relative_to(base).as_posix(),
        pid=int(picture.pid),
        camid=_CAMERAS[picture.cam],
        clothes_id=clothes_id,
        split=picture.split,
    )
