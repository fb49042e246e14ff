"""`reidclip parse`: pictures -> human-parsing label maps, artifact kind ``parsing``.

Payload: ``labels/<relative path>.png`` (8-bit indexed, SCHP's palette) and ``labels.json`` (index -> name, pictures left out).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidclip import registry
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.files import mirrored
from reidclip.data.images import UInt8, read_indexed_png, write_indexed_png
from reidclip.data.label_sets import palette
from reidclip.errors import WorkError
from reidclip.interfaces import Parser, ParserSession
from reidclip.records import Dataset
from reidclip.settings import Settings
from reidclip.stages.pictures import OnError, in_batches, picture_paths, read_pictures

GROUP = "reidclip.parsers"
LABELS = "labels"
TABLE = "labels.json"

Progress = Callable[[int, int], None]


def label_file(path: str) -> str:
    """Payload path of the label map of a picture (relative path)."""
    return f"{LABELS}/{mirrored(path)}"


def default_name(session_name: str, dataset: Dataset) -> str:
    """``schp-tiny-prcc``: what ran, and on what."""
    return safe_name(f"{session_name}-{dataset.name}")


def open_parser(name: str, settings: Settings | None = None, device: torch.device | None = None) -> ParserSession:
    """A registered parser with its weights loaded; default settings, CPU.

    Raises:
        UserError: no such parser, or weights that are missing or do not fit.
    """
    parser: Parser = registry.get(GROUP, name)
    return parser.open(settings or parser.settings(), device or torch.device("cpu"))


def parse(
    dataset: Dataset,
    session: ParserSession,
    store: Store,
    *,
    settings: Settings,
    name: str | None = None,
    device: torch.device | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress = lambda done, total: None,
) -> Artifact:
    """Parse every picture of a data set.

    An interrupted run of the same data, parser and settings is taken up again: label maps that were finished are kept.

    Args:
        dataset: pictures; labels are not needed.
        session: a loaded parser, see `open_parser`.
        store: where the artifact goes.
        settings: the parser's settings, for the manifest; the session's or the settings' ``batch_size`` is honoured when there is one.
        name: artifact name; None makes it from parser and data set.
        device: for the manifest.
        workers: processes that decode pictures; None takes the machine's default.
        on_error: "fail" stops at a broken picture, "skip" leaves it out and notes it.
        progress: told (done, total).

    Returns:
        the ``parsing`` artifact; its metrics count pictures, resumed and skipped ones and give each label's share of the pixels.

    Raises:
        UserError: two pictures that would share a label map, a store that cannot be written.
        WorkError: a broken picture, a full disk, a parser that breaks its contract.
    """
    paths = picture_paths(dataset)
    tally = _Tally(session.labels)
    config = {"parser": session.name, "on_error": on_error, **settings.model_dump(mode="json")}
    with store.create("parsing", name or default_name(session.name, dataset), resume_key=_resume_key(dataset, session, config)) as draft:
        done = _finished(draft, paths, tally)
        todo = [path for path in paths if path not in done]
        progress(len(done), len(paths))
        began = time.perf_counter()
        size = int(getattr(session, "batch_size", None) or getattr(settings, "batch_size", None) or 32)
        for batch in in_batches(read_pictures(dataset.root, todo, workers, on_error), size):
            _parse_batch(session, batch, draft, tally)
            progress(tally.pictures + len(tally.skipped), len(paths))
        seconds = time.perf_counter() - began
        if tally.pictures == 0:
            raise WorkError(
                f"None of the {len(paths)} pictures in {dataset.root} could be read.", "Check the first one with an image viewer."
            )
        table = {"labels": list(session.labels), "skipped": sorted(tally.skipped)}
        draft.write(TABLE, json.dumps(table, indent=1).encode() + b"\n")
        draft.describe(
            config=config,
            method=session.name,
            plugin_version=session.version,
            dataset=DatasetRef.of(dataset),
            metrics={**tally.metrics(), "resumed": len(done), "pictures_per_second": round(len(todo) / max(seconds, 1e-9), 2)},
            notes=tally.notes(),
            device=device,
        )
    return draft.artifact


class _Tally:
    """What was found in the label maps so far."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.pixels = np.zeros(len(self.labels), np.int64)
        self.empty: list[str] = []
        self.skipped: list[str] = []
        self.pictures = 0

    def add(self, path: str, labels: UInt8) -> None:
        counts = np.bincount(labels.ravel(), minlength=len(self.labels))
        self.pixels += counts
        self.pictures += 1
        if counts[0] == labels.size:
            self.empty.append(path)

    def metrics(self) -> dict[str, Any]:
        share = self.pixels / max(int(self.pixels.sum()), 1)
        return {
            "pictures": self.pictures,
            "skipped": len(self.skipped),
            "without_person": len(self.empty),
            "label_share": {name: round(float(value), 6) for name, value in zip(self.labels, share, strict=True)},
        }

    def notes(self) -> list[str]:
        found = []
        if self.skipped:
            found.append(f"{len(self.skipped)} broken pictures were skipped; the first is {self.skipped[0]}.")
        if self.empty:
            found.append(f"In {len(self.empty)} pictures nobody was found; the first is {self.empty[0]}.")
        return found


def _resume_key(dataset: Dataset, session: ParserSession, config: Mapping[str, Any]) -> str:
    parts = [dataset.fingerprint, session.name, session.version, config]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _finished(draft: Draft, paths: Sequence[str], tally: _Tally) -> set[str]:
    """Pictures whose label maps an interrupted run left whole; they are counted. Damaged maps are made again."""
    done = set()
    for path in paths:
        if label_file(path) in draft.existing:
            with suppress(WorkError):
                labels, _ = read_indexed_png(draft.path / label_file(path))
                if labels.size and labels.max() < len(tally.labels):
                    tally.add(path, labels)
                    done.add(path)
    return done


def _parse_batch(session: ParserSession, batch: Sequence[tuple[str, UInt8 | None]], draft: Draft, tally: _Tally) -> None:
    tally.skipped += [path for path, picture in batch if picture is None]
    readable = [(path, picture) for path, picture in batch if picture is not None]
    maps = session([picture for _, picture in readable]) if readable else []
    for (path, picture), labels in _matched(session, readable, maps):
        del picture
        tally.add(path, labels)
        _write(draft.path / label_file(path), labels, len(session.labels))


def _matched(
    session: ParserSession, batch: Sequence[tuple[str, UInt8]], maps: Sequence[UInt8]
) -> Iterator[tuple[tuple[str, UInt8], UInt8]]:
    """Pictures with their label maps, each checked against the parser's contract."""
    remedy = "Report it to the authors of the parser."
    if len(maps) != len(batch):
        raise WorkError(f"Parser '{session.name}' gave {len(maps)} label maps for {len(batch)} pictures.", remedy)
    for (path, picture), labels in zip(batch, maps, strict=True):
        if labels.dtype != np.uint8 or labels.shape != picture.shape[:2] or int(labels.max(initial=0)) >= len(session.labels):
            raise WorkError(f"Parser '{session.name}' gave no valid label map for {path}: {labels.dtype} {labels.shape}.", remedy)
        yield (path, picture), labels


def _write(path: Path, labels: UInt8, count: int) -> None:
    """Written beside and renamed, so that a kill leaves no half label map behind for the next run to keep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    write_indexed_png(part, labels, palette(count))
    os.replace(part, path)
