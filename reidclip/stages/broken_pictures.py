"""Broken training pictures: found before the first step and left out, when the caller asks for it (--on-error skip)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reidclip.artifacts.durable import write_durable
from reidclip.data.at_work import at
from reidclip.data.images import read_picture
from reidclip.data.workers import default_workers, in_order
from reidclip.errors import UserError, WorkError
from reidclip.parallel.processes import from_first, is_first
from reidclip.records import Dataset, Sample

_FILE = "broken.json"
_TOLD_EVERY = 50  # pictures between reports of progress


def without_broken(
    dataset: Dataset,
    samples: Sequence[Sample],
    folder: Path,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Sample, ...]:
    """The samples whose pictures can be decoded, tracklets with those of their frames that can.

    Every picture is read once per run; what was found is kept in the run's folder.

    A run goes on with the pictures that it began with: indices, and so its batches, would otherwise shift under it.

    Args:
        dataset, samples: what the training reads.
        folder: of the run, where what is broken is written to.
        workers: as in `reidclip.data.loader.Loader`.
        progress: (what, done, total).

    Raises:
        UserError: an identity loses all of its pictures.
    """
    pictures = [path for s in samples for path in s.pictures]
    found = from_first(find_broken(dataset, pictures, folder, workers, progress) if is_first() else None)
    kept = tuple(
        s.with_frames(tuple(frame for frame in s.frames if frame not in found))
        for s in samples
        if any(path not in found for path in s.pictures)
    )
    lost = sorted({s.pid for s in samples} - {s.pid for s in kept})
    if lost:
        first = next(s.path for s in samples if s.pid == lost[0])
        raise UserError(
            f"All training pictures of {len(lost)} identities are broken; the first is {lost[0]} ({first}).",
            "Replace them by intact copies, or take the identities out of the data set.",
        )
    return kept


def broken_in(folder: Path) -> dict[str, str]:
    """What `without_broken` found for the run of this folder: relative path -> what is wrong; empty when it did not look."""
    path = folder / _FILE
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def find_broken(
    dataset: Dataset,
    pictures: Sequence[str],
    folder: Path,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Mapping[str, str]:
    """Pictures that cannot be decoded, by relative path -> what is wrong; read once per run and kept in its folder."""
    if not (folder / _FILE).is_file():
        paths = [dataset.file(path) for path in pictures]
        found = {}
        for done, what in enumerate(in_order(_what_is_wrong, paths, default_workers() if workers is None else workers), start=1):
            if what:
                found[pictures[done - 1]] = what
            if progress and (done % _TOLD_EVERY == 0 or done == len(paths)):
                progress("checking pictures", done, len(paths))
        write_durable(folder / _FILE, json.dumps(found, indent=1).encode())
    return broken_in(folder)


def _what_is_wrong(path: Path) -> str:
    at(path)
    try:
        read_picture(path)
    except WorkError as error:
        return error.what
    return ""
