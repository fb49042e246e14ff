"""QMUL i-LIDS: 119 people, two to eight pictures each; half of them test, with one random picture as query and another as gallery.

Zheng, Gong, Xiang: "Associating Groups of People", BMVC 2009. Names do not say the camera: the published programs take the number of a
person's picture for it, which ignores nothing, since query and gallery are two pictures. That is the key here; the camera is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from reidclip.data.draws import NUMBER, generator, halves, numbered, paths_by_person, shuffled
from reidclip.data.layouts.divided import base_of, divided
from reidclip.data.layouts.flat import FlatNames
from reidclip.data.published import count
from reidclip.records import Dataset, Draw, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/Persons/0001001.jpg      <pid><number>.jpg, four and three digits; DATA/i-LIDS_Pedestrian/Persons/... one folder further down
DATA/splits.json              optional: divisions that a program drew"""

_INNER = ("i-LIDS_Pedestrian",)
_FOLDER = "Persons"

_NAMES = FlatNames(
    title="i-LIDS",
    folders={_FOLDER: "all"},
    pattern=re.compile(r"(?P<pid>\d{4})(?P<number>\d{3})\.(?i:jpg)"),
    cameras=8,
    example="0001001.jpg",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOL = Protocol(
    "general",
    Rule.STD,
    "one random picture of half of the people",
    "another random picture of each",
    note="Mean over 10 random divisions: 60 people, two random pictures each. CLIP-FGDI reports number 9 alone (--split 9).",
)

_PUBLISHED = (count("identities", 119, "R"), count("images", 476, "R"))


class IlidsLayout:
    """Reads i-LIDS; the folder given may be the one that holds ``i-LIDS_Pedestrian``."""

    name = "ilids"
    title = "QMUL i-LIDS (Zheng, Gong, Xiang; BMVC 2009)"
    expected_tree = EXPECTED_TREE
    inner = _INNER
    source = "The authors share the pictures for research use; see the paper's page (Queen Mary University of London, Shaogang Gong)."
    published = _PUBLISHED
    protocols = (_PROTOCOL,)

    def recognises(self, root: Path) -> bool:
        """True for a folder with i-LIDS names in ``Persons``."""
        return any(_NAMES.known_in(base) for base in (root, *(root / name for name in _INNER)))

    def load(self, root: Path) -> Dataset:
        """All samples, the divisions and the protocol.

        Raises:
            UserError: no i-LIDS tree, no pictures, or a file of splits that does not fit.
            DataFaultsError: pictures whose names are not those of i-LIDS.
        """
        base = base_of(root, _NAMES, _INNER)
        tree = _NAMES.read(base)
        samples = [Sample(p.path, int(p.fields["pid"]), int(p.fields["number"]) - 1, -1, "all", camera=-1) for p in tree.pictures]
        return divided(self.name, "i-LIDS", root, base, tree, samples, _PROTOCOL, lambda: numbered(_draws(samples)))


LAYOUT = IlidsLayout()


def _draws(samples: Sequence[Sample]) -> list[Draw]:
    """A person with a single picture cannot be tested, and trains in every division."""
    numbers, draws = generator(), []
    people = paths_by_person(samples)
    testable = [pid for pid, paths in people.items() if len(paths) > 1]
    for _ in range(NUMBER):
        _, test = halves(testable, numbers)
        two = {pid: shuffled(people[pid], numbers)[:2] for pid in sorted(test)}
        train = tuple(path for pid, paths in people.items() if pid not in test for path in paths)
        draws.append(Draw(train, tuple(a for a, _ in two.values()), tuple(b for _, b in two.values())))
    return draws
