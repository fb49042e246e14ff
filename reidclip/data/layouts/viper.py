"""VIPeR: 632 people, one picture each before two cameras; half of them test, at random.

Gray, Brennan, Tao: "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking", PETS 2007. The pictures of one person have
different names (they say the angle), so that a pair is what stands at the same place in the two sorted folders. Ten random halves,
each with either camera as the query, are the 20 published divisions: even ones query with camera A, odd ones with camera B.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from reidclip.counted import counted
from reidclip.data.draws import NUMBER, generator, halves, numbered
from reidclip.data.layouts.divided import base_of, divided
from reidclip.data.layouts.flat import FlatNames
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/cam_a/001_45.bmp      one picture of each person; DATA/VIPeR/cam_a/... one folder further down
DATA/cam_b/001_90.bmp      the same people in the same order
DATA/splits.json           optional: divisions that a program drew"""

_INNER = ("VIPeR",)
_SIDES = ("cam_a", "cam_b")

_NAMES = FlatNames(
    title="VIPeR",
    folders={side: side for side in _SIDES},
    pattern=re.compile(r".+\.(?i:bmp)"),
    cameras=2,
    example="001_45.bmp",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOL = Protocol(
    "general",
    Rule.STD,
    "half of the people before one camera",
    "the same people before the other",
    note="Mean over 20 divisions: ten random halves, either camera as query. CLIP-FGDI reports number 9 alone (--split 9).",
)

_PUBLISHED = (count("identities", 632, "R"), count("images", 1_264, "R"), count("cameras", 2, "R"))


class ViperLayout:
    """Reads VIPeR; the folder given may be the one that holds ``VIPeR``."""

    name = "viper"
    title = "VIPeR (Gray et al.; PETS 2007)"
    expected_tree = EXPECTED_TREE
    inner = _INNER
    source = "The authors published it for research use; see the paper's page (University of California, Santa Cruz)."
    published = _PUBLISHED
    protocols = (_PROTOCOL,)

    def recognises(self, root: Path) -> bool:
        """True for a folder with bitmaps in ``cam_a`` or ``cam_b``."""
        return any(_NAMES.known_in(base) for base in (root, *(root / name for name in _INNER)))

    def load(self, root: Path) -> Dataset:
        """All samples, the divisions and the protocol.

        Raises:
            UserError: no VIPeR tree, no pictures, cameras with different numbers of pictures, or a file of splits that does not fit.
            DataFaultsError: files that are not bitmaps.
        """
        base = base_of(root, _NAMES, _INNER)
        tree = _NAMES.read(base)
        sides = [[p.path for p in tree.pictures if p.split == side] for side in _SIDES]
        if len(sides[0]) != len(sides[1]) and not tree.faults:
            raise UserError(
                f"{base} has {len(sides[0])} pictures in cam_a and {len(sides[1])} in cam_b, and people are paired by their place.",
                "Unpack VIPeR again: each person has one picture in either folder.",
            )
        tree = replace(tree, notes=[*tree.notes, *_doubtful_pairs(base, *sides)])
        samples = [Sample(path, pid, camera, -1, _SIDES[camera]) for camera, paths in enumerate(sides) for pid, path in enumerate(paths)]
        return divided(self.name, "VIPeR", root, base, tree, samples, _PROTOCOL, lambda: numbered(_draws(*sides)))


LAYOUT = ViperLayout()


def _doubtful_pairs(base: Path, first: list[str], second: list[str]) -> list[str]:
    """A note where names begin with different numbers at the same place: with a picture lost in either folder the counts still agree.

    No more than a note, since published programs pair by place whatever the names say.
    """
    odd = [pair for pair in zip(first, second, strict=False) if _number(pair[0]) != _number(pair[1])]
    if not odd:
        return []
    pairs = counted(len(odd), "pair is", "pairs are")
    return [
        f"{pairs} doubtful: people are paired by their place in the sorted folders, and the numbers before '_' differ, first of "
        f"{base / odd[0][0]} and {base / odd[0][1]}. A picture may be missing in either folder; unpack VIPeR again."
    ]


def _number(path: str) -> str:
    """What stands before "_" in a name; "" in a name without it, which says nothing."""
    number, line, _ = path.rpartition("/")[2].partition("_")
    return number if line else ""


def _draws(first: list[str], second: list[str]) -> list[Draw]:
    """Ten random halves, each twice."""
    numbers, draws = generator(), []
    for _ in range(NUMBER):
        train, test = (sorted(half) for half in halves(range(len(first)), numbers))
        learned = tuple(side[pid] for side in (first, second) for pid in train)
        a, b = (tuple(side[pid] for pid in test) for side in (first, second))
        draws += [Draw(learned, a, b), Draw(learned, b, a)]
    return draws
