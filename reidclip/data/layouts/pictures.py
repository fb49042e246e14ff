"""A plain folder of pictures: no labels, no protocols; enough to parse and to mask."""

from __future__ import annotations

import os
from pathlib import Path

from reidclip.data.files import is_hidden, is_picture, mirrored
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample

EXPECTED_TREE = "DATA/**/*.jpg     pictures (jpg, png, bmp, webp, tif) in any sub-folders"

NAME = "pictures"
_RENDERED_LABELS = "parsing"  # a rendered set keeps its label maps in this folder, beside synth.json


def load_pictures(root: Path) -> Dataset:
    """All pictures below a folder, in order of their paths: pid -1, clothes -1, camera 0, split "all".

    Raises:
        UserError: no pictures, or two that differ in the suffix only and so would share a mask.
    """
    paths = sorted(_picture_paths(root))
    if not paths:
        raise UserError(f"{root} holds no pictures.", f"Expected:\n{EXPECTED_TREE}")
    owner: dict[str, str] = {}
    for path in paths:
        other = owner.setdefault(mirrored(path), path)
        if other != path:
            raise UserError(f"{root}: {other} and {path} differ in the suffix only and would share one mask.", "Rename one of them.")
    return Dataset(NAME, root, tuple(Sample(path, -1, 0, -1, "all") for path in paths))


def _picture_paths(root: Path) -> list[str]:
    rendered = (root / "synth.json").is_file()
    found = []
    for folder, names, files in os.walk(root, followlinks=False):
        names[:] = sorted(n for n in names if not is_hidden(n) and not (rendered and n == _RENDERED_LABELS and Path(folder) == root))
        found += [(Path(folder) / f).relative_to(root).as_posix() for f in files if is_picture(f)]
    return found
