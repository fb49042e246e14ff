"""CCDA, "Cloth-Changing and Diverse Activities": a small test set, named like Celeb-reID; neither cameras nor clothes are labelled.

Liu, Kim, Gu, Jain, Liu: "Learning Clothing and Pose Invariant 3D Shape Representation for Long-Term Person Re-Identification", ICCV
2023. The one loader that is public (liufeng2915/Clip3DReid's family) reads identity and one digit of the second field from a name and
nothing else. It numbers the identities of query and gallery separately, in order, which is right only where both hold the same people.
Here they are matched by the number in the name, so that people of one side alone are worth a note and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.celeb_reid import NAMES as CELEB_NAMES
from reidclip.data.layouts.celeb_reid import called_ccda, samples_with_first_digit
from reidclip.data.layouts.flat import FlatNames, NamedPicture
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Protocol, Rule

EXPECTED_TREE = """\
DATA/query/1_2_a.jpg     <pid>_<one digit>....jpg in one flat folder; -1 is junk
DATA/gallery/...         the same names; the same people
DATA/train/...           optional: the same names"""

_NAMES = FlatNames(
    title="CCDA",
    folders={"train": "train", "query": "query", "gallery": "gallery"},
    pattern=re.compile(r"(?P<pid>-1|\d+)_(?P<img>\d).*\.(?i:jpg)"),  # the end is open: the public loader reads no further
    cameras=0,
    example="12_3_0.jpg",
    expected_tree=EXPECTED_TREE,
)
_JUNK = "-1"
_TOLD = 5  # identities of one side alone
_TEST = ("query", "gallery")

_PROTOCOLS = (
    Protocol(
        "general",
        Rule.STD,
        "query",
        "gallery",
        note="Camera: the first digit of the name's second field, as in Celeb-reID's celeb-a. A published R1 below its mAP points to "
        "hardly more than one match per query.",
    ),
)

_PUBLISHED = (
    count("identities", 100, "G", *_TEST),
    count("images", 1_555, "G", *_TEST),
)


class CcdaLayout:
    """Reads CCDA: a folder of that name, or one whose names are not Celeb-reID's but fit."""

    name = "ccda"
    title = "CCDA (Liu et al.; ICCV 2023)"
    expected_tree = EXPECTED_TREE
    source = "The authors released it with 3DInvarReID; see their repository, liufeng2915/3DInvarReID."
    published = _PUBLISHED
    protocols = _PROTOCOLS

    def recognises(self, root: Path) -> bool:
        """True for a folder called CCDA with fitting names in one of its folders; and for any with such names in both ``query`` and
        ``gallery``, where they are not Celeb-reID's.
        """
        if called_ccda(root):
            return _NAMES.known_in(root)
        return all(replace(_NAMES, folders={side: side}).known_in(root) for side in _TEST) and not CELEB_NAMES.known_in(root)

    def load(self, root: Path) -> Dataset:
        """All samples and the protocol; ``left_out`` counts the junk. A copy may lack folders or people of one side; notes tell.

        Raises:
            UserError: no CCDA tree, or no pictures.
            DataFaultsError: pictures whose names are not CCDA's.
        """
        tree = _NAMES.read(root)
        kept = [p for p in tree.pictures if p.fields["pid"] != _JUNK]
        junk = len(tree.pictures) - len(kept)
        notes = [*tree.notes, *([f"{junk} pictures were left out: junk."] if junk else [])]
        if not kept and not tree.faults:
            raise UserError(" ".join((f"{root} has CCDA's folders but no pictures.", *notes)), f"Expected:\n{EXPECTED_TREE}")
        notes += _on_one_side(kept)
        notes.append(missing_protocols_note(("same-clothes", "cloth-changing"), "CCDA labels neither clothes nor cameras."))
        left_out = {"junk": junk} if junk else {}
        dataset = assemble(self.name, root, samples_with_first_digit(kept), _PROTOCOLS, notes, left_out)
        return without_faults(replace(dataset, numbered_apart=True), tree.faults)


LAYOUT = CcdaLayout()


def _on_one_side(pictures: Sequence[NamedPicture]) -> Iterator[str]:
    """A note for either test folder with people whom the other lacks; none where a copy lacks one of the two folders."""
    people = {side: {int(p.fields["pid"]) for p in pictures if p.split == side} for side in _TEST}
    if not all(people.values()):
        return
    for side, other in (_TEST, _TEST[::-1]):
        alone = sorted(people[side] - people[other])
        if alone:
            told = ", ".join(map(str, alone[:_TOLD])) + (" and others" if len(alone) > _TOLD else "")
            yield f"Of {len(people[side])} identities in {side}, {len(alone)} are not in {other}: {told}. Is the copy whole?"
