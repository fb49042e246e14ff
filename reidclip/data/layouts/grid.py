"""QMUL GRID: 250 people of an underground station before two of eight cameras, and 775 pictures of others in the gallery.

Loy, Xiang, Gong: "Multi-Camera Activity Correlation Analysis", CVPR 2009. The ten divisions are published with the pictures
(``features_and_partitions.mat``): 125 people train. Identity 0 is everybody else: it matches nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.draws import numbered
from reidclip.data.layouts.divided import base_of, divided
from reidclip.data.layouts.flat import FlatNames, samples_of
from reidclip.data.mat_files import cells, read_mat
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Protocol, Rule, Sample

EXPECTED_TREE = """\
DATA/probe/0001_1_25004_107_32_106_221.jpeg      <pid>_<camera>_...; DATA/underground_reid/probe/... one folder further down
DATA/gallery/0001_2_25023_116_134_128_330.jpeg   the same names; 0000 is a distractor
DATA/features_and_partitions.mat                 the published divisions; or DATA/splits.json, as programs keep them"""

_INNER = ("underground_reid",)
_PARTITIONS = "features_and_partitions.mat"
_TRAINING_PEOPLE = 2  # the field of an entry of trainIdxAll that lists them
_DISTRACTOR = 0

_NAMES = FlatNames(
    title="GRID",
    folders={"probe": "probe", "gallery": "gallery"},
    pattern=re.compile(r"(?P<pid>\d{4})_(?P<cam>\d)_.*\.(?i:jpeg)"),
    cameras=8,
    example="0001_1_25004_107_32_106_221.jpeg",
    expected_tree=EXPECTED_TREE,
)

_PROTOCOL = Protocol(
    "general",
    Rule.STD,
    "125 people of probe",
    "the same people of gallery and the distractors",
    note="Mean over the 10 published divisions; 775 distractors. CLIP-FGDI reports number 9 alone (--split 9).",
)

_PUBLISHED = (
    count("identities", 250, "R", "probe"),
    count("images", 250, "R", "probe"),
    count("images", 1_025, "R", "gallery"),
    count("identities", 250, "R", "gallery", what="gallery, people", where=lambda s: s.pid != _DISTRACTOR),
    count("images", 775, "S", "gallery", what="gallery, distractors", where=lambda s: s.pid == _DISTRACTOR),
    count("cameras", 8, "R"),
)


class GridLayout:
    """Reads GRID; the folder given may be the one that holds ``underground_reid``."""

    name = "grid"
    title = "QMUL GRID (Loy, Xiang, Gong; CVPR 2009)"
    expected_tree = EXPECTED_TREE
    inner = _INNER
    source = "The authors published it for research use; see the page of QMUL underground re-identification (Chen Change Loy)."
    published = _PUBLISHED
    protocols = (_PROTOCOL,)

    def recognises(self, root: Path) -> bool:
        """True for a folder with GRID names in ``probe`` or ``gallery``."""
        return any(_NAMES.known_in(base) for base in (root, *(root / name for name in _INNER)))

    def load(self, root: Path) -> Dataset:
        """All samples, the divisions and the protocol.

        Raises:
            UserError: no GRID tree, no pictures, no file of divisions or one that does not fit, or SciPy is needed and not installed.
            DataFaultsError: pictures whose names are not GRID's.
        """
        base = base_of(root, _NAMES, _INNER)
        tree = _NAMES.read(base)
        samples = samples_of(tree.pictures)
        path = base / _PARTITIONS
        dataset = divided(
            self.name,
            "GRID",
            root,
            base,
            tree,
            samples,
            _PROTOCOL,
            lambda: numbered(_draws(path, samples)),
            drawn=f"The random splits are the published ones of {path}",
        )
        return replace(dataset, distractors=frozenset({_DISTRACTOR}))


LAYOUT = GridLayout()


def _draws(path: Path, samples: Sequence[Sample]) -> Iterator[Draw]:
    if not path.is_file():
        raise UserError(f"There is no {path}, which says who trains and who tests.", "Unpack GRID again, or put splits.json beside it.")
    ordered = sorted(samples, key=lambda s: s.path)
    known = {s.pid for s in ordered if s.pid != _DISTRACTOR}
    for train in _training_people(path):
        unknown = train - known
        if unknown:
            raise UserError(f"{path} names person {min(unknown)}, of whom there is no picture.", "Unpack GRID again.")
        yield Draw(
            tuple(s.path for s in ordered if s.pid in train),
            tuple(s.path for s in ordered if s.split == "probe" and s.pid not in train),
            tuple(s.path for s in ordered if s.split == "gallery" and s.pid not in train),
        )


def _training_people(path: Path) -> Iterator[frozenset[int]]:
    """Of each division, from the release's structure: a cell per division, whose third field lists them."""
    try:
        for cell in cells(read_mat(path, "grid")["trainIdxAll"]):
            yield frozenset(int(pid) for pid in cells(cells(cell)[0][_TRAINING_PEOPLE]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path} has no trainIdxAll as in GRID ({type(error).__name__}: {error}).", "Unpack GRID again.") from error
