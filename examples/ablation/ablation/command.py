"""The run itself: read, plan, make what is missing, and write the table after every evaluation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ablation.budget import check_same
from ablation.comparer import Comparer
from ablation.costs import costs
from ablation.execute import Workshop
from ablation.folds import Data, Fold, chosen, common_protocols, data_of
from ablation.make import make_all
from ablation.overview import overview
from ablation.rows import rows_of
from ablation.steps import Planner
from ablation.table_file import TableFile, read_table
from ablation.written import Writer
from reidclip.artifacts.store import Store
from reidclip.cli.console import say
from reidclip.clip.load import load_clip
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision


@cache
def clip_digest(spec: str) -> str:
    """Digest of the weights behind the name or path of a CLIP."""
    return load_clip(spec).digest


def run_table(options: argparse.Namespace) -> None:
    """Do what the command line says.

    Raises:
        UserError, WorkError, InterruptedRunError: from the table, or from a step; the table holds what was done until then.
    """
    table = read_table(options.table, options.set, {"data": _given(options.data), "seeds": options.seeds})
    rows = rows_of(table)
    check_precision(options.precision, pick_device(options.device))
    data = data_of(table)
    targets = {d.target for d in chosen(data, options.targets or ())}
    names = common_protocols(table, data)
    if options.budget == "same":
        for d in data:
            check_same(rows, d.dataset, table.seeds[0])
    folds = [fold.with_plan(rows, table.seeds) for fold in _folds(table, data, options)]
    wanted = [fold for fold in folds if fold.target in targets]
    out = options.out or Path("ablations") / options.table.stem
    if options.dry_run:
        print(overview(rows, wanted, costs(out, wanted, names, not options.no_trial), names))
        return
    writer = Writer(out, table, rows, folds, names, Comparer(options.resamples))
    make_all(wanted, table.seeds, rows, writer.write)
    print(writer.write().read_text(encoding="utf-8"))
    say(f"wrote {writer.path} and table.json beside it")


def _given(data: Sequence[Path] | None) -> list[Path] | Path | None:
    """One folder stands for itself, as in a table."""
    return data[0] if data and len(data) == 1 else list(data) if data else None


def _folds(table: TableFile, data: Sequence[Data], options: argparse.Namespace) -> list[Fold]:
    store = Store(options.store)
    return [
        Fold(
            d.target,
            Workshop(table, store, d.dataset, d.test, options.device, options.precision, options.workers, options.save_every),
            Planner(table, d.dataset, d.test, options.precision, clip_digest, d.target),
        )
        for d in data
    ]
