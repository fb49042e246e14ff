"""Files of MATLAB before version 7.3, in which old data sets keep their divisions; SciPy reads them, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reidclip.errors import UserError, WorkError


def read_mat(path: Path, extra: str) -> dict[str, Any]:
    """Its variables by name, arrays as MATLAB has them (at least two dimensions, cells as object arrays).

    Args:
        path: the file.
        extra: of this package, that brings SciPy.

    Raises:
        UserError: SciPy is not installed.
        WorkError: it is no such file.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_package("SciPy", path, extra) from error
    try:
        variables: dict[str, Any] = loadmat(path)
    except Exception as error:  # SciPy raises what its parsers happen to
        raise WorkError(
            f"{path} cannot be read as a MATLAB file ({type(error).__name__}: {error}).", "Unpack the data set again."
        ) from error
    return variables


def missing_package(name: str, path: Path, extra: str) -> UserError:
    """The error for a file that needs a package which is not installed."""
    return UserError(f"{name} is needed to read {path}, and is not installed.", f"Install it: pip install 'reidclip[{extra}]'.")


def cells(array: Any) -> list[Any]:
    """Entries of an array of any shape in MATLAB's (column) order: of a cell array what its cells hold."""
    return list(array.flatten(order="F"))
