"""Render a data set of people whose identity does not depend on their clothes: the library twin of ``reidclip synth``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2

from reidclip.errors import UserError, nearest
from reidclip.synth import writer
from reidclip.synth.layouts import LAYOUTS, Plan

Progress = Callable[[int, int], None]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class SynthSummary:
    """What a call of `synth` did.

    Attributes:
        out: the data set.
        layout: its tree.
        identities, pictures: totals in the data set.
        rendered: pictures rendered by this call; the others were there already.
        seconds: wall time of this call.
    """

    out: Path
    layout: str
    identities: int
    pictures: int
    rendered: int
    seconds: float


def plan_synth(
    *,
    layout: str = "prcc",
    ids: int = 60,
    test_ids: int | None = None,
    outfits: int = 2,
    images_per_camera: int = 4,
    seed: int = 0,
    size: tuple[int, int] = (256, 128),
    control: bool = False,
    val_images: int = 0,
) -> Plan:
    """Check the parameters of a data set; see `synth` for their meaning.

    Raises:
        UserError: a value out of range or an unknown layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"Unknown layout '{layout}'.", nearest(layout, LAYOUTS))
    test = (ids // 3 if layout == "prcc" else 0) if test_ids is None else test_ids
    least = 2 if layout == "prcc" else 0
    height, width = size
    rules = (
        (ids >= 1, f"ids must be at least 1, not {ids}."),
        (0 <= test <= ids, f"test_ids must lie between 0 and ids ({ids}), not {test}."),
        (outfits >= least, f"outfits must be at least {least} for the layout {layout}, not {outfits}."),
        (1 <= images_per_camera <= 999, f"images_per_camera must lie between 1 and 999, not {images_per_camera}."),
        (0 <= val_images <= 999 - images_per_camera, f"val_images must lie between 0 and {999 - images_per_camera}, not {val_images}."),
        (seed >= 0, f"seed must not be negative, not {seed}."),
        (32 <= height <= 2048 and 16 <= width <= 2048, f"size must lie between 32x16 and 2048x2048, not {height}x{width}."),
    )
    for good, what in rules:
        if not good:
            raise UserError(what, "Change that option.")
    return Plan(layout, ids, test, outfits, images_per_camera, val_images, seed, height, width, control)


def synth(
    out: Path,
    *,
    layout: str = "prcc",
    ids: int = 60,
    test_ids: int | None = None,
    outfits: int = 2,
    images_per_camera: int = 4,
    seed: int = 0,
    workers: int = 1,
    size: tuple[int, int] = (256, 128),
    control: bool = False,
    val_images: int = 0,
    progress: Progress | None = None,
) -> SynthSummary:
    """Render a data set, or finish one that was interrupted.

    Args:
        out: folder to write; new, empty, or an unfinished set with the same parameters.
        layout: ``prcc`` (cameras A, B, C; training and test people) or ``pairs`` (flat, for pre-training).
        ids: number of people.
        test_ids: how many of them are for testing; a third by default (prcc).
        outfits: outfits per person. prcc: the first is worn under A and B, the others in turn under C.
            pairs: 0 draws a new outfit for every picture.
        images_per_camera: pictures per person and camera.
        seed: the same seed and parameters give the same bytes, whatever the number of workers.
        workers: processes.
        size: height and width in pixels.
        control: add ``rgb/test/C_same``: camera C in the clothes of camera A (prcc).
        val_images: held-out pictures per training person and camera (prcc).
        progress: called with (pictures done, pictures in total).

    Raises:
        UserError: wrong parameters, or a folder that holds something else.
    """
    start = time.monotonic()
    plan = plan_synth(
        layout=layout, ids=ids, test_ids=test_ids, outfits=outfits, images_per_camera=images_per_camera, seed=seed, size=size,
        control=control, val_images=val_images,
    )  # fmt: skip
    writer.claim(out, plan)
    missing = writer.pending(out, plan)
    counts = {pid: len(LAYOUTS[plan.layout].shots(plan, pid)) for pid in range(1, plan.ids + 1)}
    total, rendered = sum(counts.values()), 0
    present = total - sum(counts[p] for p in missing)
    for count in _render(out, plan, missing, workers):
        rendered += count
        if progress is not None:
            progress(present + rendered, total)
    pictures = writer.join(out, plan)
    return SynthSummary(out, plan.layout, plan.ids, pictures, rendered, time.monotonic() - start)


def _render(out: Path, plan: Plan, missing: list[int], workers: int) -> Iterator[int]:
    """Write the missing people; yields the number of pictures of each as it is done."""
    if workers <= 1 or len(missing) <= 1:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # pictures are too small for threads to pay
        try:
            for pid in missing:
                yield writer.write_person(out, plan, pid)
        finally:
            cv2.setNumThreads(before)
        return
    with _one_thread_each(), ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn"), _start_worker) as pool:
        jobs = [pool.submit(writer.write_person, out, plan, pid) for pid in missing]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    cv2.setNumThreads(1)


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


def default_workers() -> int:
    """One process per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
