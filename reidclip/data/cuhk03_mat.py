"""CUHK03's release, ``cuhk-03.mat``: MATLAB 7.3, which is HDF5, read picture by picture; h5py reads it, where it is installed.

``labeled`` and ``detected`` refer to one cell per pair of cameras, which refers to ten pictures per person: the first five from view 1, the
others from view 2, some empty. ``testsets`` refers to 20 lists of (pair, person), from 1. Every array is stored transposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidclip.data.mat_files import missing_package
from reidclip.errors import WorkError

if TYPE_CHECKING:
    import numpy as np

_VIEW_1 = 5  # pictures of a person from the first view, empty ones counted


@dataclass(frozen=True)
class Cell:
    """Where a picture stands: pair and person from 1, number 0 to 9."""

    boxes: str
    pair: int
    person: int
    number: int
    reference: Any

    @property
    def name(self) -> str:
        """File name of the picture, as every program writes it: everything counted from 1."""
        return f"{self.pair}_{self.person:03d}_{1 if self.number < _VIEW_1 else 2}_{self.number + 1:02d}.png"


class Release:
    """The open file.

    Args:
        file: an open ``h5py.File``.
        path: its path, for messages.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path

    def cells(self, boxes: str) -> list[Cell]:
        """Every place for a picture of one kind of boxes ("labeled" or "detected"), empty ones included, in order.

        Raises:
            WorkError: the file is damaged or another one.
        """
        with self._damage():
            found = []
            for pair, reference in enumerate(_flat(self._file[boxes]), start=1):
                for person, row in enumerate(self._array(reference), start=1):
                    found += [Cell(boxes, pair, person, number, picture) for number, picture in enumerate(row)]
            return found

    def picture(self, cell: Cell) -> np.ndarray | None:
        """RGB uint8 (H, W, 3); None where there is none.

        Raises:
            WorkError: the file is damaged.
        """
        with self._damage():
            picture = self._array(cell.reference)
            return None if picture.size == 0 or picture.ndim < 3 else picture

    def testsets(self) -> list[list[list[int]]]:
        """The people of each classic division, as [pair, person] from 1.

        Raises:
            WorkError: the file is damaged or another one.
        """
        with self._damage():
            return [[[int(pair), int(person)] for pair, person in self._array(reference)] for reference in _flat(self._file["testsets"])]

    def _array(self, reference: Any) -> Any:
        return self._file[reference][()].T

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
            told = f"{self._path} is damaged, or not CUHK03's release ({type(error).__name__}: {error})."
            raise WorkError(told, "Fetch it again.") from error


@contextmanager
def open_release(path: Path) -> Iterator[Release]:
    """The release's file, open.

    Raises:
        UserError: h5py is not installed.
        WorkError: it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_package("h5py", path, "cuhk03") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise WorkError(f"{path} is no file of MATLAB 7.3, or is cut off ({error}).", "Fetch CUHK03's release again.") from error
    with file:
        yield Release(file, path)


def _flat(references: Any) -> list[Any]:
    """References of a row of cells, whichever way it is stored."""
    return list(references[()].flatten())
