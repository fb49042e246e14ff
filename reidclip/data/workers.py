"""Worker processes that read pictures: one piece of work per key, results in the keys' order, whoever did them."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import re
import signal
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from reidclip.data.at_work import SLOT_BYTES, sit_at, slot_of
from reidclip.data.memory import processes_here
from reidclip.errors import ReidclipError, WorkError

K = TypeVar("K")
T = TypeVar("T")


def default_workers() -> int:
    """Processes that decode pictures: the usable cores less one, at most 8; none at all on one or two cores.

    The processes of one run on this machine divide the cores among them.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = usable // processes_here()
    return 0 if cores <= 2 else min(8, cores - 1)


def forks() -> bool:
    """Whether worker processes inherit this one's memory (Linux), or get copies of what is sent to them."""
    return multiprocessing.get_context().get_start_method() == "fork"


class Workers(Generic[K, T]):
    """Processes that do one kind of work, call after call: to start them takes longer than a small epoch.

    Args:
        work: a key -> its result; what it raises as `ReidclipError` in a worker is raised by `run`.
        count: processes; 0 does the work in this one.
        pinned: tensors from processes lie in memory that a GPU can copy from while it computes.
    """

    def __init__(self, work: Callable[[K], T], count: int, pinned: bool = False) -> None:
        self._work, self._count, self._pinned = work, count, pinned
        self._keys: list[K] = []
        self._started = 0
        self._loaders: list[DataLoader[Any]] = []  # the one at work, or none
        weakref.finalize(self, _end, self._loaders)  # also when the program ends, for instance by Ctrl-C in the middle of a run
        self._board: mmap.mmap | None = None
        self._runs = 0

    def run(self, keys: Sequence[K]) -> Iterator[T]:
        """Results in the order of the keys. A run that was left before its end is over when the next one begins.

        Raises:
            WorkError: the work failed, or a process died; names the file it was reading.
        """
        self._runs += 1
        run = self._runs
        # Closed at once, for a traceback would keep worker processes waiting: to join them later takes torch seconds.
        with closing(self._here(keys) if not self._count or not keys else self._by_workers(keys)) as items:
            for item in items:
                if isinstance(item, _Failure):
                    self.close()
                    raise WorkError(item.what, item.remedy)
                yield item
                if run != self._runs:
                    raise RuntimeError("another run of these workers has begun")

    def close(self) -> None:
        """End the processes; the next run starts new ones."""
        _end(self._loaders)

    def _here(self, keys: Sequence[K]) -> Generator[Any, None, None]:
        return (_done(self._work, key) for key in keys)

    def _by_workers(self, keys: Sequence[K]) -> Generator[Any, None, None]:
        self._keys[:] = keys
        wanted = min(self._count, len(keys))
        if not self._loaders or self._started < wanted:  # the first run may have been the short rest of an epoch
            self.close()
            self._started = wanted
            self._loaders.append(self._start(wanted))
        try:
            yield from self._loaders[0]
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            self.close()
            raise self._death(str(error).split("\n")[0]) from error

    def _start(self, count: int) -> DataLoader[Any]:
        self._board = mmap.mmap(-1, SLOT_BYTES * count) if forks() else None
        return DataLoader(
            _Work(self._work),
            sampler=self._keys,  # read anew for every run
            batch_size=None,
            num_workers=count,
            persistent_workers=True,
            collate_fn=_unchanged,
            worker_init_fn=partial(_begin, self._board),
            pin_memory=self._pinned,
            generator=torch.Generator(),  # the loader draws a seed for its workers; not from the run's own generator
        )

    def _death(self, reason: str) -> WorkError:
        pids = {int(pid) for group in re.findall(r"pid(?:\(s\))? ([\d, ]+)", reason) for pid in re.findall(r"\d+", group)}
        slots = [slot_of(self._board, number) for number in range(self._started)] if self._board else []
        files = sorted({file for pid, file in slots if pid in pids and file})
        if not files:
            return WorkError(
                f"A process that reads pictures died: {reason}", "Memory may be short: run with fewer --workers, or --workers 0."
            )
        return WorkError(
            f"A process that reads pictures died while it was at {' or '.join(files)}: {reason}",
            "Memory may be short (run with fewer --workers); if it dies there again, replace that file or take it out of the data set.",
        )


def in_order(work: Callable[[K], T], keys: Sequence[K], count: int) -> Iterator[T]:
    """The work on every key, once; the processes end with it. Raises as `Workers.run`."""
    workers = Workers(work, count)
    try:
        yield from workers.run(keys)
    finally:
        workers.close()


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker: exceptions themselves lose their two parts in the crossing."""

    what: str
    remedy: str


class _Work(TorchDataset[Any]):
    """What a worker process holds."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __getitem__(self, key: Any) -> Any:
        return _done(self.work, key)


def _done(work: Callable[[K], T], key: K) -> T | _Failure:
    try:
        return work(key)
    except ReidclipError as error:
        return _Failure(error.what, error.remedy)


def _end(loaders: list[DataLoader[Any]]) -> None:
    """End a loader's processes now: torch ends them when nobody refers to them any more, and a traceback may for long."""
    while loaders:
        iterator = loaders.pop()._iterator
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]


def _begin(board: mmap.mmap | None, worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the parent still waits for the batch in hand before it keeps its state and stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the parent ends a worker that hangs
    if board is not None:
        sit_at(board, worker)


def _unchanged(item: Any) -> Any:
    return item
