"""Every picture of a data set opened once: what it is, its digest, or what is wrong with it. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

from reidclip.data.images import PictureFacts, examine_picture
from reidclip.data.interrupts import leave_interrupts_to_the_parent, without_interrupts
from reidclip.errors import WorkError

Progress = Callable[[int, int], None]

_CHUNK = 16  # pictures per task: small against a data set, large against the cost of passing a task
_WORTH_A_PROCESS = 2_000  # pictures; to start a process takes as long as to read about these
_BLOCK = 1 << 20  # bytes read at once for the digest


@dataclass(frozen=True, slots=True)
class Inspected:
    """One file.

    Attributes:
        path: as given.
        size: in bytes, 0 when there is no such file.
        sha256: of its bytes, "" when they cannot be read.
        facts: None when it is no readable picture.
        problem: why not, a clause without the path; "" when it is one.
    """

    path: str
    size: int
    sha256: str
    facts: PictureFacts | None
    problem: str


def default_workers(pictures: int) -> int:
    """Processes that read pictures while the parent only waits: the usable cores, fewer where there is little to read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, pictures // _WORTH_A_PROCESS))


def inspect_pictures(
    root: Path, paths: Sequence[str], workers: int | None = None, progress: Progress = lambda done, total: None
) -> list[Inspected]:
    """Read and decode all of every file; bad ones are part of the result.

    Args:
        root: folder that the paths are relative to.
        paths: files, in the order wanted.
        workers: processes; 0 and 1 read in this one; None takes `default_workers`.
        progress: is told of pictures done and in total.

    Raises:
        WorkError: a worker process died.
    """
    chunks = [tuple(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK)]
    count = min(default_workers(len(paths)) if workers is None else workers, len(chunks))
    found: list[list[Inspected]] = [[] for _ in chunks]
    done = 0
    for number, inspected in _in_processes(root, chunks, count) if count > 1 else _here(root, chunks):
        found[number] = inspected
        done += len(inspected)
        progress(done, len(paths))
    return [one for chunk in found for one in chunk]


def inspect_picture(root: Path, path: str) -> Inspected:
    """Read and decode all of one file."""
    file = root / path
    try:
        digest, size = _digest(file)
    except OSError as error:
        return Inspected(path, 0, "", None, "missing" if isinstance(error, FileNotFoundError) else error.strerror or str(error))
    if size == 0:
        return Inspected(path, 0, digest, None, "empty (0 bytes)")
    try:
        return Inspected(path, size, digest, examine_picture(file), "")
    except WorkError as error:
        return Inspected(path, size, digest, None, error.what.removeprefix(f"{file} is ").rstrip("."))
    except Exception as error:  # the codecs may raise anything; one file must not end the inspection of the others
        return Inspected(path, size, digest, None, f"not a readable picture ({type(error).__name__}: {error})")


def _digest(file: Path) -> tuple[str, int]:
    """SHA-256 and size in bytes; in blocks, since the file may be anything."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _inspect_chunk(root: Path, paths: tuple[str, ...]) -> list[Inspected]:
    return [inspect_picture(root, path) for path in paths]


def _here(root: Path, chunks: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, list[Inspected]]]:
    for number, chunk in enumerate(chunks):
        yield number, _inspect_chunk(root, chunk)


def _in_processes(root: Path, chunks: Sequence[tuple[str, ...]], workers: int) -> Iterator[tuple[int, list[Inspected]]]:
    """Chunks by number, as they are done. Processes are spawned: a fork would copy the threads of a progress bar half."""
    others = set(active_children())
    with ProcessPoolExecutor(workers, get_context("spawn"), leave_interrupts_to_the_parent) as pool:
        try:  # around the start too: a Ctrl-C that was held back is raised where holding back ends
            with without_interrupts():
                jobs = {pool.submit(_inspect_chunk, root, chunk): number for number, chunk in enumerate(chunks)}
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BrokenProcessPool as error:
            raise WorkError(
                "A process that reads pictures died.", "Memory may be short: run with fewer --workers, or --workers 1."
            ) from error
        except BaseException:  # Ctrl-C: they only read, so nothing is lost by ending them, also those that still import
            for process in set(active_children()) - others:
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)  # waits here: leaving the pool would take the cancelling back
            raise
