"""How much every row trains, and whether rows train alike: a row that trains longer than another proves nothing by being better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.rows import Row
from reidclip.data.samplers import epoch_generator, pk_batches
from reidclip.data.training_samples import training_samples
from reidclip.errors import UserError
from reidclip.records import Dataset
from reidclip.train.settings import PromptLearnSettings, TrainingSettings

_KEPT: dict[tuple[object, ...], int] = {}


@dataclass(frozen=True)
class Budget:
    """Of one training.

    Attributes:
        iterations: of the loop, with the first seed and the core's samplers (prompt learning: of each of its stages).
        pictures: per iteration.
    """

    iterations: int
    pictures: int


def budget_of(row: Row, command: str, dataset: Dataset, seed: int) -> Budget | None:
    """What a command of the row trains; None when the row does not run it."""
    settings = row.settings.get(command)
    if isinstance(settings, PromptLearnSettings):
        count = len(training_samples(dataset, settings.train_splits))
        return Budget(settings.epochs * -(-count // settings.batch_size), settings.batch_size)
    if not isinstance(settings, TrainingSettings):
        return None
    return _of_sampler(dataset, settings, seed)


def _of_sampler(dataset: Dataset, settings: TrainingSettings, seed: int) -> Budget:
    size = settings.identities, settings.images_per_identity
    key = (dataset.fingerprint, settings.train_splits, *size, settings.epochs, seed)
    if key not in _KEPT:  # planning every epoch of large data takes a while, and most rows plan alike
        pids = [s.pid for s in training_samples(dataset, settings.train_splits)]
        _KEPT[key] = sum(len(pk_batches(pids, *size, epoch_generator(seed, epoch))) for epoch in range(settings.epochs))
    return Budget(_KEPT[key], size[0] * size[1])


def check_same(rows: Sequence[Row], dataset: Dataset, seed: int) -> None:
    """Every row that fine-tunes has the same iterations of the same size; every row that distils likewise, and that learns prompts.

    Rows that say that they have another budget are left out.

    Raises:
        UserError: naming the rows that differ.
    """
    for command in ("finetune", "distill", "prompt-learn"):
        groups: dict[Budget, list[str]] = defaultdict(list)
        for row in rows:
            budget = budget_of(row, command, dataset, seed)
            if budget is not None and not row.other_budget:
                groups[budget].append(row.name)
        if len(groups) > 1:
            told = "; ".join(f"{b.iterations} iterations of {b.pictures} pictures: {', '.join(names)}" for b, names in groups.items())
            raise UserError(
                f"The rows do not {command} alike: {told}.",
                "Give them one budget, say other_budget = true in a row, or allow it with --budget any.",
            )
