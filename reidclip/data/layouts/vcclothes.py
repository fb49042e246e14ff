"""VC-Clothes: people rendered by a video game, four cameras; most wear the same under cameras 2 and 3, and other clothes under 4.

Wan, Wu, Qian, Chen, Fu: "When Person Re-Identification Meets Changing Clothes", CVPR Workshops 2020. Labels and protocols are those
of guxinqian/Simple-CCReID. Trap: "same clothes" and "cloth-changing" are published as subsets of *cameras*, while the program also
prints results of rules on the clothes labels over all cameras. Both are here, under different names.
"""

from __future__ import annotations

import re
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, NamedPicture, samples_of
from reidclip.data.published import count
from reidclip.records import Dataset, Protocol, Rule

EXPECTED_TREE = """\
DATA/train/0001-02-01-03.jpg      <pid>-<camera>-<clothes>-<number>.jpg in one flat folder
DATA/query/...                    the same names
DATA/gallery/...                  the same names"""

_NAMES = FlatNames(
    title="VC-Clothes",
    folders={"train": "train", "query": "query", "gallery": "gallery"},
    pattern=re.compile(r"(?P<pid>\d+)-(?P<cam>\d+)-(?P<clothes>\d+)-(?P<index>\d+)\.(?i:jpg)"),
    cameras=4,
    example="0001-02-01-03.jpg",
    expected_tree=EXPECTED_TREE,
)

_CAMERAS_2_AND_3 = frozenset({1, 2})  # camid is 0-based
_CAMERAS_3_AND_4 = frozenset({2, 3})

# The reference numbers the clothes of a camera subset by themselves; labels are compared for equality only, so one numbering over all
# of query and gallery gives the same results.
_PROTOCOLS = (
    Protocol("general", Rule.STD, "query", "gallery", note="All four cameras."),
    Protocol(
        "same-clothes",
        Rule.STD,
        "query",
        "gallery",
        query_cams=_CAMERAS_2_AND_3,
        gallery_cams=_CAMERAS_2_AND_3,
        note="As published: only pictures of cameras 2 and 3 in query and gallery. Clothes labels play no part; see sc-labels for those.",
    ),
    Protocol(
        "cloth-changing",
        Rule.STD,
        "query",
        "gallery",
        query_cams=_CAMERAS_3_AND_4,
        gallery_cams=_CAMERAS_3_AND_4,
        note="As published: only pictures of cameras 3 and 4 in query and gallery. Clothes labels play no part; see cc-labels for those.",
    ),
    Protocol(
        "sc-labels",
        Rule.SC,
        "query",
        "gallery",
        note="All four cameras; also ignored: the same identity with another clothes label. Printed by Simple-CCReID; papers publish "
        "same-clothes.",
    ),
    Protocol(
        "cc-labels",
        Rule.CC,
        "query",
        "gallery",
        note="All four cameras; also ignored: the same identity with the same clothes label. Printed by Simple-CCReID; papers publish "
        "cloth-changing.",
    ),
)

# The sums were measured on the release; how they divide among the splits is hearsay.
_PUBLISHED = (
    count("identities", 256, "G", "train"),
    count("images", 9_449, "G", "train"),
    count("cameras", 4, "G", "train"),
    count("identities", 256, "G", "query"),
    count("images", 1_020, "G", "query"),
    count("identities", 256, "G", "gallery"),
    count("images", 8_591, "G", "gallery"),
    count("identities", 512, "T"),
    count("images", 19_060, "T"),
    count("cameras", 4, "T"),
)


class VcClothesLayout:
    """Reads VC-Clothes."""

    name = "vcclothes"
    title = "VC-Clothes (Wan et al.; CVPR Workshops 2020)"
    expected_tree = EXPECTED_TREE
    source = "Rendered pictures that the authors share for research use; see the paper's project page (Fudan University, Yanwei Fu)."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with VC-Clothes names in ``train``, ``query`` or ``gallery``."""
        return _NAMES.known_in(root)

    def load(self, root: Path) -> Dataset:
        """All samples, labels and protocols. A copy may lack folders or cameras; notes say what it cannot do then.

        Raises:
            UserError: no VC-Clothes tree, or no pictures.
            DataFaultsError: pictures whose names are not VC-Clothes'.
        """
        tree = _NAMES.read(root)
        return without_faults(assemble(self.name, root, samples_of(tree.pictures, _outfit), _PROTOCOLS, tree.notes), tree.faults)


LAYOUT = VcClothesLayout()


def _outfit(picture: NamedPicture) -> tuple[str, str]:
    """Sorted by pid and clothes written without a separator, as published.

    That text alone would join 1 + 11 and 11 + 1 if the fields had no fixed width; the pid keeps people apart.
    """
    pid = picture.fields["pid"]
    return pid + picture.fields["clothes"], pid
