"""What the two training commands do with a plan: print it, or run it with a progress bar and tell what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from reidclip.cli.console import console, progress_bars, say, set_quiet

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.stages.train_job import Progress as StageProgress
    from reidclip.stages.train_job import TrainJob


def run_training(
    plan: Callable[[], TrainJob],
    run: Callable[[TrainJob, StageProgress], Artifact | None],
    *,
    fresh: bool,
    as_json: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Plan, then print the plan (--dry-run) or run it.

    Args:
        plan: makes a `reidclip.stages.train_job.TrainJob`.
        run: (job, progress) -> artifact, or None in a process that writes none.
        fresh: forget an unfinished run of the same command first.
    """
    set_quiet(quiet)
    job = plan()
    if dry_run:
        note_on_weights(job.settings.network)
        console.print_json(json.dumps(job.plan()))
        return
    artifact = _run(job, run, fresh)
    if artifact is not None:
        tell(artifact, as_json)


def note_on_weights(clip: str, files: str = "--clip FILE") -> None:
    """For --dry-run: whether a run would find the weights of its CLIP, or student, on this machine.

    Args:
        clip: spec of the network.
        files: how a file of weights is named.

    Raises:
        UserError: no such architecture or tag.
    """
    from reidclip.clip.sources import on_this_machine

    if not on_this_machine(clip):
        say(f"note: the weights of {clip} are not on this machine: a run fetches those that have a name, and takes files with {files}")


def _run(job: TrainJob, run: Callable[[TrainJob, StageProgress], Artifact | None], fresh: bool) -> Artifact | None:
    from reidclip.parallel.processes import is_first, joined, wait_for_all
    from reidclip.stages.train_run import start_over
    from reidclip.train.device import pick_device

    with joined(pick_device(job.device)), progress_bars() as progress:
        if fresh and is_first():
            start_over(job)
        wait_for_all()
        return run(job, progress)


def tell(artifact: Artifact, as_json: bool) -> None:
    """The summary line of a training's artifact, or its JSON object."""
    manifest = artifact.manifest
    if as_json:
        console.print_json(
            json.dumps({"artifact": artifact.ref, "kind": manifest.kind, "path": str(artifact.path), "metrics": manifest.metrics})
        )
    else:
        totals = ", ".join(f"{k.split('/', 1)[1]} {v:.3f}" for k, v in manifest.metrics.items() if k.endswith("/total"))
        console.print(
            f"wrote {manifest.kind}/{artifact.ref} ({manifest.wall_seconds:.0f} s; last epoch: {totals or 'none'})",
            markup=False,
            soft_wrap=True,
        )
