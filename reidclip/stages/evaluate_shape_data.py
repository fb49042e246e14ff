"""Whose bodies ``reidclip evaluate --task shape`` predicts: pictures of people that no training saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.artifacts.artifact import Artifact
from reidclip.bodies.mesh_set import BodyTable, is_mesh_set, open_bodies, open_meshes
from reidclip.data.open import open_dataset
from reidclip.errors import ReidclipError, UserError
from reidclip.evaluation.protocols import required_samples
from reidclip.records import Dataset, Sample
from reidclip.stages.choose import Say
from reidclip.stages.trained_on import provenance

_NO_BODIES = "Render data with known bodies: reidclip synth OUT, or reidclip synth OUT --meshes."


@dataclass(frozen=True)
class HeldOut:
    """Pictures of people with known bodies, none of them for training.

    Attributes:
        samples: in the data set's order.
        rows: of each sample, the row of its body in ``table``.
        what: for messages: "mesh set /data/meshes".
        meshes: whether they are untextured renders of bodies alone.
        notes: what a reader of the result should know.
    """

    dataset: Dataset
    table: BodyTable
    samples: tuple[Sample, ...]
    rows: np.ndarray
    what: str
    meshes: bool
    notes: tuple[str, ...] = ()


def held_out(root: Path, layout: str | None = None) -> HeldOut:
    """The held-out part of a mesh set (its "test" bodies), or of a rendered data set with a body table (people of query and gallery).

    Raises:
        UserError: no such data; data whose people's bodies are not known; nobody held out.
    """
    bare = is_mesh_set(root)
    if bare:
        meshes = open_meshes(root)
        dataset, table, what = meshes.dataset, meshes.table, f"mesh set {root}"
        candidates = dataset.split("test")
    else:
        dataset, found = open_dataset(root, layout), open_bodies(root)
        if found is None:
            raise UserError(f"Nothing says which bodies the people of {root} have.", _NO_BODIES)
        table, what = found, f"data set {root}"
        candidates = required_samples(dataset, dataset.protocols)
    samples = tuple(sample for sample in candidates if sample.path in table.rows)
    if not samples:
        raise UserError(f"No picture of {what} shows a body that is held out from training.", _NO_BODIES)
    rows = np.array([table.rows[sample.path] for sample in samples], np.int64)
    lacking = len(candidates) - len(samples)
    notes = (f"{lacking} of {len(candidates)} pictures show nobody whose body is known",) if lacking else ()
    return HeldOut(dataset, table, samples, rows, what, bare, notes)


def data_of(checkpoint: Artifact, say: Say) -> Path:
    """The mesh set that a checkpoint learned shapes from.

    Raises:
        UserError: it names none.
    """
    root = learned_meshes(checkpoint).get("root")
    if not isinstance(root, str):
        raise UserError(
            f"Nothing says which bodies checkpoint {checkpoint.ref} learned from.", "Name a mesh set: reidclip evaluate MESHES."
        )
    say(f"data: {root} (mesh set of checkpoint {checkpoint.ref})")
    return Path(root)


def learned_meshes(checkpoint: Artifact) -> Mapping[str, Any]:
    """What a checkpoint's manifest says of the mesh set it learned from; empty where it says nothing."""
    told = checkpoint.manifest.config.get("meshes")
    return told if isinstance(told, dict) else {}


def notes_on_training(checkpoint: Artifact, data: HeldOut) -> tuple[str, ...]:
    """Whether bodies or pictures that are held out here were trained on after all."""
    if not data.meshes:
        seen = provenance(checkpoint, data.dataset, data.dataset.protocols)
        return tuple(filter(None, [seen.told(data.dataset)]))
    told = learned_meshes(checkpoint)
    if not told or told.get("fingerprint") == data.dataset.fingerprint:
        return ()
    other = f"{data.what} is not the one that was trained on ({told.get('root')})"
    try:
        learned = open_meshes(Path(str(told.get("root"))))
    except ReidclipError:
        return (f"{other}, which is not there: whether bodies of one are in the other is not known",)
    trained = {learned.table.shape[sample.pid - 1].tobytes() for sample in learned.dataset.split("train")}
    known = sum(data.table.shape[row].tobytes() in trained for row in np.unique(data.rows))
    return (f"{other}; {known} of its {len(np.unique(data.rows))} held-out bodies were trained on" if known else other,)
