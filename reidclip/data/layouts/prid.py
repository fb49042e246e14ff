"""PRID 2011, single shot: 200 people before two cameras, and many more before one of them.

Hirzer, Beleznai, Roth, Bischof: "Person Re-Identification by Descriptive and Discriminative Classification", SCIA 2011. People 1 to 200 are
the same before both cameras; larger numbers mean different people before either. Half of the 200 train, at random; the others are
looked for, from camera A, among their pictures and the 549 further people of camera B. The further people of camera A are not used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reidclip.data.draws import NUMBER, generator, halves, numbered
from reidclip.data.found_draws import Pictures, entries_of, listed_splits
from reidclip.data.layouts.divided import base_of, divided
from reidclip.data.layouts.flat import FlatNames, NamedPicture
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Protocol, PublishedCount, Rule, Sample

EXPECTED_TREE = """\
DATA/single_shot/cam_a/person_0001.png      also DATA/cam_a/..., DATA/prid_2011/single_shot/cam_a/...
DATA/single_shot/cam_b/person_0001.png      the same person; numbers above 200 are different people before either camera
DATA/splits_single_shot.json                optional: divisions that a program drew"""

_INNER = ("single_shot", "prid_2011/single_shot")
_SIDES = ("cam_a", "cam_b")
_SHARED = 200
_UNUSED = "further people of camera A"

_NAMES = FlatNames(
    title="PRID",
    folders={side: side for side in _SIDES},
    pattern=re.compile(r"person_(?P<pid>\d{4})\.(?i:png)"),
    cameras=2,
    example="person_0001.png",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOL = Protocol(
    "general",
    Rule.STD,
    "half of the 200 people, camera A",
    "the same people and 549 more, camera B",
    note="Mean over 10 random halves of the 200 people. CLIP-FGDI reports number 9 alone (--split 9).",
)


def _of_camera_a(dataset: Dataset) -> int:
    return len(dataset.split("cam_a")) + dataset.left_out.get(_UNUSED, 0)


_PUBLISHED = (
    PublishedCount("camera A: images", 385, "R", _of_camera_a, ("cam_a",)),
    count("images", 749, "R", "cam_b", what="camera B"),
    count("identities", 749, "R", "cam_b", what="camera B"),
    count("identities", 200, "R", "cam_a", what="both cameras"),
    count("cameras", 2, "R"),
)


class PridLayout:
    """Reads PRID's single-shot pictures; the folder given may be one or two above them."""

    name = "prid"
    title = "PRID 2011, single shot (Hirzer et al.; SCIA 2011)"
    expected_tree = EXPECTED_TREE
    inner = _INNER
    source = "The authors published it for research use; see the paper's page (Graz University of Technology, Horst Bischof)."
    published = _PUBLISHED
    protocols = (_PROTOCOL,)

    def recognises(self, root: Path) -> bool:
        """True for a folder with PRID names in ``cam_a`` or ``cam_b``."""
        return any(_NAMES.known_in(base) for base in (root, *(root / name for name in _INNER)))

    def load(self, root: Path) -> Dataset:
        """All samples, the divisions and the protocol.

        Raises:
            UserError: no PRID tree, no pictures, or a file of splits that does not fit.
            DataFaultsError: pictures whose names are not PRID's.
        """
        base = base_of(root, _NAMES, _INNER)
        tree = _NAMES.read(base)
        used = [p for p in tree.pictures if p.split == "cam_b" or int(p.fields["pid"]) <= _SHARED]
        samples = [_sample(p) for p in used]
        unused = {_UNUSED: len(tree.pictures) - len(used)}
        return divided(
            self.name,
            "PRID",
            root,
            base,
            tree,
            samples,
            _PROTOCOL,
            lambda: numbered(_draws(samples)),
            _kept_by_programs,
            ("splits_single_shot.json", "splits.json"),
            unused if unused[_UNUSED] else None,
        )


LAYOUT = PridLayout()


def _sample(picture: NamedPicture) -> Sample:
    return Sample(picture.path, int(picture.fields["pid"]), _SIDES.index(picture.split), -1, picture.split)


def _draws(samples: Sequence[Sample]) -> list[Draw]:
    numbers = generator()
    return [_draw(samples, *halves(_shared(samples), numbers)) for _ in range(NUMBER)]


def _shared(samples: Sequence[Sample]) -> set[int]:
    """People before both cameras."""
    return {s.pid for s in samples if s.camid == 0} & {s.pid for s in samples if s.camid == 1 and s.pid <= _SHARED}


def _draw(samples: Sequence[Sample], train: frozenset[int], test: frozenset[int]) -> Draw:
    ordered = sorted(samples, key=lambda s: s.path)
    return Draw(
        tuple(s.path for s in ordered if s.pid in train),
        tuple(s.path for s in ordered if s.camid == 0 and s.pid in test),
        tuple(s.path for s in ordered if s.camid == 1 and (s.pid in test or s.pid > _SHARED)),
    )


def _kept_by_programs(file: Path, document: Any, pictures: Pictures) -> dict[str, Draw]:
    """torchreid and CLIP-FGDI keep the numbers of the people: ``[{"train": [...], "test": [...]}, ...]``."""
    if isinstance(document, list) and any(isinstance(entry, dict) and "query" in entry for entry in document):
        return listed_splits(file, document, pictures)
    samples = list(pictures.samples.values())
    shared, draws = _shared(samples), []
    for split in entries_of(file, document, ("train", "test")):
        odd = [pid for side in ("train", "test") for pid in split[side] if type(pid) is not int]  # true and false would pass as numbers
        if odd:
            raise UserError(
                f"{file} names {odd[0]!r} where the number of a person is expected.",
                "Take it away to have the splits drawn, or restore it.",
            )
        unknown = [pid for side in ("train", "test") for pid in split[side] if pid not in shared]
        if unknown:
            raise UserError(
                f"{file} names person {unknown[0]}, who is not before both cameras here.", "Take it away, or restore the data set."
            )
        draws.append(_draw(samples, frozenset(split["train"]), frozenset(split["test"])))
    return numbered(draws)
