"""A planned description: which CLIP says what of which pictures, and the key by which an interrupted run is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reidclip import __version__
from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.phrases import TEMPLATE
from reidclip.data.training_samples import training_samples
from reidclip.errors import UserError
from reidclip.records import Dataset
from reidclip.stages.blurred_faces import parsing_for
from reidclip.stages.describe_teacher import check_template, check_text_side
from reidclip.stages.described_pictures import pictures_to_describe
from reidclip.stages.pictures import OnError
from reidclip.stages.read_descriptions import KIND, entering
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision
from reidclip.train.settings import ModelSettings, PictureSettings


@dataclass(frozen=True)
class DescribeJob:
    """A description with everything decided and nothing loaded.

    Attributes:
        name: of the artifact that is written.
        teacher: spec of the CLIP, see `reidclip.clip.sources`.
        settings: how pictures enter it.
        pictures: relative paths, in the order of the rows.
        all_pictures: whether they are those of all splits.
        parsing: label maps by which faces are blurred before the CLIP sees them; None where they are not.
        seed: for the manifest: nothing is drawn, unless the CLIP's weights are random.
    """

    dataset: Dataset
    store: Store
    name: str
    teacher: str
    settings: ModelSettings
    pictures: tuple[str, ...]
    all_pictures: bool
    template: str = TEMPLATE
    parsing: Artifact | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    on_error: OnError = "fail"
    batch_size: int = 128

    @cached_property
    def key(self) -> str:
        """Digest of what the rows depend on; the CLIP's own digest stands beside the features of an unfinished run."""
        parts = [__version__, self.dataset.fingerprint, self.config, self.precision, self.on_error, self.batch_size, self.pictures]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def run_folder(self) -> Path:
        """Where the state of the unfinished run lies."""
        return self.store.resume_dir(KIND, self.name, self.key)

    @property
    def config(self) -> dict[str, Any]:
        """What decides whether descriptions fit a training; see `reidclip.stages.read_descriptions.descriptions_for`."""
        s = self.settings
        chosen = {"train_splits": sorted(set(s.train_splits)), "all_pictures": self.all_pictures}
        return {"teacher": self.teacher, "template": self.template, **entering(s, self.parsing), **chosen}

    def plan(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "data": str(self.dataset.root),
            "pictures": len(self.pictures),
            **self.config,
            "writes": f"{KIND}/{self.name}",
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "on_error": self.on_error,
        }


def plan_description(
    dataset: Dataset,
    store: Store,
    *,
    teacher: str,
    settings: PictureSettings,
    template: str = TEMPLATE,
    parsing: Artifact | None = None,
    all_pictures: bool | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    on_error: OnError = "fail",
    batch_size: int = 128,
    say: Callable[[str], None] = lambda text: None,
) -> DescribeJob:
    """Decide everything, load nothing.

    Args:
        dataset: whose pictures are described.
        teacher: spec of a CLIP with text.
        settings: of the training that will read it. Its size, resize filter, decoding and training splits are taken; its
            stride and normalisation are the student's: the CLIP keeps its own.
        template: the sentence, with {phrase} in it.
        parsing: by which faces are blurred, where the settings ask for it; None takes the newest of this data.
        all_pictures: those of test splits too; None: where the data set is not large (`reidclip.stages.described_pictures.LARGE`).
        name: of the artifact; None makes it from CLIP and data.
        say: is told what was decided.

    Raises:
        UserError: a CLIP without text, a sentence without {phrase}, a data set without training pictures, or without the parsing that
            blurred faces need.
    """
    check_precision(precision, pick_device(device))
    check_template(template)
    check_text_side(teacher)
    pictures, whole = pictures_to_describe(dataset, settings.train_splits, all_pictures)
    if not whole:
        training_samples(dataset, settings.train_splits, settings.distractors)  # tells what is wrong with the splits
        say(f"descriptions: of the {len(pictures)} pictures of the training splits (--all-pictures describes those of test splits too)")
    if not pictures:
        raise UserError(f"There are no pictures in {dataset.root}.", "Name a data set with pictures.")
    taken = ("height", "width", "test_resize", "decode", "train_splits", "blur_faces")
    parsing = parsing or parsing_for(None, settings.blur_faces, dataset, store, say)
    reading = ModelSettings(clip=teacher, **{key: getattr(settings, key) for key in taken})
    called = safe_name(f"{Path(teacher).stem if Path(teacher).is_file() else teacher}-{dataset.name}")
    checked = check_name(name or called)
    return DescribeJob(
        dataset,
        store,
        checked,
        teacher,
        reading,
        pictures,
        whole,
        template,
        parsing,
        seed,
        device,
        precision,
        workers,
        on_error,
        batch_size,
    )
