"""Reads pickles of arrays without running what they name: numpy arrays, scipy's sparse matrices and chumpy's arrays, and nothing else.

A pickle is a program; `pickle.load` runs it. Here every name in it is looked up in a table of stand-ins of this module, none of which does
more than keep what it is given; `as_array` makes arrays of them afterwards. Neither scipy nor chumpy (which no longer installs) is needed,
and numpy's own types are stood in for too: a dtype or an array that is given a false state brings the process down. SMPL's files were
pickled by Python 2: bytes are read as latin-1, as numpy asks for.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

_NUMBERS = "fiub"
_MOST = 1 << 28  # entries of a sparse matrix as a dense one; SMPL's regressor has 24 x 6890


class RefusedNameError(Exception):
    """A pickle names something that is no array."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _State:
    """What a foreign object held, by name."""

    held: dict[str, Any]  # set by the pickle, which does not call __init__

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ValueError("an object in it holds no names")
        self.held = state


class _Foreign(_State):
    """One that stands for numbers."""

    def array(self) -> np.ndarray:
        raise NotImplementedError


class _Kind:
    """``numpy.dtype``: type and byte order of numbers."""

    def __init__(self, code: str, *_: Any) -> None:
        self._code, self._order = str(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        """The numpy type, of numbers."""
        if re.fullmatch(r"[fiub][1248]", self._code) is None or self._order not in ("<", ">", "|", "="):
            raise ValueError(f"an array in it holds {self._order}{self._code}, not numbers")
        found: np.dtype[Any] = np.dtype(self._code).newbyteorder(cast(Any, self._order))
        return found


class _Array(_Foreign):
    """``numpy.ndarray``."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_column, data = state
        self.held = {"shape": shape, "kind": kind, "order": "F" if by_column else "C", "data": data}

    def array(self) -> np.ndarray:
        if not isinstance(self.held["kind"], _Kind):
            raise ValueError("an array in it has no type")
        data = self.held["data"]
        raw: np.ndarray = np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, self.held["kind"].dtype())
        if any(n < 0 for n in self.held["shape"]):
            raise ValueError("an array in it has a false shape")
        found: np.ndarray = raw.reshape(self.held["shape"], order=self.held["order"])
        return found


class _Chumpy(_Foreign):
    """``chumpy.ch.Ch``: a number array that remembers how it was computed."""

    def array(self) -> np.ndarray:
        return as_array(self.held["x"])


class _Selected(_Foreign):
    """``chumpy.reordering.Select``: entries of a flattened array, as slices of chumpy's arrays are kept."""

    def array(self) -> np.ndarray:
        chosen: np.ndarray = as_array(self.held["a"]).ravel()[as_array(self.held["idxs"])]
        return chosen.reshape(self.held["preferred_shape"]) if "preferred_shape" in self.held else chosen


class _Coordinates(_Foreign):
    """A sparse matrix as rows, columns and values."""

    def array(self) -> np.ndarray:
        rows, columns = self.held["coords"] if "coords" in self.held else (self.held["row"], self.held["col"])
        return self._dense(as_array(rows), as_array(columns))

    def _dense(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        values = as_array(self.held["data"])
        shape = tuple(int(n) for n in self.held["_shape"])
        if len(shape) != 2 or not 0 <= shape[0] * shape[1] < _MOST or not len(rows) == len(columns) == len(values):
            raise ValueError("a sparse matrix in it is broken")
        out = np.zeros(shape, values.dtype)
        np.add.at(out, (rows, columns), values)
        return out


class _Compressed(_Coordinates):
    """A sparse matrix by columns."""

    by_column = True

    def array(self) -> np.ndarray:
        along = as_array(self.held["indices"])
        starts = as_array(self.held["indptr"])
        across = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return self._dense(along, across) if self.by_column else self._dense(across, along)


class _CompressedRows(_Compressed):
    by_column = False


def as_array(value: Any) -> np.ndarray:
    """The numbers that an object of a pickle stands for.

    Raises:
        ValueError: it stands for none.
    """
    if isinstance(value, _Foreign):
        try:
            return value.array()
        except (AttributeError, KeyError, IndexError, TypeError, OverflowError, UnicodeError, MemoryError, RecursionError) as error:
            raise ValueError(f"an array in it is broken ({type(error).__name__}: {error})") from error
    found = np.asarray(value)  # numbers and lists of them
    if found.dtype.kind not in _NUMBERS:
        raise ValueError(f"an array in it holds {found.dtype}, not numbers")
    return found


def _empty(kind: type, *_: Any) -> _Array:
    """Numpy's pickles start from an empty array and then set its state."""
    if kind is not _Array:
        raise ValueError("an array in it is built in a strange way")
    return _Array()


def _scalar(kind: Any, data: Any) -> _Array:
    return _from_buffer(data, kind, (), "C")


def _from_buffer(data: Any, kind: Any, shape: tuple[int, ...], order: str) -> _Array:
    """Arrays of the newest protocol, which are not to be copied."""
    found = _Array()
    found.__setstate__((1, shape, kind, order == "F", data))
    return found


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """Python 3 writes bytes in this way where a pickle is to be read by Python 2 too."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in it is encoded as {encoding}")
    return text.encode("latin-1")


def _rebuilt(kind: type, base: type, state: Any) -> Any:
    """New objects of the oldest protocols."""
    if not issubclass(kind, _State) or base is not object:
        raise ValueError("an object in it is built in a strange way")
    return kind()


def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Kind, ("_codecs", "encode"): _encoded}
    for core in ("numpy.core", "numpy._core"):
        table[(f"{core}.multiarray", "_reconstruct")] = _empty
        table[(f"{core}.multiarray", "scalar")] = _scalar
        table[(f"{core}.numeric", "_frombuffer")] = _from_buffer
    sparse: dict[str, Callable[[], _State]] = {"csc": _Compressed, "csr": _CompressedRows, "coo": _Coordinates}
    for kind, stub in sparse.items():
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            table |= {(module, f"{kind}_{suffix}"): stub for suffix in ("matrix", "array")}
    for module in ("copy_reg", "copyreg"):
        table[(module, "_reconstructor")] = _rebuilt
    for module in ("__builtin__", "builtins"):
        table |= {(module, "object"): object, (module, "set"): set}
    return table | {("chumpy.ch", "Ch"): _Chumpy, ("chumpy", "Ch"): _Chumpy, ("chumpy.reordering", "Select"): _Selected}


_ADMITTED = _table()


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle; never imports."""
        try:
            return _ADMITTED[(module, name)]
        except KeyError:
            raise RefusedNameError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Objects that lie outside the pickle."""
        raise RefusedNameError("an object outside the file")


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary that a pickle holds; its values through `as_array`.

    Raises:
        RefusedNameError: the pickle names what is not in the table; nothing of it ran.
        ValueError: it is broken, or holds no dictionary.
    """
    try:
        with path.open("rb") as file:
            found = _Reader(file).load()
    except (RefusedNameError, OSError):
        raise
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"it is no pickle of arrays ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no dictionary of arrays")
    return {str(key): value for key, value in found.items()}
