"""Trainings and evaluations of a CLIP on a rendered set, as artifacts: what is in the store already is not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.console import progress_bar, progress_bars, say
from reidclip.clip.load import ClipModel
from reidclip.data.images import read_mask_png, read_picture
from reidclip.data.keep_mask import shielding_image
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.records import Dataset
from reidclip.settings import parse_assignments
from reidclip.stages.choose import method_for, settings_for
from reidclip.stages.evaluate import evaluate, plan_evaluate
from reidclip.stages.finetune import finetune, plan_finetune
from reidclip.stages.mask import mask
from reidclip.stages.prompt_learn import plan_prompt_learn, prompt_learn
from reidclip.stages.train_job import TrainJob
from reidclip.stages.use_masks import keep_file, shielding_of

METHODS = {"prompt-learn": "ccaf", "finetune": "baseline"}  # command -> method that the gates run by it


@dataclass(frozen=True)
class Runs:
    """Where artifacts are made, from which CLIP, and how.

    Attributes:
        clip: loaded from its ``spec``.
        folder: holds the store and the shielded pictures.
        changes: ``finetune.lr=1e-3``: settings that differ from the recipe's.
    """

    clip: ClipModel
    folder: Path
    recipe: str = "tiny"
    changes: Sequence[str] = ()
    seed: int = 0
    precision: str = "fp32"
    workers: int | None = None
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        """The store lies in the folder; wrong changes are told now, not after minutes of other work."""
        object.__setattr__(self, "store", Store(self.folder / "artifacts"))
        for change in self.changes:
            if change.partition(".")[0] not in METHODS:
                raise UserError(f"--set '{change}' names no command.", f"Begin with one of {', '.join(f'{c}.' for c in METHODS)}")
        for command, method in METHODS.items():
            settings_for(method_for(method, command), command, self.recipe, None, parse_assignments(self._settings(command)))

    # -------------------------------------------------------------------------------------------------------- pictures
    def masks(self, dataset: Dataset) -> Artifact:
        """Masks by the label maps that were rendered with the pictures."""
        name = f"truth-{dataset.fingerprint[:12]}"

        def make() -> Artifact:
            with progress_bar("masks", "pictures") as told:
                return mask(dataset, dataset.root / "parsing", self.store, name=name, progress=told)

        return self._found("masks", name) or make()

    def shielded(self, dataset: Dataset) -> Dataset:
        """A copy of a set with clothes painted white, eq. (4) of CCAF, so that every command trains and tests on such pictures."""
        masks = self.masks(dataset)
        place = self.folder / f"{dataset.name}-shielded-{dataset.fingerprint[:12]}"
        if not place.is_dir():
            unfinished = place.with_name(place.name + ".unfinished")
            with progress_bar("shielded pictures", "pictures") as told:
                for done, sample in enumerate(dataset.samples, start=1):
                    _write_shielded(dataset.absolute(sample), masks, sample.path, unfinished / sample.path)
                    told(done, len(dataset.samples))
            unfinished.rename(place)
        return open_dataset(place, dataset.layout)

    # ------------------------------------------------------------------------------------------------------- trainings
    def finetuned(self, dataset: Dataset) -> Artifact:
        """The image tower fine-tuned by the baseline: identity and triplet losses, no text."""
        settings = self._settings("finetune")
        job = plan_finetune(
            dataset.root, self.store, method=METHODS["finetune"], layout=dataset.layout, recipe=self.recipe, assignments=settings,
            seed=self.seed, precision=self.precision, workers=self.workers,
        )  # fmt: skip
        return self._trained(job, finetune)

    def prompts(self, dataset: Dataset) -> tuple[TrainJob, Artifact]:
        """CCAF's identity prompts, which are learned on shielded pictures; and the job, which knows these pictures."""
        masks = self.masks(dataset)
        settings = [*self._settings("prompt-learn"), "clothes_prompts=false"]
        job = plan_prompt_learn(
            dataset.root, self.store, method=METHODS["prompt-learn"], layout=dataset.layout, recipe=self.recipe, assignments=settings,
            masks=masks.ref, seed=self.seed, precision=self.precision, workers=self.workers,
        )  # fmt: skip
        return job, self._trained(job, prompt_learn)

    def evaluated(self, dataset: Dataset, checkpoint: Artifact | None = None) -> Artifact:
        """All protocols of a set, of a checkpoint or of the plain CLIP."""
        facts = checkpoint.digest if checkpoint else self.clip.digest
        name = f"{checkpoint.name if checkpoint else 'zero-shot'}-{_digest(facts, dataset.fingerprint, self.precision)}"

        def make() -> Artifact:
            job = plan_evaluate(
                dataset.root, self.store, checkpoint=checkpoint.ref if checkpoint else None, zero_shot=checkpoint is None,
                clip=None if checkpoint else self.clip.spec, layout=dataset.layout, name=name, precision=self.precision,
                workers=self.workers,
            )  # fmt: skip
            with progress_bar("features", "pictures") as told:
                done = evaluate(job, told)
            assert done is not None, "one process measures the gates"
            return done[0]

        return self._found("evaluation", name) or make()

    def _settings(self, command: str) -> list[str]:
        own = [change.removeprefix(f"{command}.") for change in self.changes if change.startswith(f"{command}.")]
        return [f"clip={json.dumps(self.clip.spec, ensure_ascii=False)}", *own]

    def _trained(self, job: TrainJob, run: Callable[..., Artifact | None]) -> Artifact:
        unnamed = replace(job, settings=job.settings.model_copy(update={"clip": ""}))  # weights count, not the path to them
        name = f"{job.method.name}-{_digest(unnamed.key, self.clip.digest)}"
        found = self._found(job.kind, name)
        if found is not None:
            return found
        say(f"{job.command} {job.method.name} on {job.dataset.root}")
        with progress_bars() as told:
            made = run(replace(job, name=name), told)
        assert made is not None, "one process measures the gates"
        return made

    def _found(self, kind: str, name: str) -> Artifact | None:
        try:
            return self.store.open(name, kind=kind)
        except UserError:
            return None


def _write_shielded(picture: Path, masks: Artifact, path: str, target: Path) -> None:
    """One picture, as JPEG of little loss: PRCC's names end in .jpg."""
    keep = read_mask_png(masks.file(keep_file(path)))
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shielding_image(read_picture(picture), keep, shielding_of(masks))).save(
        target, format="JPEG", quality=95, subsampling=0
    )


def _digest(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
