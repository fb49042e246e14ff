"""``reidclip evaluate --task shape``: whose bodies are predicted by which checkpoint, decided before the encoder is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.shape_head import SHAPE_FILE, ShapeHead
from reidclip.bodies.spec import body_of
from reidclip.data.cache import CacheKind
from reidclip.errors import UserError
from reidclip.evaluation.settings import ShapeSettings
from reidclip.interfaces import BodySession
from reidclip.records import Dataset
from reidclip.settings import parse_assignments, resolve
from reidclip.stages.choose import Say
from reidclip.stages.config_file import beside, read_config
from reidclip.stages.evaluate_shape_data import HeldOut, data_of, held_out, learned_meshes, notes_on_training
from reidclip.stages.evaluate_shape_meshes import MeshFormat, check_folder
from reidclip.stages.evaluation_names import evaluation_name
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision


@dataclass(frozen=True)
class Export:
    """Where meshes of how many people are written."""

    folder: Path
    kind: MeshFormat = "ply"
    people: int = 10


@dataclass(frozen=True)
class ShapeJob:
    """An evaluation of shapes with everything decided; of the checkpoint only its shape head is loaded.

    Attributes:
        data: whose bodies are predicted.
        notes: what a reader of the result should know.
    """

    data: HeldOut
    store: Store
    checkpoint: Artifact
    head: ShapeHead
    session: BodySession
    name: str
    settings: ShapeSettings = field(default_factory=ShapeSettings)
    export: Export | None = None
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    seed: int = 0
    cache: CacheKind = "auto"
    say: Say = field(default=lambda text: None, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def dataset(self) -> Dataset:
        """Whose pictures are read."""
        return self.data.dataset

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {
            "command": "evaluate",
            "task": "shape",
            "data": {"root": str(self.dataset.root), "layout": self.dataset.layout},
            "checkpoint": self.checkpoint.ref,
            "body": {"name": self.session.name, "version": self.session.version},
            "held_out": {"people": len(np.unique(self.data.rows)), "pictures": len(self.data.samples)},
            "settings": self.settings.model_dump(mode="json"),
            "writes": f"evaluation/{self.name}",
            "meshes": None if self.export is None else str(self.export.folder),
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "cache": self.cache,
        }


def plan_shape(
    data: Path | None,
    store: Store,
    *,
    checkpoint: str | None = None,
    layout: str | None = None,
    body: str | None = None,
    name: str | None = None,
    export: Export | None = None,
    dry: bool = False,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    seed: int = 0,
    cache: CacheKind = "auto",
    say: Say = lambda text: None,
) -> ShapeJob:
    """Decide whose bodies are predicted by what.

    Args:
        data: a mesh set, or a rendered data set; None takes the mesh set that the checkpoint learned from.
        checkpoint: reference; None takes the newest that learned from meshes.
        body: NAME:FILE of a body model that reads the user's file.
        dry: nothing is written, not even a folder for the meshes.

    Raises:
        UserError: anything that does not fit: a checkpoint that predicts no shapes, data without bodies, bodies of another model.
    """
    check_precision(precision, pick_device(device))
    layers = [] if config is None else [read_config(config, "evaluate", ShapeSettings)]
    settings = resolve(
        ShapeSettings, *layers, parse_assignments(assignments), where=f"evaluate --task shape settings{beside(config)}", plugin=None
    )
    artifact = _checkpoint(checkpoint, store, say)
    head = ShapeHead.load(artifact.path)
    artifact.file(SHAPE_FILE)  # verifies the digest
    found = held_out(data or data_of(artifact, say), layout)
    head.check_body(found.table.body, found.table.version, found.what)
    session = body_of(found.table, found.what, body, say)
    notes = (*found.notes, *notes_on_training(artifact, found))
    for note in notes:
        say(f"note: {note}")
    if export is not None and not dry:
        check_folder(export.folder)
    elsewhere = learned_meshes(artifact).get("fingerprint") != found.dataset.fingerprint
    default = f"{evaluation_name(artifact.name, found.dataset, store, elsewhere=elsewhere)}-shape"
    named = check_name(name or safe_name(default))
    return ShapeJob(found, store, artifact, head, session, named, settings, export, device, precision, workers, seed, cache, say, notes)


def _checkpoint(ref: str | None, store: Store, say: Say) -> Artifact:
    if ref is not None:
        return store.open(ref, kind="checkpoint")
    newest = store.newest("checkpoint", lambda manifest: isinstance(manifest.config.get("meshes"), dict))
    if newest is None:
        raise UserError(f"No checkpoint in {store.root} learned from meshes.", "Distil one: reidclip distill DATA --meshes MESHES.")
    say(f"checkpoint: {newest.ref} (the newest that learned from meshes)")
    return newest
