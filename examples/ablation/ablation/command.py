"""The run itself: read, plan, make what is missing, and write the table after every row and seed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ablation.budget import check_same
from ablation.estimate import Cost, cost_class, costs_of_done, try_out
from ablation.execute import Workshop
from ablation.overview import duration, overview, unique
from ablation.report import write_report
from ablation.results import collect
from ablation.rows import Row, rows_of
from ablation.steps import Planner, Step, protocols_of
from ablation.table_file import TableFile, read_table
from reidclip.artifacts.durable import write_durable
from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.console import progress_bars, say
from reidclip.clip.load import load_clip
from reidclip.data.open import open_dataset
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision

Plan = Mapping[tuple[str, int], Step]


@cache
def clip_digest(spec: str) -> str:
    """Digest of the weights behind the name or path of a CLIP."""
    return load_clip(spec).digest


def run_table(options: argparse.Namespace) -> None:
    """Do what the command line says.

    Raises:
        UserError, WorkError, InterruptedRunError: from the table, or from a step; the table holds what was done until then.
    """
    table = read_table(options.table, options.set, {"data": options.data, "seeds": options.seeds})
    rows = rows_of(table)
    check_precision(options.precision, pick_device(options.device))
    dataset = open_dataset(table.data, table.layout)
    test = dataset if table.test_data is None else open_dataset(table.test_data)
    if options.budget == "same":
        check_same(rows, dataset, table.seeds[0])
    planner = Planner(table, dataset, test, options.precision, clip_digest)
    workshop = Workshop(table, Store(options.store), dataset, test, options.device, options.precision, options.workers, options.save_every)
    # Seeds outside: after the first round every row has a number.
    plan = {(row.name, seed): planner.evaluation(row, seed) for seed in table.seeds for row in rows}
    names = [p.name for p in protocols_of(table, test)]
    out = options.out or Path("ablations") / options.table.stem
    if options.dry_run:
        costs = _costs(out, workshop, planner, plan, names, not options.no_trial)
        print(overview(rows, plan, workshop, planner, costs, names))
        return
    evaluations: dict[tuple[str, int], Artifact] = {}
    path = out / "table.md"
    for number, ((name, seed), step) in enumerate(plan.items(), start=1):
        for below in step.line():
            if workshop.find(below) is None:
                say(f"[{number}/{len(plan)}] {name}, seed {seed}: {below.kind}/{below.name}")
                with progress_bars() as told:
                    workshop.make(below, told)
        evaluations[name, seed] = workshop.make(step)
        path = _write(out, table, rows, evaluations, names, workshop, plan, options.resamples)
    print(path.read_text(encoding="utf-8"))
    say(f"wrote {path} and table.json beside it")


def _write(
    out: Path,
    table: TableFile,
    rows: tuple[Row, ...],
    evaluations: Mapping[tuple[str, int], Artifact],
    names: list[str],
    workshop: Workshop,
    plan: Plan,
    resamples: int,
) -> Path:
    times = _times(workshop, plan)
    made = [a for step in unique(plan).values() if (a := workshop.find(step)) is not None]
    seconds = sum(a.manifest.wall_seconds for a in made)
    missing = len(plan) - len(evaluations)
    state = f"Not finished: {missing} of {len(plan)} evaluations are missing. " if missing else ""
    facts: dict[str, object] = {
        "data": {"root": str(workshop.dataset.root), "fingerprint": workshop.dataset.fingerprint},
        "test_data": {"root": str(workshop.test.root), "fingerprint": workshop.test.fingerprint},
        "device": str(pick_device(workshop.device)),
        "precision": workshop.precision,
        "missing": missing,
        "seconds": seconds,
        "finetune_seconds": times,
        "summary": f"{state}Data: {workshop.dataset.name}; seeds: {', '.join(map(str, table.seeds))}; "
        f"{duration(seconds)} in {len(made)} steps on {pick_device(workshop.device)}, {workshop.precision}. "
        + (f"One fine-tuning took {', '.join(f'{duration(s)} ({name})' for name, s in times.items())}." if times else ""),
    }
    return write_report(out, table, collect(rows, evaluations, names, resamples), names, facts)


def _times(workshop: Workshop, plan: Plan) -> dict[str, float]:
    """Mean seconds of a row's fine-tuning; one that was interrupted counts its last part only."""
    seconds: dict[str, list[float]] = {}
    for (name, _), last in plan.items():
        checkpoint = last.inputs.get("checkpoint")
        found = workshop.find(checkpoint) if checkpoint else None
        if found is not None:
            seconds.setdefault(name, []).append(found.manifest.wall_seconds)
    return {name: sum(values) / len(values) for name, values in seconds.items()}


def _costs(out: Path, workshop: Workshop, planner: Planner, plan: Plan, names: list[str], trial: bool) -> dict[str, Cost]:
    """Costs by class: trials kept from before, new ones of what is not known, and finished steps, which know best."""
    steps = list(unique(plan).values())
    done = costs_of_done(workshop, planner, steps, names)
    path = out / "trial.json"
    tried: dict[str, Cost] = {}
    if path.is_file():
        tried = {key: Cost(**value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    known = {**tried, **done}
    unknown = [last for last in plan.values() if any(workshop.find(s) is None and cost_class(s) not in known for s in last.line())]
    if trial and unknown:
        say("taking the time on a few people (kept in trial.json) ...")
        tried |= try_out(workshop, planner, unknown, known)
        out.mkdir(parents=True, exist_ok=True)
        write_durable(path, json.dumps({key: asdict(value) for key, value in tried.items()}, indent=1).encode())
    return {**tried, **done}
