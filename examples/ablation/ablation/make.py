"""Makes every step of a table; several processes may be at the same table, each making what no other one is at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ablation.folds import Fold
from ablation.rows import Row
from ablation.steps import Step
from reidclip.artifacts.lock import LockedError
from reidclip.cli.console import progress_bars, say

POLL_SECONDS = 5.0


@dataclass(frozen=True)
class _Entry:
    """One number of the table."""

    number: int
    title: str
    fold: Fold
    step: Step


def make_all(folds: Sequence[Fold], seeds: Sequence[int], rows: Sequence[Row], made: Callable[[], object]) -> None:
    """Make what is missing, seed by seed, so that every row has a number early.

    A step that another process is at is passed over, and come back to; when nothing else is left, it is waited for.

    Args:
        folds: with their plans.
        made: called after every evaluation that was not there.

    Raises:
        UserError, WorkError, InterruptedRunError: from a step.
    """
    plan = [(fold, row.name, seed) for seed in seeds for fold in folds for row in rows]
    left = [
        _Entry(number, f"{name}, seed {seed}{f', target {fold.target}' if fold.target else ''}", fold, fold.plan[name, seed])
        for number, (fold, name, seed) in enumerate(plan, start=1)
    ]
    told: set[str] = set()
    while left:
        busy = [entry for entry in left if not _tried(entry, len(plan), told, made)]
        if len(busy) == len(left):
            time.sleep(POLL_SECONDS)
        left = busy


def _tried(entry: _Entry, total: int, told: set[str], made: Callable[[], object]) -> bool:
    """Make one entry; False when another process is at a step that it needs."""
    workshop = entry.fold.workshop
    if workshop.find(entry.step) is not None:
        return True
    try:
        for below in entry.step.line():
            with progress_bars() as progress:
                workshop.make(below, progress, lambda step: say(f"[{entry.number}/{total}] {entry.title}: {step.kind}/{step.name}"))
    except LockedError:
        if entry.title not in told:
            say(f"[{entry.number}/{total}] {entry.title}: another process is at it")
            told.add(entry.title)
        return False
    made()
    return True
