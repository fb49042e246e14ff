"""Pictures that a page shows, as files to decode; faces blurred where the evaluation blurred them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.face_blur import FaceBlur, blur_faces, read_labels
from reidclip.data.images import UInt8, read_picture, read_reduced
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample
from reidclip.report.thumbnails import HIGHEST
from reidclip.stages.blurred_faces import face_blur
from reidclip.stages.choose import Say

Read = Callable[[], UInt8]


def picture_of(sample: Sample) -> str:
    """Relative path of what stands for a sample: itself, or the frame in a tracklet's middle."""
    return sample.pictures[len(sample.pictures) // 2]


def readers(dataset: Dataset, samples: Sequence[Sample], artifacts: Sequence[Artifact], store: Store, say: Say) -> list[Read]:
    """A function per sample that decodes its picture, (H, W, 3) RGB; a large JPEG no larger than a thumbnail needs.

    Where any of the evaluations was made of blurred faces, so is what the page shows: it may be handed on.

    Raises:
        UserError: the parsing by which faces were blurred is no longer in the store.
    """
    blur = _blur(dataset, samples, artifacts, store, say)
    return [partial(_read, dataset.file(picture_of(sample)), picture_of(sample), blur) for sample in samples]


def _blur(dataset: Dataset, samples: Sequence[Sample], artifacts: Sequence[Artifact], store: Store, say: Say) -> FaceBlur | None:
    for artifact in artifacts:
        if artifact.manifest.config.get("settings", {}).get("blur_faces"):
            nodes = [node for node in store.lineage(artifact).inputs if node.role == "parsing"]
            parsing = next((node.artifact for node in nodes if node.artifact is not None), None)
            if parsing is None:
                raise UserError(
                    f"Evaluation {artifact.ref} is of blurred faces, and the parsing that they were found by is not in {store.root}.",
                    "Leave the pictures out with --no-pictures.",
                )
            shown = [sample.with_frames((picture_of(sample),)) for sample in samples]
            return face_blur(dataset, shown, parsing, say=say)
    return None


def _read(path: Path, name: str, blur: FaceBlur | None) -> UInt8:
    if blur is None or name not in blur.maps:
        return read_reduced(path, 2 * HIGHEST)  # twice: the last halving is by a better filter
    picture = read_picture(path)
    height, width = picture.shape[:2]
    return blur_faces(picture, read_labels(blur.maps[name], (height, width), path), blur.labels)
