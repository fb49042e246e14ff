"""CUHK-SYSU's crops: 11,934 people cut from photographs and films, for training alone.

Xiao, Li, Wang, Lin, Wang: "Joint Detection and Identification Feature Learning for Person Search", CVPR 2017. The set is one of person
search; the crops were made for training generalisable models. Nobody numbered its cameras: all samples share the camera key 0.
"""

from __future__ import annotations

import re
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.records import Dataset, Protocol, Sample

EXPECTED_TREE = """\
DATA/cropped_images/p11422_s16929_1.jpg      p<pid>_s<scene>_<number>.jpg in one flat folder"""

_NAMES = FlatNames(
    title="CUHK-SYSU",
    folders={"cropped_images": "train"},
    pattern=re.compile(r"p(?P<pid>\d+)_s(?P<scene>\d+)_(?P<number>\d+)\.(?i:jpg)"),
    cameras=0,  # unknown
    example="p11422_s16929_1.jpg",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOLS: tuple[Protocol, ...] = ()

_PUBLISHED = (count("identities", 11_934, "R"), count("images", 34_574, "R"))


class CuhkSysuLayout:
    """Reads CUHK-SYSU's crops."""

    name = "cuhk_sysu"
    title = "CUHK-SYSU, cropped (Xiao et al.; CVPR 2017)"
    expected_tree = EXPECTED_TREE
    source = (
        "The authors give the photographs on request for research use (The Chinese University of Hong Kong, Xiaogang Wang); programs "
        "for generalisable re-identification share the crops."
    )
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with CUHK-SYSU names in ``cropped_images``."""
        return _NAMES.known_in(root)

    def load(self, root: Path) -> Dataset:
        """All samples, for training.

        Raises:
            UserError: no CUHK-SYSU tree, or no pictures.
            DataFaultsError: pictures whose names are not CUHK-SYSU's.
        """
        tree = _NAMES.read(root)
        samples = [Sample(p.path, int(p.fields["pid"]), 0, -1, p.split, camera=-1) for p in tree.pictures]
        why = "CUHK-SYSU's crops are for training alone."
        notes = [*tree.notes, missing_protocols_note(("general", "same-clothes", "cloth-changing"), why)]
        return without_faults(assemble(self.name, root, samples, _PROTOCOLS, notes), tree.faults)


LAYOUT = CuhkSysuLayout()
