"""CUHK03: 1,467 people before five pairs of cameras, cut out by hand (labelled) and by a detector (detected).

Li, Zhao, Xiao, Wang: "DeepReID: Deep Filter Pairing Neural Network for Person Re-identification", CVPR 2014; new protocol (767 people
train, 700 test): Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. Identities are
numbered anew in every pair of cameras, so that a person is a pair and a number; the camera of the rules is the view (0 or 1), enough
since a person lives in one pair. Published programs differ in the boxes: CLIP-FGDI and fast-reid take the labelled ones, as "general"
does here, torchreid the detected ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.faults import Fault, without_faults
from reidclip.data.layouts import cuhk03_np, cuhk03_release
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.cuhk03_boxes import BOXES, SPLITS
from reidclip.data.layouts.cuhk03_classic import classic_draws, with_classic_divisions
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/images_labeled/1_001_1_01.png (also images_detected)        <pair>_<pid>_<view>_<number>.png, from the release by
    reidclip datasets extract DATA                               which reads DATA/cuhk03_release/cuhk-03.mat
DATA/cuhk03_new_protocol_config_labeled.mat (also _detected)     the new division
or, repackaged as CUHK03-NP: DATA/labeled/bounding_box_train/0001_c1_1.png (also query, bounding_box_test; detected/...)"""

_REPEATS = 10  # of a classic division: random galleries of one picture per person
_CLASSIC = (
    "Mean over 20 divisions and 10 random galleries of one picture per person, drawn for every query among what the rule leaves; CMC "
    "alone is published. Draws are this toolkit's own."
)

_NEW = (
    Protocol("general", Rule.STD, "query", "gallery", note="New protocol, boxes drawn by hand (labelled), as CLIP-FGDI and fast-reid."),
    Protocol("detected", Rule.STD, "query-detected", "gallery-detected", note="New protocol, boxes of a detector, as torchreid."),
)

_PUBLISHED = (
    count("identities", 1_467, "S"),
    *(
        count(quantity, value, "T", split)  # type: ignore[arg-type]
        for split, people, images in (
            ("train", 767, 7_368),
            ("query", 700, 1_400),
            ("gallery", 700, 5_328),
            ("train-detected", 767, 7_365),
            ("query-detected", 700, 1_400),
            ("gallery-detected", 700, 5_332),
        )
        for quantity, value in (("identities", people), ("images", images))
    ),
    count("images", 14_096, "T", "train", "query", "gallery", what="labelled"),
    count("images", 14_097, "T", "train-detected", "query-detected", "gallery-detected", what="detected"),
    count("cameras", 2, "R"),
)


def _classic(box: str) -> Protocol:
    people = f"100 people, {box} boxes"
    return Protocol(f"classic-{box}", Rule.STD, people, people, None, None, _CLASSIC, _REPEATS, reports_map=False)


class Cuhk03Layout:
    """Reads CUHK03, extracted from its release or repackaged as CUHK03-NP."""

    name = "cuhk03"
    title = "CUHK03 (Li et al.; CVPR 2014; new protocol: Zhong et al.; CVPR 2017)"
    expected_tree = EXPECTED_TREE
    inner = (cuhk03_np.INNER,)
    source = (
        "The authors give it on request for research use (The Chinese University of Hong Kong, Xiaogang Wang); the new division and "
        "CUHK03-NP are with the code of Zhong et al. (person-re-ranking)."
    )
    published = _PUBLISHED
    protocols = (*_NEW, *(_classic(box.name) for box in BOXES))

    def recognises(self, root: Path) -> bool:
        """True for extracted pictures, CUHK03-NP's folders, or the release's file alone."""
        return cuhk03_release.known_in(root) or cuhk03_np.known_in(root) or cuhk03_release.unextracted(root)

    def near_miss(self, root: Path) -> str:
        """Names CUHK03-NP's upper folder to those who give one of its two; "" for every other folder."""
        if cuhk03_np.is_one_box(root):
            return f"{root} looks like one half of CUHK03-NP; give the folder above it, which holds labeled and detected."
        return ""

    def load(self, root: Path) -> Dataset:
        """All samples, the divisions and the protocols. A copy may lack one kind of boxes; notes say what it cannot do then.

        Raises:
            UserError: no CUHK03 tree, a release that is not extracted, no division, or SciPy is needed and not installed.
            DataFaultsError: pictures that are not named as in CUHK03, are in no division, or are listed and missing.
        """
        notes: list[str] = []
        faults: list[Fault] = []
        if cuhk03_release.known_in(root):
            base, samples = root, cuhk03_release.read(root, notes, faults, with_classic_divisions(root))
        elif cuhk03_np.known_in(root):
            base = cuhk03_np.base_of(root)
            samples = cuhk03_np.read(base, notes, faults)
        elif cuhk03_release.unextracted(root):
            raise UserError(
                f"{root} holds CUHK03's release as one file, cuhk-03.mat, and no pictures.",
                f"Take them out: reidclip datasets extract {root}",
            )
        else:
            emptied = any((root / folder).is_dir() for boxes in BOXES for folder in (boxes.folder, boxes.word))
            told = "has CUHK03's folders but no pictures" if emptied else "has no CUHK03 tree"
            raise UserError(f"{root} {told}.", f"Expected:\n{EXPECTED_TREE}")
        why = "CUHK03 has no clothes labels, and nobody changes."
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), why))
        dataset = assemble(self.name, base, samples, _NEW, notes, splits=SPLITS)
        return without_faults(_with_classic(replace(dataset, numbered_apart=_apart(samples)), faults), faults)


LAYOUT = Cuhk03Layout()


def _apart(samples: Sequence[Sample]) -> bool:
    """Whether a number is somebody in training and somebody else in test, which a repackaged copy may have done."""
    train = {s.pid for s in samples if s.split.startswith("train")}
    return not train.isdisjoint({s.pid for s in samples if not s.split.startswith("train")})


def _with_classic(dataset: Dataset, faults: Sequence[Fault]) -> Dataset:
    """With the 20 classic divisions of each kind of boxes, where they are known."""
    if faults:
        return dataset
    draws, notes = classic_draws(dataset)
    protocols = list(dataset.protocols)
    for box in BOXES:
        names = tuple(name for name in draws if name.startswith(f"classic-{box.name}-"))
        if names:
            protocols.append(replace(_classic(box.name), draws=names))
    return replace(dataset, draws=draws, protocols=tuple(protocols), notes=(*dataset.notes, *notes))
