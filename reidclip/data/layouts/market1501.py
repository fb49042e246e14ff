"""Market-1501: six cameras, one outfit per person; junk detections are dropped, distractors stay in the gallery.

Zheng, Shen, Tian, Wang, Wang, Tian: "Scalable Person Re-identification: A Benchmark", ICCV 2015. Junk (-1) and distractors (0000) are
treated as every program does: junk leaves before ranking, distractors are gallery pictures that match nobody. The release's 500,000
further distractors (``images/``) are no part of the usual protocol and are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, NamedPicture, samples_of
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count, left_out
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule

EXPECTED_TREE = """\
DATA/bounding_box_train/0002_c1s1_000451_03.jpg    <pid>_c<camera>s<sequence>_<frame>_<box>.jpg in one flat folder
DATA/query/...                                     the same names
DATA/bounding_box_test/...                         the same names; 0000 is a distractor, -1 is junk"""

_INNER = "Market-1501-v15.09.15"  # the folder in the release's archive; some programs keep it inside market1501/
_JUNK, _DISTRACTOR = "-1", "0000"

_NAMES = FlatNames(
    title="Market-1501",
    folders={"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"},
    # The end is open: some mirrors hold doubled extensions.
    pattern=re.compile(r"(?P<pid>-1|\d{4})_c(?P<cam>\d)s(?P<seq>\d+)_(?P<frame>\d+)_(?P<box>\d+)\.(?i:jpg).*"),
    cameras=6,
    example="0022_c6s1_002976_01.jpg",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOLS = (Protocol("general", Rule.STD, "query", "gallery", note="All queries, the gallery with its distractors and without junk."),)

_PUBLISHED = (
    count("identities", 751, "R", "train"),
    count("images", 12_936, "R", "train"),
    count("cameras", 6, "R", "train"),
    count("identities", 750, "R", "query"),
    count("images", 3_368, "R", "query"),
    count("images", 15_913, "R", "gallery"),
    count("identities", 750, "T", "gallery", what="gallery, people", where=lambda s: s.pid != 0),
    count("images", 13_115, "T", "gallery", what="gallery, people", where=lambda s: s.pid != 0),
    count("images", 2_798, "T", "gallery", what="gallery, distractors", where=lambda s: s.pid == 0),
    count("cameras", 6, "T", "query", "gallery"),
    left_out("junk", 3_819, "T"),
)


class Market1501Layout:
    """Reads Market-1501; the folder given may be the one that holds ``Market-1501-v15.09.15``."""

    name = "market1501"
    title = "Market-1501 (Zheng et al.; ICCV 2015)"
    expected_tree = EXPECTED_TREE
    inner = (_INNER,)
    source = "The authors published it for research use; see the paper's project page (Liang Zheng), and ask them where its links are dead."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder with Market names in ``bounding_box_train``, ``bounding_box_test`` or ``query``."""
        return _NAMES.known_in(root) or _NAMES.known_in(root / _INNER)

    def load(self, root: Path) -> Dataset:
        """All samples and the protocol; ``left_out`` counts the junk. A copy may lack folders; notes say what it cannot do then.

        Raises:
            UserError: no Market-1501 tree, or no pictures.
            DataFaultsError: pictures whose names are not Market-1501's.
        """
        base = _base(root)
        tree = _NAMES.read(base)
        kept, dropped = _without_junk(tree.pictures)
        notes = [*tree.notes]
        notes += [f"{number} pictures were left out: {why}." for why, number in dropped.items()]
        if not kept and not tree.faults:
            raise UserError(" ".join((f"{root} has Market-1501's folders but no pictures.", *notes)), f"Expected:\n{EXPECTED_TREE}")
        if (base / "images").is_dir():
            notes.append("The 500,000 distractors in images/ are not read; published numbers come without them.")
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), "Market-1501 has no clothes labels, and nobody changes."))
        dataset = assemble(self.name, base, samples_of(kept), _PROTOCOLS, notes, dropped)
        return without_faults(replace(dataset, distractors=frozenset({int(_DISTRACTOR)})), tree.faults)


LAYOUT = Market1501Layout()


def _base(root: Path) -> Path:
    inner = root / _INNER
    return inner if inner.is_dir() and not _NAMES.known_in(root) else root


def _without_junk(pictures: Sequence[NamedPicture]) -> tuple[list[NamedPicture], Counter[str]]:
    """Pictures that are used, and the number of those that are not by reason.

    The release has distractors in the gallery alone. Elsewhere they would be a person to learn, or to look for.
    """
    kept = []
    dropped: Counter[str] = Counter()
    for picture in pictures:
        if picture.fields["pid"] == _JUNK:
            dropped["junk"] += 1
        elif picture.fields["pid"] == _DISTRACTOR and picture.split != "gallery":
            dropped["distractors outside the gallery"] += 1
        else:
            kept.append(picture)
    return kept, dropped
