"""Small data sets on disk for the tests, built name by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

PRCC_FILES = (
    "rgb/train/092/A_cropped_rgb001.jpg",
    "rgb/train/092/A_cropped_rgb1002.jpg",
    "rgb/train/092/B_cropped_rgb001.jpg",
    "rgb/train/092/C_cropped_rgb001.jpg",
    "rgb/train/095/A_cropped_rgb010.jpg",
    "rgb/train/095/C_cropped_rgb010.jpg",  # no camera B, as id 220 of the real set
    "rgb/train/101/A_cropped_rgb005.jpg",
    "rgb/train/101/B_cropped_rgb005.jpg",
    "rgb/train/101/C_cropped_rgb005.jpg",
    "rgb/val/092/B_cropped_rgb100.jpg",
    "rgb/val/101/C_cropped_rgb100.jpg",
    "rgb/test/A/001/cropped_rgb001.jpg",
    "rgb/test/A/001/cropped_rgb002.jpg",
    "rgb/test/A/300/cropped_rgb001.jpg",
    "rgb/test/B/001/cropped_rgb001.jpg",
    "rgb/test/B/300/cropped_rgb1.jpg",
    "rgb/test/C/001/cropped_rgb001.jpg",
    "rgb/test/C/300/cropped_rgb001.jpg",
)

FOLDER_ROWS = (
    ("a/1.jpg", 7, 0, 70, "train"),
    ("a/2.jpg", 9, 1, 90, "train"),
    ("a/3.jpg", 7, 1, 70, "val"),
    ("b/1.jpg", 1, 0, 10, "query"),
    ("b/2.jpg", 1, 1, 10, "gallery"),
    ("b/3.jpg", 1, 1, 11, "gallery"),
    ("b/4.jpg", 2, 1, 20, "gallery"),
)


def picture(seed: int, height: int = 32, width: int = 16) -> np.ndarray:
    """Noise, uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_picture(path: Path, seed: int = 0, height: int = 32, width: int = 16) -> Path:
    """Write noise as a picture, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, height, width)).save(path)
    return path


def write_pictures(root: Path, names: Iterable[str]) -> Path:
    """Write one picture per relative path."""
    for seed, name in enumerate(names):
        write_picture(root / name, seed)
    return root


def prcc(root: Path, extra: Iterable[str] = ()) -> Path:
    """A PRCC with three training and two test identities, and ``extra`` files."""
    return write_pictures(root, (*PRCC_FILES, *extra))


def table(rows: Iterable[Iterable[object]], header: str = "path,pid,camid,clothes_id,split") -> str:
    """CSV text."""
    return "\n".join([header, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n"


def folder(root: Path, text: str | None = None, name: str = "index.csv") -> Path:
    """Pictures of `FOLDER_ROWS` and a table, by default theirs."""
    write_pictures(root, (str(row[0]) for row in FOLDER_ROWS))
    (root / name).write_text(table(FOLDER_ROWS) if text is None else text, encoding="utf-8")
    return root
