"""`reidclip parse`: pictures -> human-parsing label maps, artifact kind ``parsing``.

Payload: ``labels/<relative path>.png`` (8-bit indexed, SCHP's palette) and ``labels.json`` (index -> name, pictures left out).

Pictures come in batches of one size that follow from their order alone. A batch is parsed whole or, when all its maps are there, not at
all; several processes take turns at batches. So the maps are the same after a kill, and for any number of processes, to the last byte
(where torch uses as many threads: torchrun gives each process one, unless OMP_NUM_THREADS says otherwise).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidclip import registry
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import UInt8
from reidclip.data.join import place_of
from reidclip.errors import WorkError
from reidclip.interfaces import Parser, ParserSession
from reidclip.parallel.processes import from_all, from_first, is_first, part_of, rank, total_of
from reidclip.records import Dataset
from reidclip.settings import Settings
from reidclip.stages.finished_maps import LABELS, MapWriter, find_finished, label_file, pixels_of, remove_journals
from reidclip.stages.parse_tally import Tally
from reidclip.stages.pictures import OnError, in_batches, picture_paths, read_pictures

__all__ = ["GROUP", "LABELS", "TABLE", "Progress", "default_name", "label_file", "open_parser", "parse"]

GROUP = "reidclip.parsers"
TABLE = "labels.json"
_TURNS = 4  # batches after which several processes look whether all of them still live

Progress = Callable[[int, int], None]


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

    An interrupted run of the same data, parser and settings is taken up again: label maps that were finished are kept. Several
    processes (`reidclip.parallel.processes.joined`) share the batches; the first of them owns the artifact, all of them get it.

    Args:
        dataset: pictures; labels are not needed.
        session: a loaded parser, see `open_parser`.
        store: where the artifact goes.
        settings: the parser's settings, for the manifest; the session's or the settings' ``batch_size`` is honoured when there is one.
        name: artifact name; None makes it from parser and data set.
        device: for the manifest.
        workers: processes that decode pictures; None takes the machine's default.
        on_error: "fail" stops at a broken picture, "skip" leaves it out and notes it.
        progress: told (done, total) of the pictures of all processes; of what the others did it hears every few batches.

    Returns:
        the ``parsing`` artifact; its metrics count pictures, resumed and skipped ones and give each label's share of the pixels.

    Raises:
        UserError: two pictures that would share a label map, a store that cannot be written.
        WorkError: a broken picture, a full disk, a parser that breaks its contract, another process that died.
    """
    paths = picture_paths(dataset)
    name = name or default_name(session.name, dataset)
    config = {"parser": session.name, "on_error": on_error, **settings.model_dump(mode="json")}
    size = int(getattr(session, "batch_size", None) or getattr(settings, "batch_size", None) or 32)
    with ExitStack() as stack:
        draft = None
        if is_first():
            draft = stack.enter_context(store.create("parsing", name, resume_key=_resume_key(dataset, session, config)))
        share = _Share.of(_folder(draft), paths, size, session)
        began = time.perf_counter()
        share.parse(session, read_pictures(dataset, share.todo, workers, on_error), progress)
        tally = Tally.together(from_all(share.tally))
        resumed, parsed = (sum(counts) for counts in zip(*from_all((share.resumed, len(share.todo))), strict=True))
        seconds = time.perf_counter() - began
        if tally.pictures == 0:
            raise WorkError(
                f"None of the {len(paths)} pictures in {place_of(dataset)} could be read.", "Check the first one with an image viewer."
            )
        if draft is not None:
            table = {"labels": list(session.labels), "skipped": sorted(tally.skipped)}
            draft.write(TABLE, json.dumps(table, indent=1).encode() + b"\n")
            draft.describe(
                config=config,
                method=session.name,
                plugin_version=session.version,
                dataset=DatasetRef.of(dataset),
                metrics={**tally.metrics(), "resumed": resumed, "pictures_per_second": round(parsed / max(seconds, 1e-9), 2)},
                notes=tally.notes(),
                device=device,
            )
            remove_journals(draft.path)
    return store.open(from_first(None if draft is None else draft.artifact.ref), kind="parsing")


def _folder(draft: Draft | None) -> Path:
    """Where all processes write: the first one's draft."""
    folder = Path(from_first(None if draft is None else str(draft.path.absolute())))
    if not folder.is_dir():
        raise WorkError(f"There is no {folder} here, where the first process writes.", "Put the store on a disk that all machines share.")
    return folder


@dataclass
class _Share:
    """This process's part of the work.

    Attributes:
        folder: of the artifact in the making.
        size: pictures in a batch.
        todo: pictures of its batches that are not done, batch after batch.
        resumed: pictures of its batches that an interrupted run did.
        total: pictures of all processes.
        turns: how often the processes look after each other.
    """

    folder: Path
    size: int
    todo: Sequence[str]
    resumed: int
    total: int
    turns: int
    tally: Tally

    @classmethod
    def of(cls, folder: Path, paths: Sequence[str], size: int, session: ParserSession) -> _Share:
        """Whole batches, every so many-th of all; what is finished in them is counted and left out."""
        batches = part_of([paths[start : start + size] for start in range(0, len(paths), size)])
        finished = find_finished(folder, [path for batch in batches for path in batch], len(session.labels))
        todo = [batch for batch in batches if not all(path in finished for path in batch)]
        tally = Tally(session.labels)
        for path in finished.keys() - {path for batch in todo for path in batch}:
            tally.add(path, finished[path])
        # Known to all before the first of them writes: nobody takes for finished what another process of this run has made.
        turns = max(-(-count // _TURNS) for count in from_all(len(todo)))
        return cls(folder, size, [path for batch in todo for path in batch], tally.pictures, len(paths), turns, tally)

    def parse(self, session: ParserSession, pictures: Iterator[tuple[str, UInt8 | None]], progress: Progress) -> None:
        """Parse what is to do, and write it."""
        done, looked = self.resumed, 0
        others = total_of(done) - done
        progress(done + others, self.total)
        with MapWriter(self.folder, len(session.labels), rank()) as writer:
            for batch in in_batches(pictures, self.size):
                self._parse_batch(session, batch, writer)
                done += len(batch)
                progress(done + others, self.total)
                while looked < (done - self.resumed) // (_TURNS * self.size):
                    looked += 1
                    others = total_of(done) - done
        for _ in range(looked, self.turns):  # those who have less to do wait for the others
            progress(total_of(done), self.total)

    def _parse_batch(self, session: ParserSession, batch: Sequence[tuple[str, UInt8 | None]], writer: MapWriter) -> None:
        self.tally.skipped |= {path for path, picture in batch if picture is None}
        readable = [(path, picture) for path, picture in batch if picture is not None]
        maps = session([picture for _, picture in readable]) if readable else []
        for path, labels in _matched(session, readable, maps):
            self.tally.add(path, pixels_of(labels, len(session.labels)))
            writer.put(path, labels)


def _resume_key(dataset: Dataset, session: ParserSession, config: Mapping[str, Any]) -> str:
    parts = [dataset.fingerprint, session.name, session.version, config]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _matched(session: ParserSession, batch: Sequence[tuple[str, UInt8]], maps: Sequence[UInt8]) -> Iterator[tuple[str, UInt8]]:
    """Relative paths with their label maps, each checked against the parser's contract."""
    remedy = "Report it to the authors of the parser."
    if len(maps) != len(batch):
        raise WorkError(f"Parser '{session.name}' gave {len(maps)} label maps for {len(batch)} pictures.", remedy)
    for (path, picture), labels in zip(batch, maps, strict=True):
        if labels.dtype != np.uint8 or labels.shape != picture.shape[:2] or int(labels.max(initial=0)) >= len(session.labels):
            raise WorkError(f"Parser '{session.name}' gave no valid label map for {path}: {labels.dtype} {labels.shape}.", remedy)
        yield path, labels
