"""Reading ``descriptions``: which ones fit a training, and their rows in the order of its samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from reidclip.artifacts.manifest import Manifest
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.phrases import TEMPLATE
from reidclip.clip.load import load_clip
from reidclip.errors import UserError
from reidclip.formulas.phrases import choose_phrases
from reidclip.records import Dataset, Sample
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.choose import made_from, of_data
from reidclip.stages.describe_teacher import check_text_side
from reidclip.stages.described_pictures import evenly
from reidclip.train.descriptions import Descriptions
from reidclip.train.settings import PictureSettings

KIND = "descriptions"
FILE, PICTURES, PHRASES = "descriptions.safetensors", "pictures.json", "phrases.json"


def entering(settings: PictureSettings, parsing: Artifact | None) -> dict[str, Any]:
    """How pictures enter the CLIP, under the names of a manifest's settings; ``parsing``: by which faces are blurred, if they are."""
    size = {"height": settings.height, "width": settings.width, "resize": settings.test_resize, "decode": settings.decode}
    return {**size, "faces_blurred_by": parsing.digest if parsing else None}


def described_rows(artifact: Artifact) -> dict[str, int]:
    """Relative path of a described picture -> row."""
    pictures = json.loads(artifact.file(PICTURES).read_text(encoding="utf-8"))["pictures"]
    return {path: row for row, path in enumerate(pictures)}


def read_tables(artifact: Artifact) -> dict[str, Tensor]:
    """``features``, ``texts``, ``scores`` and ``choices`` as they were written, rows as in `described_rows`."""
    return dict(load_file(artifact.file(FILE)))


def read_descriptions(artifact: Artifact, samples: Sequence[Sample]) -> Descriptions:
    """Descriptions with rows in the order of the samples, on the CPU.

    Of a tracklet, or a piece of one, the features are the mean of those of its described frames, at most 8 evenly spread ones, not
    normalised before or after, as everywhere in the toolkit; scores and choices are eq. (2) of the mean.

    Raises:
        UserError: a picture that was not described, or a piece none of whose frames was.
    """
    rows, tables = described_rows(artifact), read_tables(artifact)
    places = [_places(artifact, sample, rows) for sample in samples]
    if any(sample.frames for sample in samples):
        features = torch.stack([tables["features"][own].mean(0) for own in places])
        scores, choices, _ = choose_phrases(features, tables["texts"])
    else:
        order = torch.tensor([own[0] for own in places], dtype=torch.long)
        features, scores, choices = (tables[name][order] for name in ("features", "scores", "choices"))
    config = artifact.manifest.config
    return Descriptions(features, tables["texts"], scores, choices, (str(config["teacher"]), str(config["teacher_digest"])))


def _places(artifact: Artifact, sample: Sample, rows: Mapping[str, int]) -> list[int]:
    found = [rows[path] for path in sample.pictures if path in rows]
    if not found:
        what = f"None of the {len(sample.frames)} frames of a piece of tracklet" if sample.frames else "Picture"
        remedy = "Describe them with --label-only --all-pictures" + (", or train on pieces of 8 frames or more." if sample.frames else ".")
        raise UserError(f"{what} {sample.path} is not among those that {artifact.kind}/{artifact.ref} describe.", remedy)
    return evenly(found)


def descriptions_for(
    ref: str | None,
    dataset: Dataset,
    store: Store,
    *,
    teacher: str,
    settings: PictureSettings,
    template: str = TEMPLATE,
    parsing: Artifact | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Artifact | None:
    """The descriptions named, checked to fit; else the newest that fit; None where there are none.

    They fit when data, CLIP (by the digest of its weights: it is loaded when there is something to compare with), sentence, input size,
    blurring of faces and training splits do.

    Args:
        ref: reference, or None.
        teacher, settings, template, parsing: as in `reidclip.stages.describe.plan_description`.
        say: is told which was taken.

    Raises:
        UserError: the ones named do not fit, with what differs; or the CLIP has no text.
    """
    check_text_side(teacher)
    parsing = parsing or parsing_for(None, settings.blur_faces, dataset, store, lambda text: None)
    wanted = {"template": template, **entering(settings, parsing)}
    if ref is not None:
        artifact = made_from(store.open(ref, kind=KIND), dataset, KIND)
        _check_fit(artifact, wanted, teacher, settings)
        return artifact
    same_data = of_data(dataset)

    def fits(manifest: Manifest) -> bool:
        return same_data(manifest) and not _differences(manifest, wanted) and _covers(manifest, settings)

    if store.newest(KIND, fits) is None:
        return None
    digest = load_clip(teacher).digest
    newest = store.newest(KIND, lambda manifest: fits(manifest) and manifest.config.get("teacher_digest") == digest)
    if newest is not None:
        say(f"descriptions: {newest.ref} (the newest of this data, CLIP and sentence)")
    return newest


def _check_fit(artifact: Artifact, wanted: Mapping[str, Any], teacher: str, settings: PictureSettings) -> None:
    manifest, named = artifact.manifest, f"{KIND}/{artifact.ref}"
    differs = _differences(manifest, wanted)
    if differs:
        raise UserError(f"{named} were made otherwise: {'; '.join(differs)}.", "Leave them out: others are made, or found.")
    if not _covers(manifest, settings):
        raise UserError(
            f"{named} are of the splits {', '.join(manifest.config['train_splits'])}, not of {', '.join(settings.train_splits)}.",
            "Describe all pictures: --label-only --all-pictures.",
        )
    if load_clip(teacher).digest != manifest.config.get("teacher_digest"):
        made = manifest.config.get("teacher")
        why = f"by CLIP '{made}', not '{teacher}'" if made != teacher else f"by other weights of CLIP '{teacher}'"
        raise UserError(f"{named} were made {why}.", f"Name that one (--teacher {made}), or leave the descriptions out.")


def _differences(manifest: Manifest, wanted: Mapping[str, Any]) -> list[str]:
    config = manifest.config
    return [f"{key} {config.get(key)!r} / {value!r}" for key, value in wanted.items() if config.get(key) != value]


def _covers(manifest: Manifest, settings: PictureSettings) -> bool:
    config = manifest.config
    return bool(config.get("all_pictures")) or set(settings.train_splits) <= set(config.get("train_splits", ()))
