"""What a dry run prints: the rows, what they share, what is done, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.budget import budget_of
from ablation.estimate import Cost, cost_class, size_of
from ablation.execute import Workshop
from ablation.rows import Row
from ablation.steps import Planner, Step

KINDS = ("masks", "prompts", "checkpoint", "evaluation")


def unique(plan: Mapping[tuple[str, int], Step]) -> dict[str, Step]:
    """Every step once, by name, inputs before their readers."""
    return {f"{step.kind}/{step.name}": step for last in plan.values() for step in last.line()}


def overview(
    rows: Sequence[Row],
    plan: Mapping[tuple[str, int], Step],
    workshop: Workshop,
    planner: Planner,
    costs: Mapping[str, Cost],
    protocols: Sequence[str],
) -> str:
    """The text."""
    lines = [_row(row, workshop, planner) for row in rows]
    steps = unique(plan)
    asked: dict[str, set[str]] = {name: set() for name in steps}
    for (row_name, _), last in plan.items():
        for step in last.line():
            asked[f"{step.kind}/{step.name}"].add(row_name)
    lines.append("")
    for kind in KINDS:
        of_kind = {name: step for name, step in steps.items() if step.kind == kind}
        done = sum(workshop.find(step) is not None for step in of_kind.values())
        lines.append(f"{kind}: {len(of_kind)} to be had, {done} done")
        lines += [f"  {name} is shared by {', '.join(sorted(asked[name]))}" for name in of_kind if len(asked[name]) > 1]
    lines += ["", _time(steps, workshop, planner, costs, protocols)]
    return "\n".join(lines)


def _row(row: Row, workshop: Workshop, planner: Planner) -> str:
    seed = planner.table.seeds[0]
    budget = budget_of(row, "finetune", workshop.dataset, seed)
    trained = f"{budget.iterations} iterations of {budget.pictures} pictures" if budget else "nothing trained"
    compared = f", compared with {row.compare_with}" if row.compare_with else ""
    return f"{row.name}: {row.method.name if row.method else 'zero-shot'}, {trained}{f', masks {row.masks}' if row.masks else ''}{compared}"


def _time(steps: Mapping[str, Step], workshop: Workshop, planner: Planner, costs: Mapping[str, Cost], protocols: Sequence[str]) -> str:
    todo = [step for step in steps.values() if workshop.find(step) is None]
    if not todo:
        return "Everything is done."
    known = [step for step in todo if cost_class(step) in costs]
    seconds = sum(costs[cost_class(s)].of(*size_of(s, workshop.dataset, planner.test, protocols)) for s in known)
    unknown = f"; nothing is known of {len(todo) - len(known)} of them" if len(known) < len(todo) else ""
    return f"{len(todo)} steps to do, about {duration(seconds)}{unknown}"


def duration(seconds: float) -> str:
    """``95`` -> "1.6 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
