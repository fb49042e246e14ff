"""Label maps to make masks from: those of a ``parsing`` artifact, or a folder of maps made elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidclip.artifacts.manifest import printable
from reidclip.artifacts.store import Artifact
from reidclip.counted import counted
from reidclip.data.foreign_maps import TWO_LABELS, ForeignMap, holds_0_and_255, read_foreign_map
from reidclip.data.images import UInt8, picture_size, read_indexed_png, read_picture, resize_nearest
from reidclip.data.infer_label_set import infer_label_set
from reidclip.data.join import roots_of
from reidclip.data.label_sets import LabelSet, named_set
from reidclip.data.map_names import Naming, files_below, match
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset
from reidclip.stages.parse import TABLE, label_file
from reidclip.stages.pictures import OnError, picture_paths

ELSEWHERE = (
    "Name each label map like its picture: the same relative path or the end of it, down to the same stem in one folder, as 8-bit PNG "
    "(or .npy) of the picture's size."
)
JPEGS = (".jpg", ".jpeg", ".JPG", ".JPEG")
NAMED = "named by the user"
COUNTED = ("resized", "coloured", "other_palette", "two_valued")


@dataclass
class LabelMaps:
    """Where each picture's label map lies, and how it is read.

    Attributes:
        files: relative picture path -> label map file, in the order of the data set.
        label_set: what the labels mean.
        missing: pictures without a map, which the caller agreed to leave out.
        artifact: the parsing they belong to; None for maps made elsewhere.
        folder, naming, reason: of maps made elsewhere: where, named how, and how their label set was found.
        resize, colours: permissions for maps made elsewhere, see `reidclip.stages.mask.MaskSettings`.
        on_error: what happens at a broken picture; "skip" decodes every picture, so that none surprises a training.
        notes: what the caller should know.
        counts: how many maps were resized, read by colour, have colours of their own, or hold 0 and 255 for two labels; grows while they
            are read.
    """

    files: dict[str, Path]
    label_set: LabelSet
    missing: tuple[str, ...] = ()
    artifact: Artifact | None = None
    folder: Path | None = None
    naming: Naming | None = None
    reason: str = ""
    resize: bool = False
    colours: bool = False
    on_error: OnError = "fail"
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))

    def __post_init__(self) -> None:
        self._digests: dict[str, str] = {}

    @classmethod
    def of_artifact(cls, artifact: Artifact, paths: Sequence[str]) -> LabelMaps:
        """Maps of a ``parsing`` artifact, each verified by its digest; pictures that it skipped are left out.

        Raises:
            WorkError: the artifact is damaged, or lacks a picture that it did not skip.
        """
        path_of_table = artifact.file(TABLE)
        try:
            table = json.loads(path_of_table.read_text(encoding="utf-8"))
            skipped, labels = set(table["skipped"]), tuple(map(str, table["labels"]))
        except (ValueError, TypeError, KeyError) as error:
            raise WorkError(f"{path_of_table} is not what reidclip parse writes: {error!r}.", "Parse the pictures again.") from error
        files = {path: artifact.file(label_file(path)) for path in paths if path not in skipped}
        missing = tuple(path for path in paths if path in skipped)
        label_set = named_set(labels, artifact.manifest.method or "own")
        return cls(files, label_set, missing, artifact, reason="the parser's labels")

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        dataset: Dataset,
        *,
        label_set: LabelSet | None = None,
        on_error: OnError = "fail",
        resize: bool = False,
        colours: bool = False,
    ) -> LabelMaps:
        """Maps made elsewhere, found by name (see `reidclip.data.map_names`).

        Args:
            folder: mirrors the data set's tree or its last folders, or is flat.
            dataset: whose pictures need maps.
            label_set: what the labels mean; None infers it, where that is safe.
            on_error: "skip" leaves pictures without a map out, and broken ones.
            resize: maps of another size are brought to the picture's, by nearest neighbour.
            colours: labels are looked up by colour.

        Raises:
            UserError: no such folder, missing maps, or no telling which labels they hold.
        """
        if not folder.is_dir():
            raise UserError(f"There is no folder of label maps at {folder}.", "Check the path given with --parsing.")
        paths = picture_paths(dataset)
        naming, names = match(paths, files_below(folder) - _pictures_in(folder, dataset, paths))
        missing = tuple(path for path in paths if path not in names)
        if missing and (on_error == "fail" or not names):
            raise _incomplete(folder, dataset, missing, len(paths))
        files = {path: folder / names[path] for path in paths if path in names}
        if label_set is not None:
            return cls(files, label_set, missing, None, folder, naming, NAMED, resize, colours, on_error)
        found = infer_label_set(list(files.values()))
        notes = (found.note,) if found.note else ()
        return cls(files, found.label_set, missing, None, folder, naming, found.reason, resize, colours, on_error, notes)

    def read(self, dataset: Dataset, path: str) -> UInt8:
        """One label map (H, W), checked against its picture.

        Raises:
            UserError: no label map, of another size than the picture, or with labels that are not known.
            WorkError: a broken picture, or a broken file of an artifact.
        """
        file = self.files[path]
        found = self._read_file(file)
        skips = self.on_error == "skip"
        picture = dataset.file(path)
        height, width = read_picture(picture).shape[:2] if skips else picture_size(picture)
        labels = found.labels
        if labels.shape != (height, width):
            if not self.resize:
                raise UserError(
                    f"Label map {file} is {labels.shape[1]} x {labels.shape[0]} pixels, its picture {picture} {width} x {height}.",
                    "Parse the pictures again with `reidclip parse`."
                    if self.artifact
                    else "Maps that were made on resized pictures may be brought to the picture's size: --set resize=true.",
                )
            labels = resize_nearest(labels, height, width)
        highest = int(labels.max(initial=0))
        if highest >= len(self.label_set.labels):
            raise self._unknown_label(file, highest, labels)
        if path not in self._digests:
            self.counts["resized"] += labels is not found.labels
            self.counts["coloured"] += found.coloured
            self.counts["other_palette"] += found.other_palette
            self.counts["two_valued"] += found.two_valued
            self._digests[path] = "" if self.artifact else hashlib.sha256(file.read_bytes()).hexdigest()
        return labels

    def leave_out(self, path: str) -> None:
        """Forget a picture that turned out to be broken."""
        del self.files[path]
        self.missing = (*self.missing, path)

    def record(self) -> dict[str, Any]:
        """What a manifest says of maps made elsewhere: folder, naming, label set and a SHA-256 over the maps that were read."""
        if self.folder is None:
            return {"label_maps": None}
        digest = hashlib.sha256("".join(f"{path}\t{sha}\n" for path, sha in sorted(self._digests.items())).encode())
        return {
            "label_maps": printable(os.path.abspath(self.folder)),
            "label_maps_naming": str(self.naming),
            "label_maps_sha256": digest.hexdigest(),
            **{f"label_maps_{name}": count for name, count in self.counts.items()},
        }

    def _read_file(self, file: Path) -> ForeignMap:
        try:
            return ForeignMap(read_indexed_png(file)[0]) if self.artifact else read_foreign_map(file, self.label_set, self.colours)
        except WorkError as error:
            raise UserError(error.what, self._remedy(error.remedy)) from error

    def _unknown_label(self, file: Path, highest: int, labels: UInt8) -> UserError:
        name, count = self.label_set.name, len(self.label_set.labels)
        what = f"Label map {file} holds label {highest}; known are 0 to {count - 1} (label set {name}: {self.reason})."
        remedy = "Name the label set that it follows, with --label-set."
        if self.reason == NAMED:
            what = (
                f"Label map {file} holds label {highest}, which does not fit the label set {name}: it has {count} labels, 0 to {count - 1}."
            )
            remedy = "Name the set that the label maps follow, or leave --label-set out: where it is safe, it is inferred."
        return UserError(what, self._remedy(TWO_LABELS if holds_0_and_255(labels) and not labels.all() else remedy))

    def _remedy(self, elsewhere: str) -> str:
        return "Parse the pictures again with `reidclip parse`." if self.artifact else elsewhere


def _pictures_in(folder: Path, dataset: Dataset, paths: Sequence[str]) -> frozenset[str]:
    """The data set's own pictures, as paths below the folder: maps may lie beside them, but they are none."""
    place = os.path.realpath(folder)
    near = {root: os.path.realpath(root) for root in roots_of(dataset) if _one_holds_the_other(os.path.realpath(root), place)}
    files = (dataset.file(path) for path in paths) if near else ()
    return frozenset(
        os.path.relpath(os.path.join(real, file.relative_to(root)), place).replace(os.sep, "/")
        for file in files
        for root, real in near.items()
        if file.is_relative_to(root)
    )


def _one_holds_the_other(root: str, place: str) -> bool:
    try:
        return os.path.commonpath([root, place]) in (root, place)
    except ValueError:  # on two drives
        return False


def _incomplete(folder: Path, dataset: Dataset, missing: Sequence[str], count: int) -> UserError:
    """All missing maps counted, the first named; when the training pictures have theirs, that is a way out."""
    what = f"{len(missing)} of {counted(count, 'picture has', 'pictures have')} no label map in {folder}; the first is {missing[0]}."
    jpegs = files_below(folder, JPEGS) - _pictures_in(folder, dataset, picture_paths(dataset)) if len(missing) == count else ()
    if jpegs:
        told = f"{what} {counted(len(jpegs), 'JPEG is', 'JPEGs are')} there, but JPEG changes the numbers, so it cannot hold labels."
        return UserError(told, "Save the label maps as PNG or .npy where they were made; a JPEG that is converted does not get them back.")
    train = {path for s in dataset.split("train") for path in s.pictures}
    if len(missing) < count and train and not train & set(missing):
        return UserError(what, "All training pictures have one: leave the others out with --on-error skip (only training reads masks).")
    return UserError(what, ELSEWHERE + (" Or leave those pictures out with --on-error skip." if len(missing) < count else ""))
