"""LaST: people of films and shows, no cameras; clothes are labelled in the training half alone.

Shu, Wang, Wu, et al.: "Large-Scale Spatio-Temporal Person Re-Identification: Algorithms and Benchmark", TCSVT 2021. The identity is
that of the file name, as in the reference loader: in the release a folder holds some pictures of another person. Which folders are flat
and which hold a folder per person follows from their place alone, whatever the folders above are called.

Published programs give every picture a camera of its own, so that their rule ignores nothing; rule NONE is the same without inventing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reidclip.data.faults import Fault, without_faults
from reidclip.data.files import file_names, folders, is_picture
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import sorted_ranks
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, PublishedCount, Rule, Sample

EXPECTED_TREE = """\
DATA/train/000051/000051_003_00013_0270_04_001.jpg     <pid>_<picture>_<video>_<frame>_<box>_<clothes>.jpg
DATA/val/query/*.jpg    DATA/val/gallery/<pid>/*.jpg
DATA/test/query/*.jpg   DATA/test/gallery/<pid>/*.jpg  folder 000000: other people, who match nobody"""

_INNER = "last"
# place -> (split, whether a folder per person holds the pictures)
_PLACES = {
    "train": ("train", True),
    "val/query": ("val-query", False),
    "val/gallery": ("val-gallery", True),
    "test/query": ("query", False),
    "test/gallery": ("gallery", True),
}
_SPLITS = tuple(split for split, _ in _PLACES.values())
_FILE = re.compile(r"(?P<pid>\d{6})_+(?P<img>\d+)_(?P<video>\d+)_(?P<frame>\d+)_(?P<box>\d+)_(?P<clothes>\d+)\.(?i:jpg)")
_EXAMPLE = "000051_003_00013_0270_04_001.jpg"
_NOBODY = 0  # people of the background: they stay in the gallery and are nobody's match
_LOOK_AT = 50  # sub-folders that recognition looks into
_OUTSIDE = "interference outside the gallery"

_NO_CAMERAS = "LaST names no cameras: nothing is ignored, as with the camera per picture of published programs."
_PROTOCOLS = (
    Protocol("general", Rule.NONE, "query", "gallery", note=f"Test half, as published: clothes are ignored. {_NO_CAMERAS}"),
    Protocol("val", Rule.NONE, "val-query", "val-gallery", note=f"Validation half. {_NO_CAMERAS}"),
)


def _gallery_identities(dataset: Dataset) -> int:
    """Whether the published 5,806 count id 000000 is not known: 5,807 are taken for the same."""
    found = len({s.pid for s in dataset.split("gallery")})
    return 5_806 if found == 5_807 else found


def _people(sample: Sample) -> bool:
    return sample.pid != _NOBODY


def _interference(sample: Sample) -> bool:
    return sample.pid == _NOBODY


_PUBLISHED = (
    count("identities", 5_000, "R", "train"),
    count("images", 71_248, "R", "train"),
    count("identities", 56, "R", "val-query"),
    count("images", 100, "R", "val-query"),
    count("identities", 56, "R", "val-gallery", what="val-gallery, people", where=_people),
    count("images", 21_279, "R", "val-gallery"),
    count("images", 20_000, "T", "val-gallery", what="val-gallery, interference", where=_interference),
    count("identities", 5_805, "R", "query"),
    count("images", 10_176, "R", "query"),
    PublishedCount("gallery: identities (5,806, or 5,807 if id 000000 is counted)", 5_806, "R", _gallery_identities, ("gallery",)),
    PublishedCount(
        "gallery: folders", 5_808, "T", lambda dataset: len({s.path.rsplit("/", 1)[0] for s in dataset.split("gallery")}), ("gallery",)
    ),
    count("images", 125_353, "R", "gallery"),
    count("images", 20_275, "T", "gallery", what="gallery, interference", where=_interference),
)


class LastLayout:
    """Reads LaST; the folder given may be the one that holds ``last``."""

    name = "last"
    title = "LaST (Shu et al.; TCSVT 2021)"
    expected_tree = EXPECTED_TREE
    inner = (_INNER,)
    source = "The authors published it for research use; see the paper's repository (Xiujun Shu), shuxjweb/last."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with a picture named as in LaST in one of LaST's places."""
        try:
            return any(_holds_one(base, place) for base in (root, root / _INNER) for place in _PLACES)
        except (OSError, ValueError):
            return False

    def load(self, root: Path) -> Dataset:
        """All samples, labels and protocols. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no LaST tree, or no pictures.
            DataFaultsError: pictures whose names are not LaST's.
        """
        base = root / _INNER if (root / _INNER).is_dir() and not any((root / place).is_dir() for place in _PLACES) else root
        if not any((base / place).is_dir() for place in _PLACES):
            raise UserError(f"{root} has no LaST tree.", f"Expected:\n{EXPECTED_TREE}")
        found = _Found(base)
        left_out = {_OUTSIDE: found.outside} if found.outside else {}
        if not found.pictures and not found.faults:
            raise UserError(" ".join((f"{root} has LaST's folders but no pictures.", *found.notes())), f"Expected:\n{EXPECTED_TREE}")
        reason = "LaST labels clothes in its training half alone, and no cameras."
        notes = (*found.notes(), missing_protocols_note(("same-clothes", "cloth-changing"), reason))
        dataset = assemble(self.name, base, _samples(found.pictures), _PROTOCOLS, notes, left_out, _SPLITS)
        return without_faults(replace(dataset, distractors=frozenset({_NOBODY})), found.faults)


LAYOUT = LastLayout()


class _Found:
    """Everything in LaST's places, names checked: (path, split, match on the base name)."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.faults: list[Fault] = []
        self.outside = 0
        self._skipped: list[Path] = []
        self.pictures = [picture for place in _PLACES for picture in self._place(place)]

    def notes(self) -> tuple[str, ...]:
        """What was skipped and left out."""
        notes = []
        if self._skipped:
            notes.append(f"{len(self._skipped)} files or folders that are no pictures were skipped; the first is {self._skipped[0]}.")
        if self.outside:
            notes.append(f"{self.outside} pictures were left out: {_OUTSIDE} (id 000000 is nobody to learn or to look for).")
        return tuple(notes)

    def _place(self, place: str) -> Iterator[tuple[str, str, re.Match[str]]]:
        split, nested = _PLACES[place]
        folder = self._base / place
        if not folder.is_dir():
            return
        self._skipped += [folder / name for name in file_names(folder)] if nested else folders(folder)
        for holder in folders(folder) if nested else [folder]:
            for name in file_names(holder):
                match = _FILE.fullmatch(name)
                if not is_picture(name):
                    self._skipped.append(holder / name)
                elif match is None:
                    self._fault(holder / name)
                elif int(match["pid"]) == _NOBODY and not split.endswith("gallery"):
                    self.outside += 1
                else:
                    yield (holder / name).relative_to(self._base).as_posix(), split, match

    def _fault(self, path: Path) -> None:
        kind = "Pictures that are not named as in LaST"
        remedy = f"Names look like {_EXAMPLE}; restore the name, or move away what the release does not have."
        self.faults.append(Fault(kind, path.relative_to(self._base).as_posix(), f"{path} is not named as in LaST", remedy))


def _samples(pictures: list[tuple[str, str, re.Match[str]]]) -> list[Sample]:
    """Clothes are known in training alone: elsewhere the name's last field is always 000."""
    ranks = sorted_ranks(_outfit(match) for _, split, match in pictures if split == "train")
    return [
        Sample(path, int(match["pid"]), 0, ranks[_outfit(match)] if split == "train" else -1, split, camera=-1)
        for path, split, match in pictures
    ]


def _outfit(match: re.Match[str]) -> str:
    return f"{match['pid']}_{match['clothes']}"


def _holds_one(base: Path, place: str) -> bool:
    """Whether a picture named as in LaST lies there, by a few names."""
    folder, nested = base / place, _PLACES[place][1]
    if not folder.is_dir():
        return False
    for holder in folders(folder)[:_LOOK_AT] if nested else [folder]:
        with os.scandir(holder) as entries:
            first = next((e.name for e in entries if is_picture(e.name)), None)
        if first is not None and _FILE.fullmatch(first):
            return True
    return False
