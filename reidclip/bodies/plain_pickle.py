"""Reads pickles of arrays without running what they name: numpy arrays, scipy's sparse matrices and chumpy's arrays, and nothing else.

A pickle is a program; `pickle.load` runs it. Here every name in it is looked up in a table of constructors of this module, none of which
does more than build an array, so that neither scipy nor chumpy (which no longer installs) is needed. SMPL's files were pickled by Python 2:
bytes are read as latin-1, as numpy asks for.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

_NUMBERS = "fiub"


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
        if len(shape) != 2 or not len(rows) == len(columns) == len(values):
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
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"an array in it is broken ({type(error).__name__}: {error})") from error
    found = np.asarray(value)
    if found.dtype.kind not in _NUMBERS:
        raise ValueError(f"an array in it holds {found.dtype}, not numbers")
    return found


def _empty(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """Numpy's pickles start from an empty array and then set its state."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise ValueError("an array in it is built in a strange way")
    empty: np.ndarray = np.ndarray((0,), np.dtype("b"))
    return empty


def _scalar(kind: np.dtype[Any], data: Any) -> Any:
    if kind.kind not in _NUMBERS:
        raise ValueError(f"a number in it is of type {kind}")
    return np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, kind)[0]


def _from_buffer(data: Any, kind: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    if kind.kind not in _NUMBERS:
        raise ValueError(f"an array in it holds {kind}, not numbers")
    flat: np.ndarray = np.frombuffer(data, kind)
    return flat.reshape(shape, order=cast(Any, order))


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
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): _encoded}
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
