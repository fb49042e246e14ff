"""What ``prompt-learn`` and ``finetune`` share: inputs, the run folder that makes a training resumable, and the run itself."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reidclip import __version__
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.durable import write_durable
from reidclip.artifacts.lock import LockedError, exclusive
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.load import ClipModel, load_clip
from reidclip.data.cache import Cache, CacheKind
from reidclip.data.loader import ImageSource
from reidclip.errors import InterruptedRunError, UserError, WorkError
from reidclip.interfaces import Method, StageContext, TrainStage
from reidclip.parallel.processes import is_first, launched
from reidclip.records import Dataset, LabelMap, Sample, training_labels
from reidclip.stages.broken_pictures import broken_in, without_broken
from reidclip.stages.choose import Say
from reidclip.stages.pictures import OnError
from reidclip.stages.read_prompts import read_prompts
from reidclip.stages.use_masks import KEEP, keep_file, shielding_of, with_masks, without_mask
from reidclip.train.device import pick_device
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.prepare import prepare
from reidclip.train.settings import FinetuneSettings, ModelSettings

Progress = Callable[[str, int, int], None]
"""(what, done, total)"""

_MOST_CAMERAS = 10_000


@dataclass(frozen=True)
class TrainJob:
    """A training with everything decided and nothing loaded: what ``--dry-run`` prints.

    Attributes:
        command: "prompt-learn" or "finetune".
        kind, name: of the artifact that is written.
        recipe: name of the recipe that the settings started from, or None.
        settings: resolved.
        inputs: artifacts read, by role ("masks", "prompts").
        save_seconds: how often the state is kept within an epoch.
        compiled, accumulate: see `reidclip.train.prepare.prepare`; they change the speed and the memory, not the result.
        cache: what becomes of decoded pictures, see `reidclip.data.cache.Cache`; the result is the same.
        on_error: "skip" reads every picture before the first step and leaves broken ones out; with "fail" the first one met ends the run.
        say: is told what takes time before the training.
    """

    command: str
    kind: str
    name: str
    method: Method
    recipe: str | None
    settings: ModelSettings
    dataset: Dataset
    store: Store
    inputs: dict[str, Artifact] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    save_seconds: float = 120.0
    compiled: bool = False
    accumulate: int = 1
    cache: CacheKind = "auto"
    on_error: OnError = "fail"
    say: Say = field(default=lambda text: None, compare=False)

    @property
    def key(self) -> str:
        """Digest of everything the result depends on: an interrupted run is taken up again by a command of the same key.

        The device is left out, so that a run may go on where there is room. The weights behind a CLIP's name or path are not yet known
        here; `run_stages` compares them.
        """
        facts = {
            "toolkit": __version__,  # half a training by one version and half by another is a result of neither
            "command": self.command,
            "method": [self.method.name, self.method.version],
            "settings": self.settings.model_dump(mode="json"),
            "data": self.dataset.fingerprint,
            "inputs": {role: artifact.digest for role, artifact in sorted(self.inputs.items())},
            "seed": self.seed,
            "precision": self.precision,
            **({"on_error": self.on_error} if self.on_error == "skip" else {}),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def run_folder(self) -> Path:
        """Where the state of the unfinished run lies."""
        return self.store.resume_dir(self.kind, self.name, self.key)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, inputs and planned output, for --dry-run and the manifest."""
        pictures = len(training_samples(self.dataset, self.settings.train_splits))
        return {
            "command": self.command,
            "method": self.method.name,
            "recipe": self.recipe,
            "settings": self.settings.model_dump(mode="json"),
            "data": {"root": str(self.dataset.root), "layout": self.dataset.layout, "training pictures": pictures},
            "inputs": {role: f"{a.kind}/{a.ref}" for role, a in self.inputs.items()},
            "writes": f"{self.kind}/{self.name}",
            "seed": self.seed,
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "processes": launched(),
            "compile": self.compiled,
            "accumulate": self.accumulate,
            "cache": self.cache,
            "on_error": self.on_error,
        }


def check_batches(settings: ModelSettings, dataset: Dataset) -> None:
    """The training split can fill a batch; told before anything is loaded.

    Raises:
        UserError: see `training_samples`; or fewer identities than a batch takes.
    """
    identities = len({s.pid for s in training_samples(dataset, settings.train_splits)})
    if isinstance(settings, FinetuneSettings) and settings.identities > identities:
        raise UserError(
            f"A batch takes {settings.identities} identities, the training split of {dataset.root} has {identities}.",
            f"Lower it (--set identities={identities}), or take more data.",
        )


def training_samples(dataset: Dataset, splits: Sequence[str] = ("train",)) -> tuple[Sample, ...]:
    """The training pictures: those of the splits named, in the data set's order, checked to be trainable.

    Raises:
        UserError: a split without pictures, a picture of nobody, or fewer than two identities.
    """
    _check_splits(dataset, splits)
    train = tuple(s for s in dataset.samples if s.split in splits)
    nobody = [s.path for s in train if s.pid < 0]
    if nobody:
        raise UserError(f"{len(nobody)} training pictures have no identity; the first is {nobody[0]}.", "Name them, or leave them out.")
    if len({s.pid for s in train}) < 2:
        raise UserError(f"The training split of {dataset.root} has one identity only.", "Re-identification needs at least two.")
    return train


def _check_splits(dataset: Dataset, splits: Sequence[str]) -> None:
    present = {s.split for s in dataset.samples}
    missing = [split for split in splits if split not in present]
    if not missing:
        return
    known = ", ".join(sorted(present)) or "none"
    if missing == ["train"]:
        raise UserError(f"{dataset.root} has no training pictures (splits: {known}).", "Training needs a 'train' split.")
    raise UserError(
        f"train_splits names '{missing[0]}', but {dataset.root} has no pictures of such a split (splits: {known}).",
        "Name splits that it has, for example --set 'train_splits=[\"train\"]'.",
    )


def build_context(job: TrainJob, labels: LabelMap, train: tuple[Sample, ...], progress: Progress | None = None) -> StageContext:
    """Load what the stages need, on the job's device; the random state is set here, so that a run depends on its seed alone."""
    device = pick_device(job.device)
    torch.manual_seed(job.seed)
    s = job.settings
    cameras = _camera_embeddings(train) if s.sie_camera else 0
    clip = load_clip(
        s.clip, image_size=(s.height, s.width), stride=s.stride, device=device, sie_cameras=cameras, sie_coefficient=s.sie_coefficient
    )
    if clip.image_encoder.config.is_resnet:  # convolutions run 1.4 times faster on the CPU with channels last; same results
        clip.image_encoder.to(memory_format=torch.channels_last)
    masks = job.inputs.get("masks")
    if masks:
        train = with_masks(masks, train)
        for sample in train:
            masks.file(keep_file(sample.path))  # a mask that was changed after it was written must not train anything
    if job.on_error == "skip":
        train = without_broken(job.dataset, train, job.run_folder(), job.workers, progress)
        for note in notes_on_broken(job):
            job.say(f"note: {note}")
    cache = Cache(job.cache, job.store.cache_dir, masks.digest if masks else "", say=job.say, progress=progress)
    keep = masks.path / KEEP if masks else None
    source = ImageSource.of(job.dataset, train, masks=keep, cache=cache, shielding=shielding_of(masks), decoding=s.decode)
    prompts = job.inputs.get("prompts")
    return StageContext(
        settings=s,
        clip=clip,
        train=train,
        labels=labels,
        source=source,
        device=device,
        seed=job.seed,
        workers=job.workers,
        precision=job.precision,
        prompts=read_prompts(prompts, clip, labels) if prompts else None,
        progress=progress,
        cache=job.run_folder(),
    )


def _camera_embeddings(train: Sequence[Sample]) -> int:
    """How many camera embeddings the data asks for: cameras are numbered from 0.

    Raises:
        UserError: a number that counts no cameras.
    """
    highest = max(train, key=lambda sample: sample.camid)
    if highest.camid >= _MOST_CAMERAS:
        raise UserError(
            f"Camera {highest.camid} ({highest.path}) asks for as many camera embeddings; at most {_MOST_CAMERAS} make sense.",
            "Number the cameras from 0, or leave them out with --set sie_camera=false.",
        )
    return highest.camid + 1


def run_stages(job: TrainJob, stages: Sequence[TrainStage], context: StageContext, progress: Progress) -> dict[str, list[dict[str, float]]]:
    """Run a command's stages one after the other, each from its last state.

    Returns:
        history by stage ("stage-0", ...): one row of mean losses per epoch.

    Raises:
        InterruptedRunError: by Ctrl-C; the state was kept.
        UserError: the unfinished run was made with other weights of its CLIP.
        WorkError: another process is at the same run.
    """
    folder = job.run_folder()
    histories = {}
    prepare(stages, compiled=job.compiled, accumulate=job.accumulate)
    try:
        with _at_work(folder) if is_first() else nullcontext():
            if is_first():
                _check_same_clip(folder / "clip.json", context.clip)
            for number, stage in enumerate(stages):
                title = f"{job.method.name} {job.command}" + (f" {number + 1}/{len(stages)}" if len(stages) > 1 else "")
                options = LoopOptions(context.device, job.precision, folder / f"stage-{number}.safetensors", job.save_seconds)
                histories[f"stage-{number}"] = run_stage(stage, options, partial(progress, title))
    except KeyboardInterrupt:
        raise InterruptedRunError(f"Interrupted; the training state is kept in {folder}.", "Run the same command again to go on.") from None
    return histories


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Hold a run folder; another process at the same run is a `WorkError`."""
    try:
        with exclusive(folder / "lock"):
            yield
    except LockedError:
        raise WorkError(f"Another process is at this very run ({folder}).", "Wait for it, or change a setting or the seed.") from None


def _check_same_clip(path: Path, clip: ClipModel) -> None:
    """A run goes on with the CLIP that it began with, also when a weights file was replaced meanwhile."""
    if not path.is_file():
        write_durable(path, json.dumps({"clip": clip.spec, "digest": clip.digest}).encode())
        return
    if json.loads(path.read_text(encoding="utf-8"))["digest"] != clip.digest:
        raise UserError(
            f"The unfinished run of this command began with other weights of CLIP '{clip.spec}' ({path.parent}).",
            "Bring them back, or start over with --fresh.",
        )


def describe_run(draft: Draft, job: TrainJob, context: StageContext, histories: dict[str, list[dict[str, float]]]) -> None:
    """Write the loss history and what the manifest says of a training."""
    (draft.path / "history.json").write_text(json.dumps(histories, indent=1), encoding="utf-8")
    draft.describe(
        config={**job.plan(), "clip_digest": context.clip.digest},
        seed=job.seed,
        method=job.method.name,
        plugin_version=job.method.version,
        dataset=DatasetRef.of(job.dataset),
        inputs=[InputRef.of(artifact, role=role) for role, artifact in job.inputs.items()],
        metrics=last_losses(histories),
        notes=[*notes_on_masks(job), *notes_on_broken(job)],
        device=context.device,
    )


@contextmanager
def draft_by_first(job: TrainJob) -> Iterator[Draft | None]:
    """The artifact in the making, in the process that writes it; None in the others."""
    if not is_first():
        yield None
        return
    with job.store.create(job.kind, job.name) as draft:
        yield draft


def notes_on_masks(job: TrainJob) -> list[str]:
    """Training pictures that were left out because they have no mask, for the manifest."""
    masks = job.inputs.get("masks")
    left_out = without_mask(masks, training_samples(job.dataset, job.settings.train_splits)) if masks else ()
    if not left_out:
        return []
    return [f"{len(left_out)} training pictures have no mask and were left out; the first is {left_out[0].path}."]


def notes_on_broken(job: TrainJob) -> list[str]:
    """Training pictures that were left out because they are broken, for the manifest."""
    broken = broken_in(job.run_folder()) if job.on_error == "skip" else {}
    return [f"{len(broken)} broken training pictures were left out; the first: {next(iter(broken.values()))}"] if broken else []


def finish_run(job: TrainJob) -> None:
    """Remove the state of a run whose artifact is committed."""
    shutil.rmtree(job.run_folder(), ignore_errors=True)


def start_over(job: TrainJob) -> None:
    """Forget an unfinished run of the same key (--fresh).

    Raises:
        WorkError: another process is at it.
    """
    folder = job.run_folder()
    with _at_work(folder):
        shutil.rmtree(folder, ignore_errors=True)


def last_losses(histories: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Mean losses of the last epoch of every stage, for the manifest."""
    return {f"{stage}/{name}": value for stage, rows in histories.items() if rows for name, value in rows[-1].items()}


def labels_of(job: TrainJob) -> tuple[tuple[Sample, ...], LabelMap]:
    """Training pictures and their dense labels."""
    train = training_samples(job.dataset, job.settings.train_splits)
    return train, training_labels(train)
