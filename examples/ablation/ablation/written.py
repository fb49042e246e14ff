"""Writes the table from what lies in the store: also what other processes made, whatever part of the table this one is at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.average import average
from ablation.comparer import Comparer
from ablation.execute import Workshop
from ablation.folds import Fold
from ablation.network_costs import NetworkCosts
from ablation.overview import duration, unique
from ablation.report import write_report
from ablation.results import collect
from ablation.rows import Row
from ablation.steps import Step
from ablation.table_file import TableFile
from reidclip.artifacts.store import Artifact
from reidclip.records import Dataset
from reidclip.train.device import pick_device


class Writer:
    """Writes ``table.md`` and ``table.json`` again and again as evaluations come in.

    Args:
        out: folder of both.
        folds: all of the table, with their plans.
        names: of the protocols.
        comparer: keeps comparisons between the writings.
    """

    def __init__(
        self, out: Path, table: TableFile, rows: Sequence[Row], folds: Sequence[Fold], names: Sequence[str], comparer: Comparer
    ) -> None:
        self.out, self.table, self.rows, self.folds, self.names, self.comparer = out, table, rows, folds, names, comparer
        self.costs = NetworkCosts()

    @property
    def path(self) -> Path:
        """The table as Markdown."""
        return self.out / "table.md"

    def write(self) -> Path:
        """Write what is known now; returns `path`."""
        found = {fold.target: {key: a for key, step in fold.plan.items() if (a := fold.workshop.find(step))} for fold in self.folds}
        results = {target: collect(self.rows, evaluations, self.names, self.comparer) for target, evaluations in found.items()}
        missing = sum(len(fold.plan) for fold in self.folds) - sum(map(len, found.values()))
        facts = self._facts(missing)
        averages = average(self.rows, results, self.names, self.comparer) if self.table.leave_one_out else None
        costs = self.costs.of(self._checkpoints()) if self.table.network_costs else {}
        return write_report(self.out, self.table, results, averages, self.names, facts, costs)

    def _checkpoints(self) -> dict[str, Artifact]:
        """One of every row that has any, by its name: networks of other seeds and targets cost the same."""
        found: dict[str, Artifact] = {}
        for fold in self.folds:
            for (name, _), last in fold.plan.items():
                made = fold.workshop.find(last.inputs["checkpoint"]) if "checkpoint" in last.inputs else None
                if made is not None:
                    found.setdefault(name, made)
        return found

    def _facts(self, missing: int) -> dict[str, Any]:
        """What the table tells beside its numbers."""
        workshop = self.folds[0].workshop
        times = _times([(fold.workshop, fold.plan) for fold in self.folds])
        made = [a for fold in self.folds for step in unique(fold.plan).values() if (a := fold.workshop.find(step)) is not None]
        seconds = sum(a.manifest.wall_seconds for a in made)
        total = sum(len(fold.plan) for fold in self.folds)
        state = f"Not finished: {missing} of {total} evaluations are missing. " if missing else ""
        device = pick_device(workshop.device)
        return {
            **self._data(),
            "device": str(device),
            "precision": workshop.precision,
            "missing": missing,
            "seconds": seconds,
            "finetune_seconds": times,
            "summary": f"{state}Data: {self._told_data()}; seeds: {', '.join(map(str, self.table.seeds))}; "
            f"{duration(seconds)} in {len(made)} steps on {device}, {workshop.precision}. "
            + (f"One training took {', '.join(f'{duration(s)} ({name})' for name, s in times.items())}." if times else ""),
        }

    def _data(self) -> dict[str, Any]:
        if not self.table.leave_one_out:
            workshop = self.folds[0].workshop
            return {"data": _fact(workshop.dataset), "test_data": _fact(workshop.test)}
        told = {fold.target: {"data": _fact(fold.workshop.dataset), "test_data": _fact(fold.workshop.test)} for fold in self.folds}
        return {"targets": told}

    def _told_data(self) -> str:
        if self.table.leave_one_out:
            return f"{', '.join(fold.target for fold in self.folds)}, each evaluated by what was trained on all the others"
        dataset = self.folds[0].workshop.dataset
        return ", ".join(dataset.sources) or dataset.name


def _fact(dataset: Dataset) -> dict[str, Any]:
    sources = {domain: str(source.root) for domain, source in dataset.sources.items()}
    return {"root": str(dataset.root), "fingerprint": dataset.fingerprint, **({"sources": sources} if sources else {})}


def _times(parts: Sequence[tuple[Workshop, Mapping[tuple[str, int], Step]]]) -> dict[str, float]:
    """Mean seconds of a row's fine-tuning, or distilling without its teacher's; one that was interrupted counts its last part only."""
    seconds: dict[str, list[float]] = {}
    for workshop, plan in parts:
        for (name, _), last in plan.items():
            checkpoint = last.inputs.get("checkpoint")
            found = workshop.find(checkpoint) if checkpoint else None
            if found is not None:
                seconds.setdefault(name, []).append(found.manifest.wall_seconds)
    return {name: sum(values) / len(values) for name, values in seconds.items()}
