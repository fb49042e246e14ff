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
_MOST = 1 << 24  # entries of a sparse matrix as a dense one; SMPL's regressor has 24 x 6890
_MOST_LISTED = 1 << 23  # numbers in lists; SMPL's largest array has 6890 x 3 x 207
_DEEPEST = 8  # lists within lists, and objects that are computed from others


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

    def array(self, deep: int) -> np.ndarray:
        """The numbers; ``deep``: how many objects are computed from this one."""
        raise NotImplementedError


class _Kind:
    """``numpy.dtype``: type and byte order of numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        self._code, self._order = _text(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = _text(state[1])

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

    def array(self, deep: int) -> np.ndarray:
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

    def array(self, deep: int) -> np.ndarray:
        return _array_of(self.held["x"], deep)


class _Selected(_Foreign):
    """``chumpy.reordering.Select``: entries of a flattened array, as slices of chumpy's arrays are kept."""

    def array(self, deep: int) -> np.ndarray:
        chosen: np.ndarray = _array_of(self.held["a"], deep).ravel()[_array_of(self.held["idxs"], deep)]
        return chosen.reshape(self.held["preferred_shape"]) if "preferred_shape" in self.held else chosen


class _Coordinates(_Foreign):
    """A sparse matrix as rows, columns and values."""

    def array(self, deep: int) -> np.ndarray:
        rows, columns = self.held["coords"] if "coords" in self.held else (self.held["row"], self.held["col"])
        return self._dense(_array_of(rows, deep), _array_of(columns, deep), _array_of(self.held["data"], deep))

    def _shape(self) -> tuple[int, int]:
        """(rows, columns), checked to be few enough to be dense."""
        rows, columns = self.held["_shape"]
        if not (type(rows) is type(columns) is int and rows >= 0 and columns >= 0 and max(rows, columns, rows * columns) < _MOST):
            raise ValueError("a sparse matrix in it is broken")
        return rows, columns

    def _dense(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
        """All (N,)."""
        shape = self._shape()
        if not (rows.ndim == columns.ndim == values.ndim == 1 and len(rows) == len(columns) == len(values)):
            raise ValueError("a sparse matrix in it is broken")
        out = np.zeros(shape, values.dtype)
        np.add.at(out, (rows, columns), values)
        return out


class _Compressed(_Coordinates):
    """A sparse matrix by columns."""

    by_column = True

    def array(self, deep: int) -> np.ndarray:
        along, starts, values = (_array_of(self.held[name], deep) for name in ("indices", "indptr", "data"))
        lines = self._shape()[self.by_column]
        if not (starts.shape == (lines + 1,) and starts.dtype.kind in "iu" and starts[0] == 0 and starts[-1] == len(along)):
            raise ValueError("a sparse matrix in it is broken")
        if (starts[1:] < starts[:-1]).any():
            raise ValueError("a sparse matrix in it is broken")
        counts: np.ndarray = starts[1:].astype(np.int64) - starts[:-1].astype(np.int64)
        across = np.repeat(np.arange(lines), counts)  # as many as there are entries
        return self._dense(along, across, values) if self.by_column else self._dense(across, along, values)


class _CompressedRows(_Compressed):
    by_column = False


def as_array(value: Any) -> np.ndarray:
    """The numbers that an object of a pickle stands for.

    Raises:
        ValueError: it stands for none.
    """
    return _array_of(value, 0)


def _array_of(value: Any, deep: int) -> np.ndarray:
    if deep > _DEEPEST:
        raise ValueError("an array in it is computed from too many others")
    if isinstance(value, _Foreign):
        try:
            return value.array(deep + 1)
        except (AttributeError, KeyError, IndexError, TypeError, OverflowError, UnicodeError, MemoryError, RecursionError) as error:
            raise ValueError(f"an array in it is broken ({type(error).__name__}: {error})") from error
    if not isinstance(value, np.ndarray):
        _check_listed(value)
    found = np.asarray(value)
    if found.dtype.kind not in _NUMBERS:
        raise ValueError(f"an array in it holds {found.dtype}, not numbers")
    return found


def _check_listed(value: Any) -> None:
    """Numbers and lists of them, counted level by level before any are copied: a list may hold itself, or one list many times.

    Raises:
        ValueError: something else, too many, or too deep.
    """
    level = [value]
    for _ in range(_DEEPEST):
        if all(type(entry) in (bool, int, float) for entry in level):
            return
        other = next((entry for entry in level if type(entry) not in (list, tuple)), None)
        if other is not None:
            raise ValueError(f"an array in it holds {type(other).__name__}, not numbers")
        if sum(map(len, level)) > _MOST_LISTED:
            raise ValueError("an array in it is a list of too many numbers")
        level = [entry for inner in level for entry in inner]
    raise ValueError("an array in it is lists within too many lists")


def _text(value: Any) -> str:
    """The value, where it is text; the text of lists that hold themselves would fill the memory."""
    if not isinstance(value, str):
        raise ValueError("an array in it has a type that is no text")
    return value


class _Function:
    """What stands for a function: a pickle may set attributes of what it names, and of these there are none."""

    __slots__ = ()


class _Empty(_Function):
    """Numpy's pickles start from an empty array and then set its state."""

    __slots__ = ()

    def __call__(self, kind: Any, *_: Any) -> _Array:
        if kind is not _Array:
            raise ValueError("an array in it is built in a strange way")
        return _Array()


class _FromBuffer(_Function):
    """Arrays of the newest protocol, which are not to be copied."""

    __slots__ = ()

    def __call__(self, data: Any, kind: Any, shape: tuple[int, ...], order: str) -> _Array:
        found = _Array()
        found.__setstate__((1, shape, kind, order == "F", data))
        return found


class _Scalar(_Function):
    """Single numbers."""

    __slots__ = ()

    def __call__(self, kind: Any, data: Any) -> _Array:
        return _FromBuffer()(data, kind, (), "C")


class _Encoded(_Function):
    """Python 3 writes bytes in this way where a pickle is to be read by Python 2 too; the text is kept, `_Array` encodes it."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "latin1") -> str:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError("text in it is not encoded as latin-1")
        return _text(text)


class _Rebuilt(_Function):
    """New objects of the oldest protocols."""

    __slots__ = ()

    def __call__(self, kind: type, base: type, state: Any) -> Any:
        if not issubclass(kind, _State) or base is not object:
            raise ValueError("an object in it is built in a strange way")
        return kind()


def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Kind, ("_codecs", "encode"): _Encoded()}
    for core in ("numpy.core", "numpy._core"):
        table[(f"{core}.multiarray", "_reconstruct")] = _Empty()
        table[(f"{core}.multiarray", "scalar")] = _Scalar()
        table[(f"{core}.numeric", "_frombuffer")] = _FromBuffer()
    sparse: dict[str, Callable[[], _State]] = {"csc": _Compressed, "csr": _CompressedRows, "coo": _Coordinates}
    for kind, stub in sparse.items():
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            table |= {(module, f"{kind}_{suffix}"): stub for suffix in ("matrix", "array")}
    for module in ("copy_reg", "copyreg"):
        table[(module, "_reconstructor")] = _Rebuilt()
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
    return {key: value for key, value in found.items() if isinstance(key, str)}
