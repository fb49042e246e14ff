"""What steps of every class cost: known from finished ones, kept from trials before, or tried now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ablation.estimate import Cost, cost_class, costs_of_done, try_out
from ablation.folds import Fold
from ablation.overview import unique
from reidclip.artifacts.durable import write_durable
from reidclip.cli.console import say


def costs(out: Path, folds: Sequence[Fold], names: Sequence[str], trial: bool) -> dict[str, Cost]:
    """Costs by class: trials kept from before, new ones of what is not known, and finished steps, which know best.

    Args:
        out: folder of ``trial.json``.
        names: of the protocols.
        trial: whether to try out what nothing is known of.
    """
    done: dict[str, Cost] = {}
    for fold in folds:
        done |= costs_of_done(fold.workshop, fold.planner, list(unique(fold.plan).values()), names)
    path = out / "trial.json"
    tried: dict[str, Cost] = {}
    if path.is_file():
        tried = {key: Cost(**value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    for fold in folds if trial else ():
        known = {**tried, **done}
        find = fold.workshop.find
        unknown = [last for last in fold.plan.values() if any(find(s) is None and cost_class(s) not in known for s in last.line())]
        if unknown:
            say("taking the time on a few people (kept in trial.json) ...")
            tried |= try_out(fold.workshop, fold.planner, unknown, known)
            out.mkdir(parents=True, exist_ok=True)
            write_durable(path, json.dumps({key: asdict(value) for key, value in tried.items()}, indent=1).encode())
    return {**tried, **done}
