"""Finds and reads SMPL's files: which of a folder, which arrays, and which other body model a file belongs to instead."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.bodies.plain_pickle import RefusedNameError, as_array, read_plain_pickle
from reidclip.errors import UserError

SHAPES = 10
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
GET = (
    "Register at https://smpl.is.tue.mpg.de, accept its licence (non-commercial research), download 'SMPL for Python', and give its file "
    "or folder: --body smpl:FOLDER with SMPL_FEMALE.pkl and SMPL_MALE.pkl, or basicModel_f_lbs_10_207_0_v1.0.0.pkl and its like."
)
_OTHERS = {52: "SMPL-H", 55: "SMPL-X", 5: "FLAME", 16: "MANO"}  # by number of joints
_STAR_POSES = 93  # STAR has SMPL's joints, but its pose directions are of quaternions
_NAME = re.compile(r"(?:smpl|basic_?model)_(?P<sex>f|m|n|female|male|neutral)(?:_.*)?\.(?:pkl|npz)", re.IGNORECASE)
_PLACES = ("", "smpl", "models", "smpl/models")


@dataclass(frozen=True)
class SmplArrays:
    """One model of SMPL as its file has it: y up, z to the front, metres.

    Attributes:
        template: (V, 3). shape: (V, 3, 10) directions. pose: (V, 3, 207) directions.
        regressor: (24, V) vertices -> joints. weights: (V, 24). faces: (F, 3) int64.
    """

    template: np.ndarray
    shape: np.ndarray
    pose: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    faces: np.ndarray


def find_smpl(file: Path | None) -> list[Path]:
    """The file, or the files of a folder: male and female where both are there, else the neutral one, else the one that is there.

    Raises:
        UserError: nothing given, nothing there, or two files for one sex.
    """
    if file is None:
        raise UserError("The body model smpl needs its file; it may not be part of this package.", GET)
    if file.is_file():
        return [file]
    if not file.is_dir():
        raise UserError(f"There is no file or folder {file} of SMPL.", GET)
    for place in _PLACES:
        found = _by_sex(file / place)
        for sexes in ("mf", "n", "m", "f"):
            if set(sexes) <= set(found):
                return [found[sex] for sex in sexes]
    raise UserError(f"There is no file of SMPL in {file}.", GET)


def _by_sex(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        sex = match["sex"][0].lower()
        if sex in found:
            raise UserError(f"Both {found[sex].name} and {path.name} in {folder} could be meant.", "Leave one of them, or give one file.")
        found[sex] = path
    return found


def read_smpl(path: Path) -> SmplArrays:
    """The arrays of one file, .npz or .pkl, told by its content.

    Raises:
        UserError: it is broken, of another body model, lacks arrays, is not in metres, or names strange things in its pickle.
    """
    try:
        held = _npz(path) if zipfile.is_zipfile(path) else read_plain_pickle(path)
        _refuse_others(path, held)
        lacking = [key for key in KEYS if key not in held]
        if lacking:
            raise ValueError(f"it has no {', '.join(lacking)}")
        return _checked({key: as_array(held[key]) for key in KEYS})
    except RefusedNameError as error:
        raise UserError(
            f"{path} is refused: beside arrays it names {error.name}, which would run as a program.",
            "Download the file again from https://smpl.is.tue.mpg.de, or save its arrays as .npz.",
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not a file of SMPL that can be read: {error}.", GET) from error


class _Lazy(Mapping[str, Any]):
    """An .npz of which only the arrays that are asked for are read: other body models' files hold objects beside them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with np.load(path, allow_pickle=False) as data:
            self._names = list(data.files)

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._names:
            raise KeyError(key)
        try:
            with np.load(self._path, allow_pickle=False) as data:
                return np.asarray(data[key])
        except Exception as error:  # a broken archive or header may raise anything
            raise ValueError(f"its {key} cannot be read ({error}); save plain arrays, J_regressor dense") from error

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _npz(path: Path) -> Mapping[str, Any]:
    try:
        return _Lazy(path)
    except Exception as error:  # a broken archive may raise anything
        raise ValueError(f"it is a broken .npz ({error})") from error


def _refuse_others(path: Path, held: Mapping[str, Any]) -> None:
    """Other models of the family have the same keys; their shapes tell which they are."""
    joints = as_array(held["kintree_table"]).shape[-1] if "kintree_table" in held else len(PARENTS)
    other = _OTHERS.get(joints, f"a body model of {joints} joints") if joints != len(PARENTS) else ""
    if not other and "posedirs" in held and as_array(held["posedirs"]).shape[-1] == _STAR_POSES:
        other = "STAR"
    if other:
        raise UserError(f"{path} is a file of {other}, not of SMPL (24 joints, 207 pose directions).", GET)


def _checked(found: dict[str, np.ndarray]) -> SmplArrays:
    count, joints = len(found["v_template"]), len(PARENTS)
    shapes = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, max(SHAPES, found["shapedirs"].shape[-1])),
        "posedirs": (count, 3, 9 * (joints - 1)),
        "J_regressor": (joints, count),
        "weights": (count, joints),
        "kintree_table": (2, joints),
        "f": (len(found["f"]), 3),
    }
    for key, shape in shapes.items():
        if found[key].shape != shape:
            raise ValueError(f"its {key} is {_by(found[key].shape)}, not {_by(shape)}")
        if not np.isfinite(found[key]).all():
            raise ValueError(f"its {key} holds numbers that are not finite")
    # The root's parent is -1, written as an unsigned number.
    if tuple(found["kintree_table"][0, 1:].astype(np.int64)) != PARENTS[1:]:
        raise ValueError("its tree of joints is not SMPL's")
    faces = found["f"].astype(np.int64)
    if not len(faces) or not 0 <= faces.min() <= faces.max() < count:
        raise ValueError("its faces name vertices that are not there")
    template = found["v_template"].astype(np.float64)
    stature = float(np.ptp(template[:, 1]))
    if not 1.0 < stature < 2.5:
        raise ValueError(f"its mean body is {stature:.3g} high along y, which is no stature in metres")
    numbers = (found[key].astype(np.float64) for key in ("shapedirs", "posedirs", "J_regressor", "weights"))
    shape_directions, pose, regressor, weights = numbers
    return SmplArrays(template, shape_directions[:, :, :SHAPES], pose, regressor, weights, faces)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "a single number"
