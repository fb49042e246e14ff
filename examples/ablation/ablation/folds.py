"""What is trained on and what is evaluated: one pair of data sets, or every data set left out in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablation.execute import Workshop
from ablation.rows import Row
from ablation.steps import Planner, Step, protocols_of
from ablation.table_file import TableFile
from reidclip.artifacts.names import safe_name
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, nearest
from reidclip.records import Dataset


@dataclass(frozen=True)
class Data:
    """Trained on ``dataset``, evaluated on ``test``; ``target`` names the latter where a table has several, else it is empty."""

    target: str
    dataset: Dataset
    test: Dataset


@dataclass(frozen=True)
class Fold:
    """One pair of data sets with all its steps.

    Attributes:
        target: see `Data`.
        plan: (row name, seed) -> evaluation, below which everything hangs that is made for it.
    """

    target: str
    workshop: Workshop
    planner: Planner
    plan: dict[tuple[str, int], Step] = field(default_factory=dict)

    def with_plan(self, rows: Sequence[Row], seeds: Sequence[int]) -> Fold:
        """Itself, its steps written out. Seeds outside: after the first round every row has a number."""
        self.plan.update({(row.name, seed): self.planner.evaluation(row, seed) for seed in seeds for row in rows})
        return self


def data_of(table: TableFile) -> list[Data]:
    """The pairs of a table, in the order in which it names its targets.

    Raises:
        UserError: a folder that is no data set, or the same one twice.
    """
    opened = [open_dataset(root, table.layout) for root in table.data]
    if not table.leave_one_out:
        dataset = _one(opened)
        return [Data("", dataset, dataset if table.test_data is None else open_dataset(table.test_data))]
    names = _names(opened)
    return [Data(name, _one(opened[:i] + opened[i + 1 :]), test) for i, (name, test) in enumerate(zip(names, opened, strict=True))]


def _one(datasets: Sequence[Dataset]) -> Dataset:
    if len(datasets) == 1:
        return datasets[0]
    from reidclip.data.join import join

    return join(datasets)


def _names(datasets: Sequence[Dataset]) -> list[str]:
    """Folder names; equal ones with that of the folder above."""
    counts = Counter(dataset.name for dataset in datasets)
    return [safe_name(d.name if counts[d.name] == 1 else f"{d.root.resolve().parent.name}-{d.name}") for d in datasets]


def chosen(data: Sequence[Data], wanted: Sequence[str]) -> list[Data]:
    """Those whose target was asked for, by its name or its number from 1; all of them when none was.

    Raises:
        UserError: no such target.
    """
    numbered = {str(number): d for number, d in enumerate(data, start=1)}
    by_name = {**{d.target: d for d in data}, **numbered}
    for name in wanted:
        if name not in by_name or not data[0].target:
            what = f"The table has no target '{name}'." if data[0].target else "The table has one data set, and no targets to choose from."
            known = [d.target for d in data if d.target]
            raise UserError(what, f"{nearest(name, known)} Or by number, 1 to {len(data)}." if known else "Leave --targets out.")
    picked = {by_name[name].target for name in wanted}
    return [d for d in data if not wanted or d.target in picked]


def common_protocols(table: TableFile, data: Sequence[Data]) -> list[str]:
    """Protocols that are reported: those of the table, or those that all targets have.

    Raises:
        UserError: a target lacks one that the table names, or they have none in common.
    """
    each = [[p.name for p in protocols_of(table, d.test)] for d in data]
    common = [name for name in each[0] if all(name in names for names in each)]
    if not common:
        told = "; ".join(f"{d.target or d.test.name}: {', '.join(names) or 'none'}" for d, names in zip(data, each, strict=True))
        raise UserError(f"The targets have no protocol in common ({told}).", "Take targets that have one.")
    return common
