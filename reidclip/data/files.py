"""Names of files and folders in a data set: which are pictures, which are nobody's, where a mask belongs. Opens nothing."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def is_hidden(name: str) -> bool:
    """True for what operating systems and archivers leave behind: ``.DS_Store``, ``__MACOSX``, ``.ipynb_checkpoints``."""
    return name.startswith((".", "__"))


def is_picture(name: str) -> bool:
    """True for file names that end like a picture's and are not hidden; ``Thumbs.db`` is none."""
    return not is_hidden(name) and PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def mirrored(path: str) -> str:
    """Relative path of the label map or mask that belongs to a picture: the same folders and stem, as PNG.

    >>> mirrored("rgb/train/092/A_cropped_rgb001.jpg")
    'rgb/train/092/A_cropped_rgb001.png'
    """
    return PurePosixPath(path).with_suffix(".png").as_posix()


def folders(root: Path) -> list[Path]:
    """Sub-folders in sorted order, hidden ones left out; empty when ``root`` is no folder."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(root / e.name for e in entries if e.is_dir() and not is_hidden(e.name))


def file_names(root: Path) -> list[str]:
    """Names of the files in a folder in sorted order, hidden ones left out."""
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if e.is_file() and not is_hidden(e.name))
