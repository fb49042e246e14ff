"""``python -m tests.bench [NAME|all] [--quick] [--json]``: run the benchmarks and print one table, or one JSON object.

A benchmark is a module of this folder with ``main(quick: bool) -> list[Row]``. Exit code 1 when a target is missed; ``--quick`` shrinks
the work to see that everything runs, and holds nothing to its target.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.bench.row import Row


def names() -> list[str]:
    """Modules of this folder that have a ``main(quick)``."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [f.stem for f in files if f.stem not in ("__init__", "__main__") and "\ndef main(quick" in f.read_text(encoding="utf-8")]


def table(results: dict[str, list[Row]]) -> Table:
    """All rows, grouped by benchmark."""
    shown = Table(title=f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}", title_justify="left")
    for heading in ("bench", "what", "figure", "target", "", "note"):
        shown.add_column(heading, justify="right" if heading in ("figure", "target") else "left")
    for bench, rows in results.items():
        for row in rows:
            target = "" if row.target is None else f"{'>=' if row.higher_is_better else '<='} {row.target:g} {row.unit}"
            verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]
            shown.add_row(bench, row.name, f"{row.value:.3g} {row.unit}", target, verdict, row.note)
        shown.add_section()
    return shown


def run() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Run benchmarks and print one table.")
    parser.add_argument("name", nargs="?", default="all", choices=[*names(), "all"])
    parser.add_argument("--quick", action="store_true", help="small sizes; targets are not enforced")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    arguments = parser.parse_args()
    chosen = names() if arguments.name == "all" else [arguments.name]
    results = {name: importlib.import_module(f"tests.bench.{name}").main(arguments.quick) for name in chosen}
    if arguments.json:
        machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        print(json.dumps({"machine": machine, "rows": {n: [{**asdict(r), "met": r.met} for r in rows] for n, rows in results.items()}}))
        return _verdict(results, arguments.quick)
    console = Console()
    if not console.is_terminal:
        console.width = 180  # a log has no edge to wrap at
    console.print(table(results))
    return _verdict(results, arguments.quick)


def _verdict(results: dict[str, list[Row]], quick: bool) -> int:
    missed = [row for rows in results.values() for row in rows if row.met is False]
    return 1 if missed and not quick else 0


if __name__ == "__main__":
    sys.exit(run())
