"""Label maps made elsewhere as a ``parsing`` artifact: what blurs faces by them has digests to check, and later commands find them."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from reidclip import __version__
from reidclip.artifacts.environment import capture_environment
from reidclip.artifacts.manifest import MANIFEST, DatasetRef, Manifest, PayloadSummary
from reidclip.artifacts.names import safe_name, version_folder
from reidclip.artifacts.store import Artifact, Store
from reidclip.counted import counted
from reidclip.data.face_blur import face_labels
from reidclip.data.images import write_indexed_png
from reidclip.data.infer_label_set import SAY_IT
from reidclip.data.join import roots_of
from reidclip.errors import UserError, WorkError
from reidclip.parallel.processes import is_first
from reidclip.records import Dataset
from reidclip.stages.choose import Say, of_data
from reidclip.stages.label_maps import ELSEWHERE, LabelMaps
from reidclip.stages.parse import TABLE, label_file

KIND = "parsing"
_WAIT_MINUTES = 30.0  # that other processes leave the first one; torchrun ends them all when it fails


def folder_of_maps(named: str) -> Path | None:
    """The folder of label maps that --parsing names; None where it names an artifact, also by its folder."""
    folder = Path(named)
    return folder if folder.is_dir() and not (folder / MANIFEST).is_file() else None


def take_in(folder: Path, dataset: Dataset, store: Store, say: Say) -> Artifact:
    """The ``parsing`` artifact of a folder of label maps: one of these very maps, else one that is written now.

    With a dry store nothing is written, and the artifact is one as it would be. Of several processes the first writes.

    Args:
        folder: maps of all pictures, named as `reidclip.data.map_names` says; ``synth`` writes one as ``parsing/`` beside its pictures.
        dataset: whose pictures they are.
        say: is told what was found or written.

    Raises:
        UserError: maps that are missing, broken, of another size or with unknown labels, or no telling which labels they hold.
    """
    maps = _maps_of(folder, dataset)
    config = {"label_set": maps.label_set.name, "label_set_from": maps.reason, "label_maps_sha256": _digest(maps)}
    count = counted(len(maps.files), "label map", "label maps")
    if (found := _found(config, dataset, store)) is not None:
        say(f"parsing: {found.ref} (the {count} of {folder}, taken in before)")
        return found
    name = safe_name(f"{folder.resolve().name}-{dataset.name}")
    if store.dry:
        planned = _planned(name, config, dataset, store)
        say(f"parsing: {planned.ref} (a run would take in the {count} of {folder})")
        return planned
    if not is_first():
        return _awaited(config, dataset, store)
    with store.create(KIND, name) as draft:
        for path in maps.files:
            target = draft.path / label_file(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_indexed_png(target, maps.read(dataset, path), maps.label_set.palette)
        draft.write(TABLE, json.dumps({"labels": list(maps.label_set.labels), "skipped": []}, indent=1).encode() + b"\n")
        draft.describe(
            config={**config, **maps.record()},
            method=folder.resolve().name,
            dataset=DatasetRef.of(dataset),
            metrics={"pictures": len(maps.files)},
            notes=maps.notes,
        )
    say(f"parsing: {draft.artifact.ref} (wrote it from the {count} of {folder})")
    return draft.artifact


def _maps_of(folder: Path, dataset: Dataset) -> LabelMaps:
    """The maps of all pictures, found but not read; what cannot be inferred here can be named where a copy is made."""
    try:
        maps = LabelMaps.of_folder(folder, dataset)
    except UserError as error:
        remedy = error.remedy
        if remedy == SAY_IT:
            data = " ".join(str(root) for root in roots_of(dataset))
            copy = f"reidclip datasets blur-faces {data} COPY --parsing {folder} --label-set ..."
            remedy = f"Blur a copy, where the label set can be named: {copy}"
        elif "--on-error" in remedy:  # which leaves pictures without masks out, not pictures without faces to blur
            remedy = ELSEWHERE
        raise UserError(error.what, remedy) from error
    face_labels(maps.label_set)  # tells now that none is a face's
    return maps


def _digest(maps: LabelMaps) -> str:
    """As `LabelMaps.record` computes it of maps that were read."""
    try:
        lines = [f"{path}\t{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for path, file in sorted(maps.files.items())]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.", "Mend it, or make the label maps again.") from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _found(config: dict[str, Any], dataset: Dataset, store: Store) -> Artifact | None:
    of_this = of_data(dataset)
    return store.newest(KIND, lambda m: of_this(m) and all(m.config.get(key) == value for key, value in config.items()))


def _awaited(config: dict[str, Any], dataset: Dataset, store: Store) -> Artifact:
    """What the first process writes meanwhile."""
    end = time.monotonic() + 60 * _WAIT_MINUTES
    while (found := _found(config, dataset, store)) is None:
        if time.monotonic() > end:
            raise WorkError("The first process did not take the label maps in.", "See what it says, and start again.")
        time.sleep(0.2)
    return found


def _planned(name: str, config: dict[str, Any], dataset: Dataset, store: Store) -> Artifact:
    """The artifact as a run would number it; its folder is not there."""
    version = 1 + max((artifact.version for artifact in store.list(KIND) if artifact.name == name), default=0)
    manifest = Manifest(
        kind=KIND,
        name=name,
        version=version,
        created=datetime.now(timezone.utc),
        toolkit_version=__version__,
        config=config,
        dataset=DatasetRef.of(dataset),
        environment=capture_environment(None),
        wall_seconds=0,
        payload=PayloadSummary(files=0, bytes=0, table_sha256=""),
    )
    return Artifact(store.root / KIND / name / version_folder(version), manifest, "")
