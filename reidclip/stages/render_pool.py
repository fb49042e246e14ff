"""Rendering spread over processes: people, or bodies, by number, each written whole by whoever takes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event

import cv2

from reidclip.data.interrupts import leave_interrupts_to_the_parent, without_interrupts
from reidclip.errors import WorkError

Write = Callable[[int], int]
"""Number of a person -> number of pictures written; must be picklable."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def render_all(write: Write, missing: list[int], workers: int) -> Iterator[int]:
    """Write the missing people; yields the number of pictures of each as it is done.

    Raises:
        WorkError: a process died.
    """
    if workers <= 1 or len(missing) <= 1:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # pictures are too small for threads to pay
        try:
            for pid in missing:
                yield write(pid)
        finally:
            cv2.setNumThreads(before)
        return
    yield from _in_processes(write, missing, min(workers, len(missing)))


def _in_processes(write: Write, missing: list[int], workers: int) -> Iterator[int]:
    context = get_context("spawn")
    stop = context.Event()
    with _one_thread_each(), ProcessPoolExecutor(workers, context, _start_worker, (stop,)) as pool:
        try:  # around the start too: a Ctrl-C that was held back is raised where holding back ends
            with without_interrupts():
                jobs = [pool.submit(_write_one, write, pid) for pid in missing]
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool as error:
            raise WorkError(
                "A process that renders died.", "Memory may be short: repeat the command with fewer --workers; it goes on where it was."
            ) from error
        except BaseException:  # Ctrl-C, a full disk: people in hand are finished, the others are not begun
            stop.set()  # for those that are handed out already, whom cancelling does not reach
            pool.shutdown(wait=True, cancel_futures=True)  # waits here: leaving the pool would take the cancelling back
            raise


class _Worker:
    """What a process that renders was given at its start."""

    stop: Event | None = None


def _start_worker(stop: Event) -> None:
    leave_interrupts_to_the_parent()
    _Worker.stop = stop
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its pool, whose processes would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_one(write: Write, pid: int) -> int:
    return 0 if _Worker.stop is not None and _Worker.stop.is_set() else write(pid)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let child processes start with one BLAS thread: they fill the cores themselves."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
