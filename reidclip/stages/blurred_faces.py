"""Blurred faces for whoever reads pictures: the parsing they are found by, and which pictures have one. The option --blur-faces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from reidclip.artifacts.store import Artifact, Store
from reidclip.counted import which
from reidclip.data.face_blur import MEASURES, FaceBlur, face_labels, has_face
from reidclip.data.images import read_indexed_png
from reidclip.data.join import place_of, roots_of
from reidclip.data.workers import default_workers, in_order
from reidclip.errors import UserError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.parallel.processes import from_first, is_first
from reidclip.records import Dataset, Sample
from reidclip.stages.choose import Say, made_from, of_data
from reidclip.stages.label_maps import LabelMaps
from reidclip.stages.taken_in_maps import folder_of_maps, take_in

Progress = Callable[[str, int, int], None]
_AT_ONCE = 64  # label maps that a worker reads before it hands over


def parsing_for(named: str | None, wanted: bool, dataset: Dataset, store: Store, say: Say) -> Artifact | None:
    """The parsing that faces are blurred by: the one named, checked to belong to this data, else the newest that does.

    Args:
        named: reference, or a folder of label maps made elsewhere, which is taken into the store; as --parsing gives it.
        wanted: whether faces are blurred; None is given where not.

    Raises:
        UserError: none of this data, with the command that makes one; or one was named and faces are not blurred.
    """
    if not wanted:
        if named is not None:
            raise UserError("A parsing is read for blurred faces alone here.", "Add --blur-faces, or leave --parsing out.")
        return None
    if named is not None and (folder := folder_of_maps(named)) is not None:
        return take_in(folder, dataset, store, say)
    if named is not None:
        return made_from(store.open(named, kind="parsing"), dataset, "label maps")
    found = store.newest("parsing", of_data(dataset))
    if found is None:
        data = " ".join(str(root) for root in roots_of(dataset))
        raise UserError(
            f"Faces are blurred by label maps, and there is no parsing of {place_of(dataset)} in {store.root}.",
            f"Make it: reidclip parse {data}. Or take the pictures as they are: --keep-faces.",
        )
    say(f"parsing: {found.ref} (the newest of this data)")
    return found


def shown_faces(settings: EvaluateSettings, checkpoint: Artifact | None, say: Say) -> EvaluateSettings:
    """The settings with ``blur_faces`` decided: as they say, else as the checkpoint was trained; told where it was trained on blurred
    faces, or is asked about others than it was trained on.
    """
    used = checkpoint.manifest.config.get("settings", {}) if checkpoint else {}
    trained = bool(used.get("blur_faces")) if isinstance(used, dict) else False
    blurred = trained if settings.blur_faces is None else settings.blur_faces
    if checkpoint and (trained or blurred):
        as_trained = ", as" if trained == blurred else ", although"
        say(
            f"faces: {'blurred' if blurred else 'kept'}{as_trained} {checkpoint.ref} was trained on {'blurred' if trained else 'kept'} ones"
        )
    return settings.model_copy(update={"blur_faces": blurred})


def face_blur(
    dataset: Dataset,
    samples: Sequence[Sample],
    parsing: Artifact,
    *,
    say: Say = lambda text: None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> FaceBlur:
    """What an `ImageSource` of these samples needs; every label map is verified and read once, to find those with a face.

    Args:
        dataset: whose pictures they are, the parsing's data.
        samples: pictures, or tracklets with their frames.
        parsing: label maps of them.
        say: is told which labels are blurred, and how many pictures have none.
        workers: processes that read label maps.
        progress: ("faces", done, total).

    Raises:
        UserError: a picture without label map, or labels without faces. WorkError: a label map that is damaged or was changed.
    """
    paths = [path for sample in samples for path in sample.pictures]
    maps = LabelMaps.of_artifact(parsing, paths)
    if maps.missing:
        raise UserError(
            f"Parsing {parsing.ref} skipped {len(maps.missing)} of these pictures, so that their faces cannot be blurred; "
            f"{which(maps.missing)}.",
            "Mend them and parse again (reidclip parse), or leave them out of the data set.",
        )
    indices, names = face_labels(maps.label_set)
    found = from_first(_with_face(list(maps.files.values()), indices, workers, progress) if is_first() else None)
    faces = {path: file for (path, file), shows in zip(maps.files.items(), found, strict=True) if shows}
    told = f"faces are blurred by {parsing.ref} ({' and '.join(names)}); {told_of_faces(len(paths) - len(faces), len(paths))}"
    say(f"note: {told}")
    facts = json.dumps([parsing.digest, MEASURES], sort_keys=True)
    return FaceBlur(indices, faces, hashlib.sha256(facts.encode()).hexdigest(), told)


def told_of_faces(without: int, count: int) -> str:
    """How many pictures show no face: they stay as they are."""
    return f"{without} of {count} pictures have no face label"


def _with_face(files: Sequence[Path], faces: tuple[int, ...], workers: int | None, progress: Progress | None) -> list[bool]:
    """Which of the label maps hold a face."""
    parts = [files[start : start + _AT_ONCE] for start in range(0, len(files), _AT_ONCE)]
    count = default_workers() if workers is None else workers
    found: list[bool] = []
    for part in in_order(partial(_faces_in, faces), parts, count if len(parts) > 4 else 0):  # processes start slower than a few are read
        found += [bool(shows) for shows in part.tolist()]
        if progress:
            progress("faces", len(found), len(files))
    return found


def _faces_in(faces: tuple[int, ...], files: Sequence[Path]) -> Tensor:
    return torch.tensor([has_face(read_indexed_png(file)[0], faces) for file in files])
