"""Bodies that pictures show: a table of shapes, measurements and words beside the pictures, and sets of untextured renders.

``bodies.safetensors`` in the root of a rendered data set: ``shape`` (P, S), ``choices`` (P, 16), ``measures`` (P, M), ``thresholds`` (M,);
its metadata name the body model, its version and the measurements; ``bodies.json`` maps each picture to a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidclip.records import Dataset


@dataclass(frozen=True)
class BodyTable:
    """Who has which body.

    Attributes:
        body, version: the body model, and the digest of its data; see `reidclip.interfaces.BodySession`.
        shape: (P, S) float32 shape parameters.
        choices: (P, 16) int64: 0 where the first phrase of a pair of `reidclip.bodies.phrases.PAIRS` is true, 1 where the second is.
        measures: (P,) float32 by name.
        thresholds: name -> the population's median, which decided the choices.
        rows: picture, as in ``Sample.path`` -> row.
    """

    body: str
    version: str
    shape: np.ndarray
    choices: np.ndarray
    measures: Mapping[str, np.ndarray]
    thresholds: Mapping[str, float]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class MeshSet:
    """Untextured renders of bodies: `reidclip synth OUT --meshes`.

    Attributes:
        dataset: splits "train" and "test", no body in both; ``pid`` is the row of the body, plus 1.
        table: their bodies.
    """

    dataset: Dataset
    table: BodyTable


def open_bodies(root: Path) -> BodyTable | None:
    """The table of a rendered data set; None where there is none.

    Raises:
        UserError: a file that cannot be read, or tells of other pictures.
    """
    raise NotImplementedError


def open_meshes(root: Path) -> MeshSet:
    """A set of mesh renders.

    Raises:
        UserError: no such folder, or none of mesh renders (with the command that makes one); files missing or broken.
    """
    raise NotImplementedError
