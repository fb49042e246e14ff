"""Makes the artifact of a step, or finds it: what was made before, by any table, is taken from the store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ablation.steps import Step, protocols_of, sentence_of
from ablation.table_file import MaskSource, TableFile
from reidclip import registry
from reidclip.artifacts.durable import writing_to
from reidclip.artifacts.lock import exclusive
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.mesh_set import open_meshes
from reidclip.bodies.spec import body_of
from reidclip.data.files import mirrored
from reidclip.data.images import read_picture, write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.errors import UserError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.interfaces import Parser
from reidclip.records import Dataset
from reidclip.settings import resolve
from reidclip.stages.describe import describe, plan_description
from reidclip.stages.distill import distill, teacher_settings
from reidclip.stages.evaluate import EvaluateJob, evaluate
from reidclip.stages.finetune import finetune
from reidclip.stages.mask import MaskSettings, fitting_parsing, mask
from reidclip.stages.parse import GROUP, parse
from reidclip.stages.pictures import picture_paths
from reidclip.stages.prompt_learn import prompt_learn
from reidclip.stages.train_job import TrainJob, check_batches
from reidclip.train.device import pick_device
from reidclip.train.settings import DistillSettings, PictureSettings

Told = Callable[[str, int, int], None]
"""(what, done, total)"""

_TRAININGS = {"prompt-learn": prompt_learn, "finetune": finetune, "distill": distill}


@dataclass(frozen=True)
class Workshop:
    """Where steps are made, and on what.

    Attributes:
        dataset, test: trained on, evaluated on.
        save_seconds: how often the state of a training is kept.
        known: artifacts that were found or made, by kind and name.
    """

    table: TableFile
    store: Store
    dataset: Dataset
    test: Dataset
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    save_seconds: float = 120.0
    known: dict[tuple[str, str], Artifact] = field(default_factory=dict, compare=False)

    def find(self, step: Step) -> Artifact | None:
        """The artifact of a step that is done, by this process or another."""
        place = step.kind, step.name
        if place not in self.known:
            try:
                self.known[place] = self.store.open(step.name, kind=step.kind)
            except UserError:
                return None
        return self.known[place]

    def make(self, step: Step, told: Told = lambda what, done, total: None, begins: Callable[[Step], None] = lambda step: None) -> Artifact:
        """The artifact of a step; one that is not there is made, and before it what it reads. An interrupted training goes on.

        Args:
            begins: called with every step that is made indeed, as it begins.

        Raises:
            LockedError: another process is making it.
            UserError, WorkError, InterruptedRunError: as the commands' library twins.
        """
        found = self.find(step)
        if found is not None:
            return found
        inputs = {role: self.make(below, told, begins) for role, below in step.inputs.items()}
        with exclusive(self._lock_file(step)):
            if (found := self.find(step)) is not None:  # the other process may have ended just now
                return found
            begins(step)
            self.known[step.kind, step.name] = self._made(step, inputs, told)
        return self.known[step.kind, step.name]

    def _lock_file(self, step: Step) -> Path:
        """In the store's cache, where `artifacts gc` finds what a killed process left and leaves alone what is held."""
        with writing_to(self.store.cache_dir, self.store.root):
            self.store.cache_dir.mkdir(parents=True, exist_ok=True)
        return self.store.cache_dir / f"{step.kind}-{step.name}.lock"

    def _made(self, step: Step, inputs: dict[str, Artifact], told: Told) -> Artifact:
        if step.kind == "masks":
            assert step.source is not None
            return self._masks(step, step.source, told)
        if step.kind == "descriptions":
            return self._descriptions(step, told)
        if step.kind == "evaluation":
            return self._evaluation(step, inputs.get("checkpoint"), told)
        return self._training(step, inputs, told)

    def _training(self, step: Step, inputs: dict[str, Artifact], told: Told) -> Artifact:
        assert step.row is not None and step.row.method is not None and step.command is not None
        settings = step.row.settings[step.command]
        assert isinstance(settings, PictureSettings)
        check_batches(settings, self.dataset)
        job = TrainJob(
            step.command,
            step.kind,
            step.name,
            step.row.method,
            step.row.recipe,
            settings,
            self.dataset,
            self.store,
            inputs,
            seed=step.seed,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            save_seconds=self.save_seconds,
        )
        if step.row.needs is not None and step.row.needs.meshes:
            assert self.table.meshes is not None
            meshes = open_meshes(self.table.meshes)
            job = replace(job, meshes=meshes, body=body_of(meshes.table, f"mesh set {meshes.dataset.root}"))
        made = _TRAININGS[step.command](job, told)
        assert made is not None, "one process runs a table"
        return made

    def _descriptions(self, step: Step, told: Told) -> Artifact:
        assert step.row is not None
        settings = step.row.settings["distill"]
        assert isinstance(settings, DistillSettings)
        job = plan_description(
            self.dataset,
            self.store,
            teacher=settings.teacher,
            settings=teacher_settings(settings),
            name=step.name,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            template=sentence_of(settings),
        )
        return describe(job, told)

    def _evaluation(self, step: Step, checkpoint: Artifact | None, told: Told) -> Artifact:
        assert step.row is not None
        settings = step.row.settings["evaluate"]
        assert isinstance(settings, EvaluateSettings)
        job = EvaluateJob(
            self.test,
            self.store,
            protocols_of(self.table, self.test),
            checkpoint,
            step.row.clip,
            step.name,
            settings,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
        )
        done = evaluate(job, lambda done, total: told("features", done, total))
        assert done is not None, "one process runs a table"
        return done[0]

    def _masks(self, step: Step, source: MaskSource, told: Told) -> Artifact:
        settings = resolve(MaskSettings, source.mask, where=f"mask settings of {step.label}", plugin=None)

        def masking(done: int, total: int) -> None:
            told("masks", done, total)

        if source.parser is not None:
            maps: Artifact | Path = self._parsing(source, told)
        elif source.labels is not None:
            maps = source.labels
        else:
            with tempfile.TemporaryDirectory() as folder:
                write_blank_maps(self.dataset, Path(folder))
                return mask(self.dataset, Path(folder), self.store, settings=settings, name=step.name, progress=masking)
        return mask(self.dataset, maps, self.store, settings=settings, name=step.name, progress=masking)

    def _parsing(self, source: MaskSource, told: Told) -> Artifact:
        assert source.parser is not None
        parser: Parser = registry.get(GROUP, source.parser)
        settings = resolve(parser.settings, source.parse, where=f"settings of parser {source.parser}", plugin=source.parser)
        device = pick_device(self.device)
        session = parser.open(settings, device)
        found = fitting_parsing(self.dataset, session, settings, self.store)
        return found or parse(
            self.dataset,
            session,
            self.store,
            settings=settings,
            device=device,
            workers=self.workers,
            progress=lambda done, total: told("parsing", done, total),
        )

    def elsewhere(self, store: Store, dataset: Dataset, test: Dataset) -> Workshop:
        """The same on other data, with another store."""
        return replace(self, store=store, dataset=dataset, test=test, known={})


def write_blank_maps(dataset: Dataset, folder: Path) -> None:
    """A label map of nothing but background for every picture: masks made of them shield nothing."""
    for path in picture_paths(dataset):
        height, width = read_picture(dataset.file(path)).shape[:2]
        target = folder / mirrored(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(target, np.zeros((height, width), np.uint8), LIP_PALETTE)
