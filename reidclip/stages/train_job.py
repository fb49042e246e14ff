"""A planned training: what it reads, which pictures it trains on, and the key by which an interrupted run is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidclip import __version__
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.mesh_set import MeshSet
from reidclip.data.balanced_batches import check_shares
from reidclip.data.cache import CacheKind
from reidclip.data.join import place_of
from reidclip.data.training_samples import choose_samples, training_samples
from reidclip.errors import UserError
from reidclip.interfaces import BodySession, Method
from reidclip.parallel.processes import launched
from reidclip.records import Dataset, LabelMap, Sample, training_labels
from reidclip.stages.choose import Say
from reidclip.stages.pictures import OnError
from reidclip.stages.sources import described_data, of_sources
from reidclip.train.device import pick_device
from reidclip.train.settings import PictureSettings, TrainingSettings

Progress = Callable[[str, int, int], None]
"""(what, done, total)"""


@dataclass(frozen=True)
class TrainJob:
    """A training with everything decided and nothing loaded: what ``--dry-run`` prints.

    Attributes:
        command: "prompt-learn", "finetune" or "distill".
        kind, name: of the artifact that is written.
        recipe: name of the recipe that the settings started from, or None.
        settings: resolved.
        inputs: artifacts read, by role ("masks", "prompts"; of distill "descriptions", "teacher").
        save_seconds: how often the state is kept within an epoch.
        compiled, accumulate: see `reidclip.train.prepare.prepare`; they change the speed and the memory, not the result.
        cache: what becomes of decoded pictures, see `reidclip.data.cache.Cache`; the result is the same.
        on_error: "skip" reads every picture before the first step and leaves broken ones out; with "fail" the first one met ends the run.
        say: is told what takes time before the training.
        meshes, body: rendered bodies that distill trains on, and their body model.
    """

    command: str
    kind: str
    name: str
    method: Method
    recipe: str | None
    settings: PictureSettings
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
    meshes: MeshSet | None = None
    body: BodySession | None = field(default=None, compare=False)

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
            **({"meshes": [self.meshes.dataset.fingerprint, self.meshes.table.version]} if self.meshes else {}),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def run_folder(self) -> Path:
        """Where the state of the unfinished run lies."""
        return self.store.resume_dir(self.kind, self.name, self.key)

    def training_samples(self) -> tuple[Sample, ...]:
        """The training pictures, see `reidclip.data.training_samples.training_samples`."""
        return trained_on(self.dataset, self.settings)

    def notes_on_samples(self) -> tuple[str, ...]:
        """What a reader of a result should know of their choice."""
        return choose_samples(self.dataset, self.settings.train_splits, self.settings.distractors).notes

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, inputs and planned output, for --dry-run and the manifest."""
        train = self.training_samples()
        counts = {"training pictures": sum(len(s.pictures) for s in train)}
        if any(s.frames for s in train):
            counts = {"training tracklets": len(train), "training frames": counts["training pictures"]}
        return {
            "command": self.command,
            "method": self.method.name,
            "recipe": self.recipe,
            "settings": self.settings.model_dump(mode="json"),
            "data": {**described_data(self.dataset), **counts, **of_sources(self.dataset, train)},
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
            **({"meshes": _described_meshes(self.meshes)} if self.meshes else {}),
        }


def _described_meshes(meshes: MeshSet) -> dict[str, Any]:
    data = meshes.dataset
    pictures = data.split("train")
    return {
        "root": str(data.root),
        "fingerprint": data.fingerprint,
        "body": meshes.table.body,
        "body_version": meshes.table.version,
        "training bodies": len({sample.pid for sample in pictures}),
        "training pictures": len(pictures),
    }


def check_batches(settings: PictureSettings, dataset: Dataset, accumulate: int = 1) -> None:
    """The training split can fill a batch, and a batch so many pieces; told before anything is loaded.

    Raises:
        UserError: see `training_samples`; or fewer identities than a batch takes; or fewer pictures in a batch than pieces.
    """
    train = trained_on(dataset, settings)
    identities = len({s.pid for s in train})
    if isinstance(settings, TrainingSettings) and settings.sampler == "pk" and settings.identities > identities:
        raise UserError(
            f"A batch takes {settings.identities} identities, the training split of {place_of(dataset)} has {identities}.",
            f"Lower it (--set identities={identities}), or take more data.",
        )
    if isinstance(settings, TrainingSettings):
        if settings.balance_domains:
            _check_balance(settings, train)
        _check_pieces(settings.identities * settings.images_per_identity, accumulate)


def _check_balance(settings: TrainingSettings, train: Sequence[Sample]) -> None:
    pids, domains, images = [s.pid for s in train], [s.domain for s in train], settings.images_per_identity
    if settings.identities < (sources := len(set(domains))):
        raise UserError(
            f"A balanced batch takes at least one identity of each of {sources} data sets, and a batch has {settings.identities} in all.",
            f"Raise it (--set identities={sources}), or leave the balance out (--set balance_domains=false).",
        )
    check_shares(pids, domains, settings.identities, images, distinct=settings.sampler == "pk")


def _check_pieces(pictures: int, accumulate: int) -> None:
    """Every process takes its own share of a batch in pieces."""
    share = -(-pictures // launched())
    if accumulate > share:
        each = f", {share} for each of {launched()} processes" if launched() > 1 else ""
        raise UserError(
            f"--accumulate {accumulate}: a batch has {pictures} pictures{each}, and a piece at least one.",
            f"Take at most --accumulate {share}, or larger batches (--set identities=..., --set images_per_identity=...).",
        )


def trained_on(dataset: Dataset, settings: PictureSettings) -> tuple[Sample, ...]:
    """The pictures that a training with these settings reads; see `reidclip.data.training_samples.training_samples`."""
    return training_samples(dataset, settings.train_splits, settings.distractors)


def labels_of(job: TrainJob) -> tuple[tuple[Sample, ...], LabelMap]:
    """Training pictures and their dense labels."""
    train = job.training_samples()
    return train, training_labels(train)
