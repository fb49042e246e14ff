"""Who teaches: the method that a teacher asks for, whether it can be one, the checkpoint that teaches, and how pictures enter it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.phrases import TEMPLATE
from reidclip.clip.published import TINY
from reidclip.clip.weights import SUFFIXES
from reidclip.data.join import place_of
from reidclip.errors import ReidclipError, UserError, nearest
from reidclip.interfaces import Distiller, DistillNeeds
from reidclip.records import Dataset
from reidclip.stages.choose import Say, learned_from
from reidclip.train.settings import DistillSettings, PictureSettings

COMMAND = "distill"
DEFAULT_METHOD = "clip3dreid"
FROM_CHECKPOINT = "rkd"
"""Taken where no method was named and the teacher is a checkpoint."""


def method_of(teacher: Any, store: Store, say: Say) -> str:
    """The method where none was named: by what the teacher is, as the settings name it."""
    if isinstance(teacher, str) and _checkpoint(teacher, store) is not None:
        say(f"method: {FROM_CHECKPOINT} (the teacher is a checkpoint)")
        return FROM_CHECKPOINT
    say(f"method: {DEFAULT_METHOD} (the default)")
    return DEFAULT_METHOD


def check_teacher(method: Distiller, needs: DistillNeeds, settings: DistillSettings, store: Store) -> None:
    """A method that asks a CLIP cannot ask a checkpoint, which has no text; nor something that is neither.

    Raises:
        UserError: then.
    """
    spec = settings.teacher
    if needs.teacher != "clip" or spec == TINY or ":" in spec or spec.endswith(SUFFIXES) or Path(spec).is_dir():
        return
    if _checkpoint(spec, store) is not None:
        raise UserError(
            f"Method '{method.name}' asks a CLIP, and {spec} is a checkpoint: an image encoder without text.",
            f"Name a CLIP (--teacher reidclip-tiny), or distil from the checkpoint: --method {FROM_CHECKPOINT}.",
        )
    names = [TINY, *(artifact.name for artifact in store.list("checkpoint"))] if store.root.is_dir() else [TINY]
    hint = nearest(spec, names)
    raise UserError(f"Teacher '{spec}' is no CLIP and no checkpoint in {store.root}.", f"{hint} A CLIP is named as ARCH:TAG, or is a file.")


def teacher_for(settings: DistillSettings, dataset: Dataset, store: Store, say: Say) -> Artifact:
    """The checkpoint that teaches: the one named, or the newest of this data that is no student itself.

    Raises:
        UserError: there is none, or it holds no image encoder.
    """
    if "teacher" in settings.model_fields_set:
        found = store.open(settings.teacher, kind="checkpoint")
        if found.manifest.config.get("holds", "encoder") != "encoder":
            raise UserError(f"{found.kind}/{found.ref} holds no image encoder.", "Name a checkpoint of finetune, distill or import.")
        return found
    learned = learned_from(dataset)
    newest = store.newest("checkpoint", lambda m: learned(m) and m.config.get("command") != COMMAND)
    if newest is None:
        raise UserError(
            f"There is no fine-tuned checkpoint of {place_of(dataset)} in {store.root}.",
            "Make one with reidclip finetune, or name a teacher: --teacher NAME@v1.",
        )
    say(f"teacher: {newest.ref} (the newest fine-tuned on this data)")
    return newest


def teacher_settings(settings: DistillSettings) -> PictureSettings:
    """How pictures enter the teacher: as the student's settings say, at a size of its own where they name one."""
    own = {key: getattr(settings, f"teacher_{key}", None) for key in ("height", "width")}
    return settings.model_copy(update={key: value for key, value in own.items() if value is not None})


def template_of(settings: DistillSettings) -> str:
    """The sentence about a body, where the method lets it be chosen."""
    template: str = getattr(settings, "template", TEMPLATE)
    return template


def _checkpoint(ref: str, store: Store) -> Artifact | None:
    try:
        return store.open(ref, kind="checkpoint")
    except ReidclipError:
        return None
