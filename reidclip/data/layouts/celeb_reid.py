"""Celeb-reID and Celeb-reID-light: celebrities in street photographs; neither cameras nor clothes are labelled.

Huang, Xu, Wu, Zhong, Zhang, Zhang: "Beyond Scalar Neuron: Adopting Vector-Neuron Capsules for Long-Term Person Re-Identification",
TCSVT 2020. The light version, whose people never wear the same twice, has the same tree: Huang, Wu, Xu, Zhong: "Celebrities-ReID: A
Benchmark for Clothes Variation in Long-Term Person Re-Identification", IJCNN 2019.

Published programs take something out of the names for the camera that their rule looks at, and no two families take the same: one
protocol per family, which differ in that number alone. Training and test identities are both numbered from 1 and are different people.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.blurred_copies import blurred_copy_notes
from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, NamedPicture
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.records import Dataset, Protocol, PublishedCount, Rule, Sample

EXPECTED_TREE = """\
DATA/train/1_1_0.jpg    <pid>_<picture>_<number>.jpg in one flat folder
DATA/query/...          the same names; people are numbered from 1 again
DATA/gallery/...        the same names; the folder of Celeb-reID-light has the same tree"""

NAMES = FlatNames(
    title="Celeb-reID",
    folders={"train": "train", "query": "query", "gallery": "gallery"},
    pattern=re.compile(r"(?P<pid>\d+)_(?P<img>\d+)_(?P<z>\d+)\.(?i:jpg)"),
    cameras=0,
    example="12_3_0.jpg",
    expected_tree=EXPECTED_TREE,
)

_WHOLE, _INDEX, _THIRD = "picture number", "running index", "third field"
_PROTOCOLS = (
    Protocol(
        "celeb-a",
        Rule.STD,
        "query",
        "gallery",
        note="Camera: the first digit of the picture's number, as liufeng2915/Clip3DReid reads it (12 is read as 1). The official "
        "program (Huang-3/Celeb-reID) has the same cameras, but another AP (trapezoid): its R1 agrees, its mAP does not.",
    ),
    Protocol(
        "celeb-b",
        Rule.STD,
        "query",
        "gallery",
        note="Camera: the picture's whole number, as liufeng2915/3DInvarReID.",
        camera_key=_WHOLE,
    ),
    Protocol(
        "celeb-c",
        Rule.STD,
        "query",
        "gallery",
        note="Camera: the picture's place in its folder, query and gallery each from 0, as QizaoWang/CSSC-CCReID; it ignores a picture by "
        "accident alone. Here places are those of the sorted names, there those of the file system.",
        camera_key=_INDEX,
    ),
    Protocol(
        "celeb-d",
        Rule.STD,
        "query",
        "gallery",
        note="Camera: the name's third field, whose meaning is not known, as some later programs.",
        camera_key=_THIRD,
    ),
    Protocol("celeb-nocam", Rule.NONE, "query", "gallery", note="Nothing is ignored: celeb-c without its accidents."),
)


def _counts(title: str, train: tuple[int, int], query: tuple[int, int], gallery: tuple[int, int]) -> tuple[PublishedCount, ...]:
    """Identities and images of each split, all stated by the authors' repository."""
    return tuple(
        row
        for split, (identities, images) in (("train", train), ("query", query), ("gallery", gallery))
        for row in (
            count("identities", identities, "R", split, what=f"{title}, {split}"),
            count("images", images, "R", split, what=f"{title}, {split}"),
        )
    )


_FULL = _counts("Celeb-reID", (632, 20_208), (420, 2_972), (420, 11_006))
_LIGHT = _counts("Celeb-reID-light", (490, 9_021), (100, 887), (100, 934))
_IMAGES = {False: 34_186, True: 10_842}


class CelebReidLayout:
    """Reads Celeb-reID, Celeb-reID-light, and face-blurred copies of either."""

    name = "celeb_reid"
    title = "Celeb-reID and Celeb-reID-light (Huang et al.; TCSVT 2020, IJCNN 2019)"
    expected_tree = EXPECTED_TREE
    source = "The authors give it for research use on request; see their repository, Huang-3/Celeb-reID."
    published = (*_FULL, *_LIGHT)
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with Celeb-reID names in ``train``, ``query`` or ``gallery`` that is not called CCDA, whose names may be the
        same.
        """
        return not called_ccda(root) and NAMES.known_in(root)

    def published_of(self, dataset: Dataset) -> Sequence[PublishedCount]:
        """The counts of the release that a folder holds, the light one or the other."""
        return _LIGHT if is_light(dataset) else _FULL

    def load(self, root: Path) -> Dataset:
        """All samples and protocols. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no Celeb-reID tree, or no pictures.
            DataFaultsError: pictures whose names are not Celeb-reID's.
        """
        tree = NAMES.read(root)
        notes = [
            *tree.notes,
            *blurred_copy_notes(root),
            missing_protocols_note(("same-clothes", "cloth-changing"), "Celeb-reID labels neither clothes nor cameras."),
            missing_protocols_note(("celeb-official",), "it is celeb-a with another AP (trapezoid), which is not computed here."),
        ]
        keys = camera_keys(tree.pictures)
        dataset = assemble(self.name, root, samples_with_first_digit(tree.pictures), _PROTOCOLS, notes, camera_keys=keys)
        return without_faults(replace(dataset, numbered_apart=True), tree.faults)


LAYOUT = CelebReidLayout()


def called_ccda(root: Path) -> bool:
    """Whether the folder's name says that it is CCDA."""
    return "ccda" in root.resolve().name.lower()


def is_light(dataset: Dataset) -> bool:
    """By the folder's name where it says either; else by the number of pictures, whichever release has nearly as many."""
    name = dataset.root.resolve().name.lower()
    if "celeb" in name:
        return "light" in name
    found = len(dataset.samples)
    return abs(found - _IMAGES[True]) < abs(found - _IMAGES[False])


def samples_with_first_digit(pictures: Sequence[NamedPicture]) -> list[Sample]:
    """Samples whose camera key is the first digit of the name's second field, minus 1; a leading 0 becomes 9, for none may be negative.

    The program's pattern takes one digit after the underscore, whatever follows: pictures 1, 10 and 123 are of "camera" 0.
    """
    return [Sample(p.path, int(p.fields["pid"]), (int(p.fields["img"][0]) - 1) % 10, -1, p.split, camera=-1) for p in pictures]


def camera_keys(pictures: Sequence[NamedPicture]) -> Mapping[str, Mapping[str, int]]:
    """What other programs take for the camera, by the names that the protocols look up: path -> number."""
    place: Counter[str] = Counter()
    index = {}
    for picture in pictures:  # sorted by folder and name
        index[picture.path] = place[picture.split]
        place[picture.split] += 1
    whole = {p.path: int(p.fields["img"]) for p in pictures}
    return {_WHOLE: whole, _INDEX: index, _THIRD: {p.path: int(p.fields["z"]) for p in pictures}}
