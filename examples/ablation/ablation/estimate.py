"""How long the steps that are not done will take: from steps like them that are, else from a short trial."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.budget import budget_of
from ablation.execute import Workshop
from ablation.rows import Row
from ablation.steps import Planner, Step
from reidclip.artifacts.store import Store
from reidclip.cli.console import say
from reidclip.errors import ReidclipError
from reidclip.evaluation.protocols import required_samples
from reidclip.records import Dataset
from reidclip.settings import Settings
from reidclip.train.settings import TrainingSettings

_BY_PICTURE = ("features", "image features", "masks", "parsing")
_TEST_PEOPLE = 16
_PICTURES = 4  # of a person under one camera of a split


@dataclass(frozen=True)
class Cost:
    """Seconds of a step: what it takes however small it is, per picture read, and per iteration of a training."""

    fixed: float
    per_picture: float
    per_iteration: float

    def of(self, pictures: int, iterations: int) -> float:
        """Seconds of a step of that size."""
        return self.fixed + self.per_picture * pictures + self.per_iteration * iterations


class Stopwatch:
    """A progress callback that adds up the seconds between calls about the same thing, and the rest as overhead."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.what = ""
        self.spent: dict[str, float] = {}
        self.steps: dict[str, int] = {}
        self._done = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if what == self.what:
            self.spent[what] = self.spent.get(what, 0.0) + now - self.last
            self.steps[what] = self.steps.get(what, 0) + done - self._done
        self.what, self.last, self._done = what, now, done

    def cost(self, pictures: int, iterations: int) -> Cost:
        """What the step under the watch cost; it read ``pictures`` and ran ``iterations``."""
        by_picture = sum(s for what, s in self.spent.items() if what in _BY_PICTURE)
        training = {what: s for what, s in self.spent.items() if what not in _BY_PICTURE}
        fixed = time.perf_counter() - self.began - sum(self.spent.values())
        per_iteration = sum(s / max(1, self.steps[what]) for what, s in training.items())  # of all stages of a command together
        return Cost(fixed, by_picture / max(1, pictures), per_iteration if iterations else 0.0)


def cost_class(step: Step) -> str:
    """Steps of one class cost alike per picture and iteration: same kind, method and settings, but for numbers that only weigh."""
    facts = {key: value for key, value in step.facts.items() if key in ("method", "clip", "precision")}
    settings = {k: v for k, v in dict(step.facts.get("settings", {})).items() if not isinstance(v, float) and k != "epochs"}
    source = step.source.model_dump(mode="json") if step.source else None
    teacher = [cost_class(below) for role, below in step.inputs.items() if role == "teacher"]  # it is asked in every iteration
    told = json.dumps([step.kind, facts, settings, source, *teacher], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def size_of(step: Step, dataset: Dataset, test: Dataset, protocols: Sequence[str]) -> tuple[int, int]:
    """(pictures read before or beside the training, iterations)."""
    if step.kind == "masks":
        return len(dataset.samples), 0
    if step.kind == "evaluation":
        return len(required_samples(test, [p for p in test.protocols if p.name in protocols])), 0
    assert step.row is not None
    if step.kind == "descriptions":
        return len(dataset.samples), 0
    command = step.command
    assert command is not None
    budget = budget_of(step.row, command, dataset, step.seed)
    pictures = sum(s.split in getattr(step.row.settings[command], "train_splits", ()) for s in dataset.samples)
    return pictures if step.kind == "prompts" else 0, budget.iterations if budget else 0


def try_out(workshop: Workshop, planner: Planner, steps: Sequence[Step], known: Mapping[str, Cost]) -> dict[str, Cost]:
    """Run steps of every class on a few people for two epochs, in a folder that is removed, and take the time.

    A class whose trial fails is told and left out.

    Args:
        steps: evaluations, whose inputs are tried with them.
        known: classes that need no trial.
    """
    dataset, test = _few(workshop.dataset, planner.test, steps)
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = workshop.elsewhere(Store(Path(folder)), dataset, test)
        small = Planner(planner.table, dataset, test, planner.precision, planner.clip_digest)
        for step in steps:
            assert step.row is not None
            trial = small.evaluation(_short(step.row), step.seed)
            for real, tried in zip(step.line(), trial.line(), strict=True):
                if cost_class(real) not in costs and cost_class(real) not in known:
                    cost = _timed(bench, tried)
                    if cost is not None:
                        costs[cost_class(real)] = cost
    return costs


def _timed(bench: Workshop, step: Step) -> Cost | None:
    try:
        for below in step.inputs.values():
            bench.make(below)
        watch = Stopwatch()
        bench.make(step, watch)
    except ReidclipError as error:
        say(f"note: no trial of {step.label} ({step.kind}): {error.what}")
        return None
    names = [p.name for p in bench.test.protocols]
    return watch.cost(*size_of(step, bench.dataset, bench.test, names))


def _few(dataset: Dataset, test: Dataset, steps: Sequence[Step]) -> tuple[Dataset, Dataset]:
    """A few pictures of the first training people, twice as many as a batch takes, and of some test people. One data set stays one."""
    settings = [s for step in steps if step.row for s in step.row.settings.values() if isinstance(s, TrainingSettings)]
    splits = {split for s in settings for split in s.train_splits} or {"train"}
    wanted = 2 * max((s.identities for s in settings), default=8)
    people = sorted({s.pid for s in dataset.samples if s.split in splits})
    trained = set(people[:: max(1, len(people) // wanted)][:wanted])  # of several joined sets some of each
    tested = set(sorted({s.pid for s in test.samples if s.split not in splits and s.pid >= 0})[:_TEST_PEOPLE])

    def keep(whole: Dataset) -> Dataset:
        taken: Counter[tuple[int, int, str]] = Counter()
        kept = []
        for s in whole.samples:
            key = s.pid, s.camid, s.split
            if s.pid in (trained if s.split in splits else tested) and taken[key] < _PICTURES:
                taken[key] += 1
                kept.append(s)
        return replace(whole, samples=tuple(kept))

    small = keep(dataset)
    return small, small if test is dataset else keep(test)


def _short(row: Row) -> Row:
    """The row with two epochs per training, its teacher's too."""
    settings: Mapping[str, Settings] = {
        name: s.model_copy(update={"epochs": 2}) if "epochs" in type(s).model_fields else s for name, s in row.settings.items()
    }
    return replace(row, settings=settings, teacher=_short(row.teacher) if row.teacher else None)


def costs_of_done(workshop: Workshop, planner: Planner, steps: Sequence[Step], names: Sequence[str]) -> dict[str, Cost]:
    """Costs by class from the wall times of artifacts that are there. One that was interrupted tells its last part only."""
    costs: dict[str, Cost] = {}
    for step in steps:
        found = workshop.find(step)
        if found is not None:
            pictures, iterations = size_of(step, workshop.dataset, planner.test, names)
            seconds = found.manifest.wall_seconds
            per = Cost(0.0, 0.0, seconds / iterations) if iterations else Cost(0.0, seconds / max(1, pictures), 0.0)
            costs[cost_class(step)] = per
    return costs
