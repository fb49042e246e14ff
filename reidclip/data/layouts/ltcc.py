"""LTCC: twelve cameras, two months; most people change their clothes, some never do.

Qian, Wang, Zhang, Zhu, Fu, Xiang, Jiang, Xue: "Long-Term Cloth-Changing Person Re-identification", ACCV 2020. Labels and protocols
are those of guxinqian/Simple-CCReID, which the later programs follow: people with constant clothes stay in query and gallery; under
the cloth-changing rule their queries have no match and are skipped, and in the gallery they are distractors.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, NamedPicture, samples_of
from reidclip.data.published import changing_clothes, constant_clothes, count
from reidclip.records import Dataset, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/train/001_1_c4_015861.png    <pid>_<clothes>_c<camera>_<frame>.png in one flat folder
DATA/query/...                    the same names
DATA/test/...                     the same names; the gallery
DATA/info/...                     optional: lists of who changes clothes, compared with the pictures"""

_NAMES = FlatNames(
    title="LTCC",
    folders={"train": "train", "query": "query", "test": "gallery"},
    pattern=re.compile(r"(?P<pid>\d{3})_(?P<clothes>\d{1,2})_c(?P<cam>\d{1,2})_(?P<frame>\d{6})\.(?i:png)"),
    cameras=12,
    example="001_1_c4_015861.png",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOLS = (
    Protocol("general", Rule.STD, "query", "gallery", note="The standard setting: all queries, the whole gallery."),
    Protocol(
        "same-clothes",
        Rule.SC,
        "query",
        "gallery",
        note="Also ignored: the same identity in other clothes. Printed by Simple-CCReID; papers do not publish it.",
    ),
    Protocol(
        "cloth-changing",
        Rule.CC,
        "query",
        "gallery",
        note="Also ignored: the same identity in the same clothes. Queries without a match are skipped; people with constant clothes "
        "stay in the gallery as distractors (some programs leave them out: their numbers are others).",
    ),
)

_TEST = ("query", "gallery")
_TRAIN_IMAGES_OF_CAMERA = (521, 941, 436, 1_078, 798, 1_276, 229, 500, 1_674, 619, 923, 581)


def _of_camera(camera: int, sample: Sample) -> bool:
    return sample.camid == camera - 1


# The training half was counted from a complete list of its files, the rest was measured on the release. Papers also give 17,138
# images, 415 outfits and (the LTCC paper) 478: the files sum to 17,119 and 477.
_PUBLISHED = (
    count("identities", 77, "C", "train"),
    count("images", 9_576, "C", "train"),
    count("clothes", 256, "C", "train"),
    count("cameras", 12, "C", "train"),
    *(
        count("images", images, "C", "train", what=f"train, camera {camera}", where=partial(_of_camera, camera))
        for camera, images in enumerate(_TRAIN_IMAGES_OF_CAMERA, start=1)
    ),
    count("identities", 46, "C", "train", what="train, clothes change", among=changing_clothes),
    count("images", 8_367, "C", "train", what="train, clothes change", among=changing_clothes),
    count("clothes", 225, "C", "train", what="train, clothes change", among=changing_clothes),
    count("identities", 31, "C", "train", what="train, constant clothes", among=constant_clothes),
    count("images", 1_209, "C", "train", what="train, constant clothes", among=constant_clothes),
    count("clothes", 31, "C", "train", what="train, constant clothes", among=constant_clothes),
    count("identities", 75, "T", "query"),
    count("images", 493, "T", "query"),
    count("identities", 75, "T", "gallery"),
    count("images", 7_050, "T", "gallery"),
    count("cameras", 12, "T", "gallery"),
    count("clothes", 221, "T", *_TEST),
    count("identities", 45, "T", *_TEST, what="query + gallery, clothes change", among=changing_clothes),
    count("identities", 30, "T", *_TEST, what="query + gallery, constant clothes", among=constant_clothes),
    count("identities", 152, "T"),
    count("images", 17_119, "T"),
    count("clothes", 477, "T"),
    count("cameras", 12, "T"),
    count("identities", 91, "T", what="all, clothes change", among=changing_clothes),
    count("identities", 61, "T", what="all, constant clothes", among=constant_clothes),
    count("images", 14_783, "T", what="all, clothes change", among=changing_clothes),
    count("images", 2_336, "T", what="all, constant clothes", among=constant_clothes),
)


class LtccLayout:
    """Reads LTCC (``LTCC_ReID``, ``LTCC-reID``); its folder ``test`` is the split "gallery"."""

    name = "ltcc"
    title = "LTCC (Qian et al.; ACCV 2020)"
    expected_tree = EXPECTED_TREE
    source = (
        "The authors give it to those who sign an agreement for research use; see the paper's project page (Fudan University, Yanwei Fu)."
    )
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with LTCC names in ``train``, ``query`` or ``test``."""
        return _NAMES.known_in(root)

    def load(self, root: Path) -> Dataset:
        """All samples, labels and protocols. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no LTCC tree, or no pictures.
            DataFaultsError: pictures whose names are not LTCC's.
        """
        tree = _NAMES.read(root)
        samples = samples_of(tree.pictures, _outfit)
        dataset = assemble(self.name, root, samples, _PROTOCOLS, (*tree.notes, *_info_notes(root, samples)))
        return without_faults(dataset, tree.faults)


LAYOUT = LtccLayout()


def _outfit(picture: NamedPicture) -> str:
    """Outfits are numbered per person."""
    return f"{picture.fields['pid']}_{picture.fields['clothes']}"


def _info_notes(root: Path, samples: Sequence[Sample]) -> Iterable[str]:
    """Where the release's lists of who changes clothes disagree with the pictures. The pictures decide."""
    for half, splits in (("train", ("train",)), ("test", _TEST)):
        outfits: dict[int, set[int]] = defaultdict(set)
        for s in samples:
            if s.split in splits:
                outfits[s.pid].add(s.clothes_id)
        for kind, changes in (("change", True), ("unchange", False)):
            path = root / "info" / f"cloth-{kind}_id_{half}.txt"
            if outfits and path.is_file():
                yield from _list_note(path, {pid for pid, worn in outfits.items() if (len(worn) > 1) is changes})


def _list_note(path: Path, shown: set[int]) -> Iterable[str]:
    try:
        listed = {int(word) for word in path.read_text(encoding="utf-8-sig").split()}
    except (OSError, ValueError):
        yield f"{path} is no list of identities, one a line; it was not compared with the pictures."
        return
    differing = sorted(listed ^ shown)
    if differing:
        yield (
            f"{path} lists {len(listed)} identities, the pictures show {len(shown)}; they disagree on {len(differing)}, "
            f"the first is {differing[0]:03d}. Labels follow the pictures."
        )
