"""Label maps to make masks from: those of a ``parsing`` artifact, or a folder of maps made elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reidclip.artifacts.store import Artifact
from reidclip.data.files import mirrored
from reidclip.data.images import UInt8, picture_size, read_indexed_png
from reidclip.data.lip import LIP_LABELS
from reidclip.errors import UserError, WorkError
from reidclip.stages.parse import TABLE, label_file

ELSEWHERE = (
    "Name each label map like its picture: the same relative path, or the same stem in one folder, as 8-bit PNG of the picture's size "
    f"with the LIP labels 0 to {len(LIP_LABELS) - 1}."
)


@dataclass(frozen=True)
class LabelMaps:
    """Where each picture's label map lies.

    Attributes:
        files: relative picture path -> label map file, in the order of the data set.
        names: label index -> name.
        remedy: what to do when a map turns out to be wrong.
    """

    files: dict[str, Path]
    names: tuple[str, ...]
    remedy: str

    @classmethod
    def of_artifact(cls, artifact: Artifact, paths: Sequence[str]) -> LabelMaps:
        """Maps of a ``parsing`` artifact, each verified by its digest; pictures that it skipped are left out.

        Raises:
            WorkError: the artifact is damaged, or lacks a picture that it did not skip.
        """
        table = json.loads(artifact.file(TABLE).read_text(encoding="utf-8"))
        skipped = set(table["skipped"])
        files = {path: artifact.file(label_file(path)) for path in paths if path not in skipped}
        return cls(files, tuple(table["labels"]), "Parse the pictures again with `reidclip parse`.")

    @classmethod
    def of_folder(cls, folder: Path, paths: Sequence[str]) -> LabelMaps:
        """Maps made elsewhere: ``folder/<relative path>.png``, or ``folder/<stem>.png``.

        Raises:
            UserError: no such folder, maps that are missing, or stems that two pictures share.
        """
        if not folder.is_dir():
            raise UserError(f"There is no folder of label maps at {folder}.", "Check the path given with --parsing.")
        if all((folder / mirrored(path)).is_file() for path in paths):
            return cls({path: folder / mirrored(path) for path in paths}, LIP_LABELS, ELSEWHERE)
        stems = Counter(PurePosixPath(path).stem for path in paths)
        files = {path: _map_of(folder, path, stems) for path in paths}
        missing = [path for path, file in files.items() if file is None]
        if missing:
            raise UserError(f"{len(missing)} of {len(paths)} pictures have no label map in {folder}; the first is {missing[0]}.", ELSEWHERE)
        return cls({path: file for path, file in files.items() if file is not None}, LIP_LABELS, ELSEWHERE)

    def read(self, root: Path, path: str) -> UInt8:
        """One label map (H, W), checked against its picture.

        Raises:
            UserError: no label map, of another size than the picture, or with labels that are not known.
            WorkError: a broken picture.
        """
        file = self.files[path]
        try:
            labels, _ = read_indexed_png(file)
        except WorkError as error:
            raise UserError(error.what, self.remedy) from error
        height, width = picture_size(root / path)
        if labels.shape != (height, width):
            raise UserError(
                f"Label map {file} is {labels.shape[1]} x {labels.shape[0]} pixels, its picture {root / path} {width} x {height}.",
                self.remedy,
            )
        highest = int(labels.max(initial=0))
        if highest >= len(self.names):
            raise UserError(f"Label map {file} holds label {highest}; known are 0 to {len(self.names) - 1}.", self.remedy)
        return labels


def _map_of(folder: Path, path: str, stems: Counter[str]) -> Path | None:
    """The file by relative path, else by stem; None when there is neither. A stem that two pictures share says nothing."""
    whole = folder / mirrored(path)
    if whole.is_file():
        return whole
    stem = PurePosixPath(path).stem
    by_stem = folder / f"{stem}.png"
    return by_stem if stems[stem] == 1 and by_stem.is_file() else None
