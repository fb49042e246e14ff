"""Who has which body: the table of shapes, measurements and words beside the pictures of a rendered set, and its two files.

``bodies.safetensors`` in the root of a set: ``shape`` (P, S) float32, ``choices`` (P, 16) int64, ``measures`` (P, M) float32,
``thresholds`` (M,) float32; its metadata name the body model, its version and the measurements. ``bodies.json`` maps each picture to a
row, and holds a digest of the set's ``synth.json``: two sets may well have pictures of the same names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reidclip.bodies.phrases import MEASURES, PAIRS
from reidclip.bodies.population import choices, measured, thresholds
from reidclip.errors import UserError
from reidclip.interfaces import BodySession
from reidclip.synth.files import BODIES, BODY_ROWS, PARAMETERS
from reidclip.synth.shards import write_atomically

FORMAT = 1
_SHAPES = {"shape": 2, "choices": 2, "measures": 2, "thresholds": 1}
_ABSENT = (
    "Repeat the `reidclip synth` command of this set: it writes the file anew and renders no picture again. Of a copied set, copy it too."
)
_AGAIN = "It is damaged, or of another set: delete it and repeat the `reidclip synth` command of this set, which renders no picture again."


@dataclass(frozen=True)
class BodyTable:
    """Who has which body.

    Attributes:
        body, version: the body model, and the digest of its data; see `reidclip.interfaces.BodySession`.
        shape: (P, S) float32 shape parameters.
        choices: (P, 16) int64: 0 where the first phrase of a pair of `reidclip.bodies.phrases.PAIRS` is true, 1 where the second is.
        measures: (P,) float32 by name.
        thresholds: name -> the population's median, which decided the choices: above it the first phrase is true; on it, or below,
            the second. See `reidclip.bodies.population.thresholds`.
        rows: picture, as in ``Sample.path`` -> row.
    """

    body: str
    version: str
    shape: np.ndarray
    choices: np.ndarray
    measures: Mapping[str, np.ndarray]
    thresholds: Mapping[str, float]
    rows: Mapping[str, int]

    @property
    def ties(self) -> dict[str, int]:
        """Measurements that decide a pair -> how many bodies lie on the threshold itself; those with none are left out."""
        on = {name: int((self.measures[name] == np.float32(self.thresholds[name])).sum()) for name in MEASURES}
        return {name: count for name, count in on.items() if count}


def table_of(session: BodySession, shapes: np.ndarray, rows: Mapping[str, int]) -> BodyTable:
    """Measure bodies (P, S) and put them into words."""
    shapes = np.ascontiguousarray(shapes, np.float32)
    values, medians = measured(session, shapes), thresholds(session)
    told = {name: float(median) for name, median in medians.items()}
    return BodyTable(session.name, session.version, shapes, choices(values, medians), values, told, dict(rows))


def write_bodies(root: Path, table: BodyTable) -> None:
    """Write both files of a table into the root of a set, which holds its ``synth.json`` already; the same table gives the same bytes."""
    names = list(table.measures)
    tensors = {
        "shape": table.shape,
        "choices": table.choices,
        "measures": np.stack([table.measures[name] for name in names], 1),
        "thresholds": np.array([table.thresholds[name] for name in names], np.float32),
    }
    # One entry alone: the order of several would differ from process to process.
    about = {"format": FORMAT, "body": table.body, "version": table.version, "measures": names}
    file = root / BODIES
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_bytes(save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, {"bodies": json.dumps(about)}))
    temporary.replace(file)
    write_atomically(root / BODY_ROWS, json.dumps({"set": _set_digest(root), "rows": dict(table.rows)}, indent=0) + "\n")


def open_bodies(root: Path) -> BodyTable | None:
    """The table of a rendered data set; None where there is none.

    Raises:
        UserError: a file that cannot be read, or tells of other pictures.
    """
    file, map_file = root / BODIES, root / BODY_ROWS
    if not file.is_file() and not map_file.is_file():
        return None
    for there in (file, map_file):
        if not there.is_file():
            raise UserError(f"There is no {there}, without which the table of bodies beside it says nothing.", _ABSENT)
    about, tensors = _read(file)
    rows = _rows(root, map_file, len(tensors["shape"]))
    measures = {name: tensors["measures"][:, i] for i, name in enumerate(about["measures"])}
    medians = {name: float(value) for name, value in zip(about["measures"], tensors["thresholds"], strict=True)}
    return BodyTable(about["body"], about["version"], tensors["shape"], tensors["choices"], measures, medians, rows)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the metadata say, and the arrays."""
    try:
        with safe_open(file, framework="numpy") as content:
            about = json.loads((content.metadata() or {})["bodies"])
            tensors = {name: content.get_tensor(name) for name in _SHAPES}
        _check(about, tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no readable table of bodies: {error}.", _AGAIN) from error
    return about, tensors


def _check(about: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Raise ValueError, KeyError or TypeError for what does not fit together."""
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']}, this toolkit reads {FORMAT}")
    people, names = len(tensors["shape"]), list(about["measures"])
    expected = {"choices": (people, len(PAIRS)), "measures": (people, len(names)), "thresholds": (len(names),)}
    for name, dimensions in _SHAPES.items():
        found = tensors[name].shape
        if len(found) != dimensions or found != expected.get(name, found):
            raise ValueError(f"{name} has the shape {found}")
    if missing := set(MEASURES) - set(names):
        raise ValueError(f"it lacks the measurement {min(missing)}")
    if not all(isinstance(about[key], str) for key in ("body", "version")):
        raise TypeError("it does not name its body model")


def _rows(root: Path, file: Path, people: int) -> dict[str, int]:
    try:
        content = json.loads(file.read_text("utf-8"))
        rows, of = content["rows"], content["set"]
        if not all(isinstance(row, int) and 0 <= row < people for row in rows.values()):
            raise ValueError(f"a row is not between 0 and {people - 1}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no readable map from pictures to bodies: {error}.", _AGAIN) from error
    if of != _set_digest(root):
        raise UserError(f"{file} tells of the bodies of another set: {root / PARAMETERS} is not the one that it was made with.", _AGAIN)
    missing = [path for path in rows if not (root / path).is_file()]
    if missing:
        remedy = "Restore them, or repeat the `reidclip synth` command of this set."
        raise UserError(f"{file} tells of pictures that are not there: {len(missing)}, the first is {missing[0]}.", remedy)
    return dict(rows)


def _set_digest(root: Path) -> str:
    try:
        return hashlib.sha256((root / PARAMETERS).read_bytes()).hexdigest()
    except OSError:
        return ""
