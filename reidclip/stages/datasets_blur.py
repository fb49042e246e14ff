"""``reidclip datasets blur-faces`` as a function: a copy of a data set without faces, for other programs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from reidclip.artifacts.durable import is_disk_full
from reidclip.artifacts.store import Store
from reidclip.counted import counted, which
from reidclip.data.blurred_copies import RECORD
from reidclip.data.face_blur import MEASURES, blur_faces, face_labels, has_face
from reidclip.data.files import is_hidden, is_picture
from reidclip.data.images import UInt8, read_picture
from reidclip.data.label_set_file import label_set_for
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset
from reidclip.stages.blurred_faces import parsing_for, told_of_faces
from reidclip.stages.choose import Say
from reidclip.stages.label_maps import LabelMaps
from reidclip.stages.pictures import picture_paths

Progress = Callable[[int, int], None]
FORMAT = "reidclip blurred faces 1"
QUALITY = 97  # of JPEGs, colours at full resolution; PNG and BMP lose nothing


@dataclass(frozen=True)
class BlurPlan:
    """A copy with everything decided and nothing written."""

    dataset: Dataset
    maps: LabelMaps
    labels: tuple[int, ...]
    names: tuple[str, ...]
    out: Path


@dataclass(frozen=True)
class BlurredCopy:
    """What was written.

    Attributes:
        root: the copy.
        pictures: in all; blurred: of them those with a face, the others are the same to the last byte.
        not_copied: pictures of the tree that are none of the data set's, whose faces nobody labelled.
    """

    root: Path
    pictures: int
    blurred: int
    not_copied: int

    def notes(self) -> tuple[str, ...]:
        """What a user should know."""
        notes = [told_of_faces(self.pictures - self.blurred, self.pictures)]
        if self.not_copied:
            notes.append(f"{self.not_copied} other pictures of the folder were not copied: they are none of the data set's")
        return tuple(notes)


def plan_blur(
    data: Path,
    out: Path,
    store: Store,
    *,
    parsing: str | None = None,
    label_set: str | None = None,
    layout: str | None = None,
    say: Say = lambda text: None,
) -> BlurPlan:
    """Find the label maps, and check the place.

    Args:
        data: folder of the data set.
        out: folder that is written; it must not be there, or be empty.
        parsing: reference of a parsing artifact, or a folder of label maps made elsewhere; None takes the newest of this data.
        label_set: of label maps made elsewhere; None infers it.
        layout: of the data; None recognises it.

    Raises:
        UserError: no data set, no label maps of all of it, labels without faces, or something in the way.
    """
    dataset = open_dataset(data, layout)
    if out.resolve().is_relative_to(dataset.root.resolve()):
        raise UserError(f"{out} lies in the data set itself.", "Name a folder beside it.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"There is something at {out} already.", "Name a folder that is not there yet, or remove that one.")
    folder = Path(parsing) if parsing and Path(parsing).is_dir() else None
    if label_set is not None and folder is None:
        raise UserError("--label-set is for label maps made elsewhere; a parser brings its own.", "Add --parsing FOLDER, or leave it out.")
    if folder is not None:
        own = label_set_for(label_set) if label_set else None
        maps = LabelMaps.of_folder(folder, dataset, label_set=own, on_error="skip")  # those that lack are told below
        maps.on_error = "fail"
        say(f"label set: {maps.label_set.name} ({maps.reason})")
    else:
        found = parsing_for(parsing, True, dataset, store, say)
        assert found is not None
        maps = LabelMaps.of_artifact(found, picture_paths(dataset))
    if maps.missing:
        faces = ("picture has no label map, so that its face", "pictures have no label map, so that their faces")
        raise UserError(
            f"{counted(len(maps.missing), *faces)} cannot be blurred; {which(maps.missing)}.",
            "Mend pictures that a parser skipped and parse again (reidclip parse)."
            if maps.artifact
            else "Add the label map, or parse the pictures: reidclip parse.",
        )
    return BlurPlan(dataset, maps, *face_labels(maps.label_set), out)


def blur_copy(plan: BlurPlan, progress: Progress = lambda done, total: None) -> BlurredCopy:
    """Write the copy; it appears whole, or not at all.

    Pictures without a face, and files that are no pictures (lists, tables), are copied as they are.

    Raises:
        UserError: a label map of another size than its picture, a place that cannot be written. WorkError: a broken picture, a full disk.
    """
    root, out = plan.dataset.root, plan.out
    draft = out.parent / f".{out.name}.unfinished"
    with _writing(out):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        paths = picture_paths(plan.dataset)
        blurred = 0
        for done, path in enumerate(paths):
            progress(done, len(paths))
            blurred += _write(plan, path, draft / path)
        progress(len(paths), len(paths))
        wanted, not_copied = set(paths), 0
        for path in _files(root):
            if not is_picture(Path(path).name):
                _copy(root / path, draft / path)
            elif path not in wanted:
                not_copied += 1
        copy = BlurredCopy(out, len(paths), blurred, not_copied)
        (draft / RECORD).write_text(json.dumps(_record(plan, copy), indent=1) + "\n", encoding="utf-8")
        if out.exists():
            out.rmdir()
        draft.replace(out)
    return copy


def _write(plan: BlurPlan, path: str, target: Path) -> bool:
    """One picture; whether it shows a face."""
    labels = plan.maps.read(plan.dataset, path)
    source = plan.dataset.file(path)
    if not has_face(labels, plan.labels):
        _copy(source, target)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    _save(target, blur_faces(read_picture(source), labels, plan.labels), source)
    return True


def _save(target: Path, picture: UInt8, source: Path) -> None:
    """In the format of the source, whatever its name says."""
    with Image.open(source) as image:
        form = image.format or "PNG"
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": QUALITY, "subsampling": 0}, "WEBP": {"lossless": True}}
    Image.fromarray(picture).save(target, format=form, **options.get(form, {}))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the operating system says about a place that cannot be written, as a sentence."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise WorkError(f"The disk is too full for a copy at {out}.", "Free some space, or name a folder on another disk.") from error
        where = error.filename or out
        raise UserError(
            f"{where} cannot be read or written: {error.strerror or error}.", "Name another folder, or change this one."
        ) from error


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _files(root: Path) -> Iterator[str]:
    """Relative paths of all files, hidden ones left out."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not is_hidden(name))
        for name in sorted(files):
            if not is_hidden(name):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _record(plan: BlurPlan, copy: BlurredCopy) -> dict[str, object]:
    artifact = plan.maps.artifact
    return {
        "format": FORMAT,
        "layout": plan.dataset.layout,
        "fingerprint": plan.dataset.fingerprint,
        "parsing": {"ref": artifact.ref, "digest": artifact.digest} if artifact else plan.maps.record(),
        "labels": list(plan.names),
        "measures": dict(MEASURES),
        "pictures": copy.pictures,
        "blurred": copy.blurred,
        "not_copied": copy.not_copied,
    }
