"""From index lists to batches of uint8 tensors: labels, random geometry and worker processes.

    source = ImageSource.of(dataset, samples, masks=folder_of_masks)
    for batch in fetch(source, samples, plan, transform=training(), seed=0, epoch=3, labels=labels):
        views = finish(batch, NORMALISATIONS["half"], derived=("shield", "clothes"))    # reidclip.data.transforms

What a batch holds does not depend on the number of workers nor on where in the epoch one starts: the random choices for a
picture come from (seed, epoch, index, how often the index occurred before in this batch).
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from reidclip.data.images import UInt8, read_picture
from reidclip.data.samplers import part_of_batch
from reidclip.data.source import ImageSource
from reidclip.data.transforms import Transform, apply, draw
from reidclip.errors import ReidclipError, WorkError
from reidclip.records import LabelMap, Sample

__all__ = ["ImageSource", "default_workers", "fetch", "iterate_pictures"]

_GEOMETRY_STREAM = 1  # keeps the pictures' generators apart from the epoch's (samplers.epoch_generator)


def default_workers() -> int:
    """Processes that decode pictures: the usable cores less one, at most 8; none at all on one or two cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if cores <= 2 else min(8, cores - 1)


def fetch(
    source: ImageSource,
    samples: Sequence[Sample],
    batches: Sequence[Sequence[int]],
    *,
    transform: Transform,
    seed: int = 0,
    epoch: int = 0,
    workers: int | None = None,
    labels: LabelMap | None = None,
    part: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Tensor]]:
    """Yield one batch per index list, in order. B pictures of H x W each:

    =========== ================= =======================================================================
    image       uint8 (B,3,H,W)   RGB after resize, flip, pad and crop; not normalised, nothing erased yet
    keep        uint8 (B,H,W)     1 = not clothes, same geometry; only if the source has masks
    erase       int64 (B,4)       box to erase: top, left, height, width; zeros when there is none
    erase_seed  int64 (B,)        seed of the noise that fills the box
    pid         int64 (B,)        training label of the identity if ``labels`` are given, else the data set's number
    clothes     int64 (B,)        the same for clothes
    camid       int64 (B,)        camera key of the filter rules
    index       int64 (B,)        index into ``samples``
    =========== ================= =======================================================================

    Args:
        source: pictures and masks.
        samples: as many as the source has pictures; index i means the same in both.
        batches: index lists, possibly only the rest of an epoch.
        transform: what happens to each picture.
        seed: of the random geometry.
        epoch: of the random geometry.
        workers: worker processes; 0 reads in this process; None takes `default_workers`.
        labels: dense training labels.
        part: (number, of how many): only that consecutive part of every batch is read, as if the whole batch had been.

    Raises:
        ValueError: source and samples of different length.
        WorkError: a broken picture or mask, whichever process met it; names the file.
    """
    if len(source) != len(samples):
        raise ValueError(f"{len(source)} pictures but {len(samples)} samples")
    dataset = _Batches(source, _Labels.of(samples, labels), tuple(tuple(b) for b in batches), transform, seed, epoch, part)
    count = 0 if source.fits_cache(transform) else _worker_count(workers, len(batches))
    return _iterate(dataset, count)


def iterate_pictures(paths: Sequence[Path], workers: int | None = None) -> Iterator[UInt8]:
    """Decode pictures in order at their own sizes, (H, W, 3) uint8 each, reading ahead in worker processes.

    Args:
        paths: files, in the order wanted.
        workers: as in `fetch`.

    Raises:
        WorkError: a broken picture; names the file.
    """
    for picture in _iterate(_Pictures(tuple(paths)), _worker_count(workers, len(paths))):
        yield picture.numpy()


@dataclass(frozen=True)
class _Labels:
    """What is known of every sample, as columns."""

    pid: np.ndarray
    clothes: np.ndarray
    camid: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[Sample], labels: LabelMap | None) -> _Labels:
        pids = [s.pid if labels is None else labels.pids[s.pid] for s in samples]
        clothes = [s.clothes_id if labels is None else labels.clothes[s.clothes_id] for s in samples]
        return cls(np.array(pids, np.int64), np.array(clothes, np.int64), np.array([s.camid for s in samples], np.int64))


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker: exceptions themselves lose their two parts in the crossing."""

    what: str
    remedy: str


class _Batches(TorchDataset[Any]):
    """Item k is the whole k-th batch, so that one worker does all of it."""

    def __init__(
        self,
        source: ImageSource,
        labels: _Labels,
        batches: tuple[tuple[int, ...], ...],
        transform: Transform,
        seed: int,
        epoch: int,
        part: tuple[int, int],
    ) -> None:
        self.source, self.labels, self.batches = source, labels, batches
        self.transform, self.seed, self.epoch, self.part = transform, seed, epoch, part

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> dict[str, Tensor] | _Failure:
        try:
            return self._build(self.batches[k])
        except ReidclipError as error:
            return _Failure(error.what, error.remedy)

    def _build(self, whole: tuple[int, ...]) -> dict[str, Tensor]:
        t = self.transform
        own = part_of_batch(len(whole), *self.part)
        indices, seen = whole[own], Counter(whole[: own.start])  # a picture that comes twice gets two geometries, whoever reads it
        image = np.empty((len(indices), 3, t.height, t.width), np.uint8)
        keep = np.empty((len(indices), t.height, t.width), np.uint8) if self.source.has_masks else None
        erase = np.zeros((len(indices), 4), np.int64)
        erase_seed = np.zeros(len(indices), np.int64)
        for row, index in enumerate(indices):
            geometry = draw(t, self._generator(index, seen[index]))
            seen[index] += 1
            picture, mask = apply(t, geometry, *self.source.resized(index, t))
            image[row], erase[row], erase_seed[row] = picture, geometry.erase, geometry.erase_seed
            if keep is not None and mask is not None:
                keep[row] = mask
        index_column = np.array(indices, np.int64)
        columns = {"image": image, "erase": erase, "erase_seed": erase_seed, "index": index_column}
        columns.update({name: getattr(self.labels, name)[index_column] for name in ("pid", "clothes", "camid")})
        if keep is not None:
            columns["keep"] = keep
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def _generator(self, index: int, occurrence: int) -> np.random.Generator:
        key = (_GEOMETRY_STREAM, index, occurrence)
        return np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch], spawn_key=key))


class _Pictures(TorchDataset[Any]):
    """Item k is the k-th picture at its own size."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, k: int) -> Tensor | _Failure:
        try:
            return torch.from_numpy(read_picture(self.paths[k]))
        except ReidclipError as error:
            return _Failure(error.what, error.remedy)


def _worker_count(workers: int | None, items: int) -> int:
    return min(default_workers() if workers is None else workers, items)


def _iterate(dataset: _Batches | _Pictures, workers: int) -> Iterator[Any]:
    """Items of a dataset in order, by ``workers`` processes or in this one."""
    items = (dataset[k] for k in range(len(dataset))) if workers == 0 else _from_workers(dataset, workers)
    # Closed at once, for a traceback would keep worker processes waiting: to join them later takes torch seconds.
    with closing(items):
        for item in items:
            if isinstance(item, _Failure):
                raise WorkError(item.what, item.remedy)
            yield item


def _from_workers(dataset: _Batches | _Pictures, workers: int) -> Generator[Any, None, None]:
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_the_parent,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # the loader draws a seed for its workers; not from the run's own generator
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).split("\n")[0]
        raise WorkError(
            f"A process that reads pictures died: {reason}", "Memory may be short: run with fewer --workers, or --workers 0."
        ) from error


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the parent still waits for the batch in hand before it keeps its state and stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the parent ends a worker that hangs


def _unchanged(item: Any) -> Any:
    return item
