"""Bodies that pictures show: the table beside the pictures (`reidclip.bodies.body_table`), and sets of untextured renders."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from reidclip.bodies.body_table import BodyTable, open_bodies
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample
from reidclip.synth.files import MESHES, PARAMETERS, SHARDS
from reidclip.synth.files import holds_meshes as is_mesh_set
from reidclip.synth.mesh_plan import SIDES

__all__ = ["BodyTable", "MeshSet", "is_mesh_set", "open_bodies", "open_meshes"]

SPLITS = ("train", "test")
_PATH = re.compile(rf"{MESHES}/(?P<split>train|test)/(?P<body>\d+)_c(?P<camera>\d+)_\d+\.jpg")
_MAKE = "Make one: reidclip synth DIR --meshes"


@dataclass(frozen=True)
class MeshSet:
    """Untextured renders of bodies: `reidclip synth OUT --meshes`.

    Attributes:
        dataset: splits "train" and "test", no body in both; ``pid`` is the row of the body, plus 1; ``camid`` is the side of the body
            that is seen, an index into `reidclip.synth.mesh_plan.SIDES`; there are no clothes.
        table: their bodies.
    """

    dataset: Dataset
    table: BodyTable


def open_meshes(root: Path) -> MeshSet:
    """A set of mesh renders.

    Raises:
        UserError: no such folder, or none of mesh renders (with the command that makes one); files missing or broken.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root} of mesh renders.", _MAKE)
    if not is_mesh_set(root):
        raise UserError(f"{root} is no set of mesh renders: its {PARAMETERS} does not say so, or is not there.", _MAKE)
    if (root / SHARDS).exists():
        raise UserError(f"The mesh renders in {root} are not finished.", "Repeat the `reidclip synth --meshes` command, which goes on.")
    root = Path(os.path.abspath(root))
    table = open_bodies(root)
    if table is None:
        raise UserError(f"{root} lacks the table of its bodies.", "Repeat the `reidclip synth --meshes` command, which writes it.")
    samples = [_sample(root, path, row) for path, row in table.rows.items()]
    ordered = tuple(sorted(samples, key=lambda s: (SPLITS.index(s.split), s.path)))
    return MeshSet(Dataset(MESHES, root, ordered, notes=_notes(table)), table)


def _sample(root: Path, path: str, row: int) -> Sample:
    match = _PATH.fullmatch(path)
    if match is None or int(match["body"]) != row + 1 or not 1 <= int(match["camera"]) <= len(SIDES):
        raise UserError(f"{root}: {path} is no name of a mesh render of body {row + 1}.", _MAKE)
    return Sample(path, row + 1, int(match["camera"]) - 1, -1, match["split"])


def _notes(table: BodyTable) -> tuple[str, ...]:
    said = ", ".join(f"{count} of {name}" for name, count in table.ties.items())
    return (f"Bodies that lie on the median itself, and so get the second phrase: {said}.",) if said else ()
