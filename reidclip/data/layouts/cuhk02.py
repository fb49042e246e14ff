"""CUHK02: five pairs of cameras, two pictures of each person before each; pairs 1 to 4 train, pair 5 tests.

Li, Wang: "Locally Aligned Feature Transforms across Views", CVPR 2013. Identities are numbered anew in every pair, so that a person is a
pair and a number; the published programs number training people in the order of a set of strings, which differs from run to run.
CUHK02 shares people with CUHK01.
"""

from __future__ import annotations

import re
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, NamedPicture
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.records import Dataset, Protocol, PublishedCount, Rule, Sample

EXPECTED_TREE = """\
DATA/P1/cam1/001_045.png (also P2 to P5, cam2)     <pid>_<number>.png; identities are numbered anew in every pair
DATA/Dataset/P1/...                                the same one folder further down"""

_INNER = "Dataset"
_PAIRS = (1, 2, 3, 4, 5)
_TEST_PAIR = 5
_PEOPLE_OF_A_PAIR = 100_000  # more than any pair has: pair * this + number is a person

_NAMES = FlatNames(
    title="CUHK02",
    folders={
        f"P{pair}/cam{view}": "train" if pair != _TEST_PAIR else "query" if view == 1 else "gallery" for pair in _PAIRS for view in (1, 2)
    },
    pattern=re.compile(r"(?P<pid>\d{1,5})_(?P<number>\d+)\.(?i:png)"),
    cameras=0,  # the folders say them
    example="001_045.png",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOLS = (
    Protocol("general", Rule.STD, "query", "gallery", note="People of pair 5: queries of its first camera, gallery of its second."),
)


def _people(pair: int, number: int) -> PublishedCount:
    return count("identities", number, "R", what=f"pair {pair}", where=lambda s: s.camid // 2 + 1 == pair)


_PUBLISHED = (
    *(_people(pair, number) for pair, number in zip(_PAIRS, (971, 306, 107, 193, 239), strict=True)),
    count("identities", 1_577, "S", "train"),
    count("identities", 239, "R", "query"),
    count("identities", 239, "R", "gallery"),
    count("identities", 1_816, "R"),
    count("images", 7_264, "G"),
    count("cameras", 10, "R"),
)


class Cuhk02Layout:
    """Reads CUHK02; the folder given may be the one that holds ``Dataset``."""

    name = "cuhk02"
    title = "CUHK02 (Li and Wang; CVPR 2013)"
    expected_tree = EXPECTED_TREE
    inner = (_INNER,)
    source = "The authors give it on request for research use; see their page (The Chinese University of Hong Kong, Xiaogang Wang)."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with CUHK02 names in a camera's folder of one of the five pairs."""
        return _NAMES.known_in(root) or _NAMES.known_in(root / _INNER)

    def load(self, root: Path) -> Dataset:
        """All samples and the protocol. A copy may lack pairs; notes say what it cannot do then.

        Raises:
            UserError: no CUHK02 tree, or no pictures.
            DataFaultsError: pictures whose names are not CUHK02's.
        """
        base = root / _INNER if not _NAMES.known_in(root) and (root / _INNER).is_dir() else root
        tree = _NAMES.read(base)
        notes = [
            *tree.notes,
            missing_protocols_note(("same-clothes", "cloth-changing"), "CUHK02 has no clothes labels, and nobody changes."),
        ]
        return without_faults(assemble(self.name, base, [_sample(p) for p in tree.pictures], _PROTOCOLS, notes), tree.faults)


LAYOUT = Cuhk02Layout()


def _sample(picture: NamedPicture) -> Sample:
    """Cameras are numbered 0 to 9 in the order of the folders."""
    pair, view = (int(part[-1]) for part in picture.path.split("/")[:2])
    return Sample(picture.path, pair * _PEOPLE_OF_A_PAIR + int(picture.fields["pid"]), 2 * (pair - 1) + view - 1, -1, picture.split)
