"""What a dry run prints: the rows, what they share, what is done, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.budget import budget_of
from ablation.estimate import Cost, cost_class, size_of
from ablation.execute import Workshop
from ablation.folds import Fold
from ablation.rows import Row
from ablation.steps import Planner, Step

KINDS = ("masks", "descriptions", "prompts", "checkpoint", "evaluation")


def unique(plan: Mapping[tuple[str, int], Step]) -> dict[str, Step]:
    """Every step once, by name, inputs before their readers."""
    return {f"{step.kind}/{step.name}": step for last in plan.values() for step in last.line()}


def overview(rows: Sequence[Row], folds: Sequence[Fold], costs: Mapping[str, Cost], protocols: Sequence[str]) -> str:
    """The text; of several targets a part for each, and the time of all at the end."""
    parts = [_fold(rows, fold, costs, protocols) for fold in folds]
    if len(folds) > 1:
        todo = [(fold, step) for fold in folds for step in _todo(fold)]
        parts.append(f"all {len(folds)} targets: {_time(todo, costs, protocols)}")
    return "\n\n".join(parts)


def _fold(rows: Sequence[Row], fold: Fold, costs: Mapping[str, Cost], protocols: Sequence[str]) -> str:
    workshop = fold.workshop
    lines = [f"target {fold.target}: trained on {', '.join(workshop.dataset.sources) or workshop.dataset.name}"] if fold.target else []
    lines += [_row(row, workshop, fold.planner) for row in rows]
    steps = unique(fold.plan)
    asked: dict[str, set[str]] = {name: set() for name in steps}
    for (row_name, _), last in fold.plan.items():
        for step in last.line():
            asked[f"{step.kind}/{step.name}"].add(row_name)
    lines.append("")
    for kind in KINDS:
        of_kind = {name: step for name, step in steps.items() if step.kind == kind}
        done = sum(workshop.find(step) is not None for step in of_kind.values())
        lines.append(f"{kind}: {len(of_kind)} to be had, {done} done")
        lines += [f"  {name} is shared by {', '.join(sorted(asked[name]))}" for name in of_kind if len(asked[name]) > 1]
    lines += ["", _time([(fold, step) for step in _todo(fold)], costs, protocols)]
    return "\n".join(lines)


def _todo(fold: Fold) -> list[Step]:
    return [step for step in unique(fold.plan).values() if fold.workshop.find(step) is None]


def _row(row: Row, workshop: Workshop, planner: Planner) -> str:
    seed = planner.table.seeds[0]
    budget = budget_of(row, row.training, workshop.dataset, seed)
    trained = f"{budget.iterations} iterations of {budget.pictures} pictures" if budget else "nothing trained"
    trained += f", distilled from {_teacher(row)}" if row.needs else ""
    compared = f", compared with {row.compare_with}" if row.compare_with else ""
    return f"{row.name}: {row.method.name if row.method else 'zero-shot'}, {trained}{f', masks {row.masks}' if row.masks else ''}{compared}"


def _teacher(row: Row) -> str:
    return row.teacher.name if row.teacher else str(getattr(row.settings["distill"], "teacher", ""))


def _time(todo: Sequence[tuple[Fold, Step]], costs: Mapping[str, Cost], protocols: Sequence[str]) -> str:
    if not todo:
        return "Everything is done."
    known = [(fold, step) for fold, step in todo if cost_class(step) in costs]
    sizes = [size_of(step, fold.workshop.dataset, fold.planner.test, protocols) for fold, step in known]
    seconds = sum(costs[cost_class(step)].of(*size) for (_, step), size in zip(known, sizes, strict=True))
    unknown = f"; nothing is known of {len(todo) - len(known)} of them" if len(known) < len(todo) else ""
    return f"{len(todo)} steps to do, about {duration(seconds)}{unknown}"


def duration(seconds: float) -> str:
    """``95`` -> "1.6 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
