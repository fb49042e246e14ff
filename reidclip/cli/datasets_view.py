"""How `reidclip datasets list` and `show` look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from reidclip.cli.console import console
from reidclip.stages.datasets import LayoutInfo, headline
from reidclip.stages.verify_report import MARKS
from reidclip.synth.benchmarks import Benchmark

_RULES = {
    "none": "none ignores nothing",
    "std": "std ignores gallery pictures of the query's person from the query's camera",
    "cc": "cc also those in the same clothes",
    "sc": "sc also those in other clothes",
}
"""What a rule leaves out of a query's ranking."""


def list_table(layouts: Sequence[LayoutInfo]) -> Table:
    """Layouts that work, one row each."""
    table = Table(box=None, pad_edge=False)
    for column in ("--dataset", "what", "published"):
        table.add_column(column, no_wrap=column == "--dataset", overflow="fold")
    for layout in layouts:
        table.add_row(layout.name, escape(layout.title), headline(layout.published) or "-")
    return table


def benchmark_table(benchmarks: Mapping[str, Benchmark]) -> Table:
    """The fixed rendered benchmarks, one row each."""
    table = Table(box=None, pad_edge=False)
    for column in ("synth --preset", "what", "pictures"):
        table.add_column(column, no_wrap=column != "what", justify="right" if column == "pictures" else "left", overflow="fold")
    for name, known in benchmarks.items():
        table.add_row(name, escape(known.title), f"{sum(pictures for _, _, pictures in known.splits):,}")
    return table


def broken_line(layout: LayoutInfo) -> str:
    """One line for a layout that cannot be loaded, whatever its error says."""
    return f"{layout.name}  broken: {' '.join(str(layout.error).split())} (of {layout.distribution})"


def print_layout(layout: LayoutInfo) -> None:
    """Everything known of one layout."""
    console.print(f"[bold]{escape(layout.name)}[/]  {escape(layout.title)}", soft_wrap=True)
    console.print(f"  recognised from its tree; --dataset {layout.name} says so", markup=False, soft_wrap=True)
    if layout.source:
        console.print(f"  source: {layout.source}", markup=False, soft_wrap=True)
    console.print("\n[bold]expected tree[/]")
    for line in layout.tree.splitlines():
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if layout.protocols:
        console.print("\n[bold]protocols[/]")
    for protocol in layout.protocols:
        console.print(f"  {protocol.name} (rule {protocol.rule}): {protocol.note}", markup=False, soft_wrap=True)
    print_rules(protocol.rule for protocol in layout.protocols)
    if not layout.published:
        return
    table = Table("published count", "number", "mark", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for number in layout.published:
        table.add_row(escape(number.what), f"{number.value:,}", number.mark)
    console.print()
    console.print(table)
    print_marks(number.mark for number in layout.published)


def print_rules(rules: Iterable[str]) -> None:
    """The legend of those rules that occur; the ones on clothes build on std."""
    present = set(rules)
    shown = present | ({"std"} if present & {"cc", "sc"} else set())
    if shown:
        told = "; ".join(meaning for rule, meaning in _RULES.items() if rule in shown)
        console.print(f"Rules: {told}.", markup=False, soft_wrap=True)


def print_marks(marks: Iterable[str]) -> None:
    """The legend of those marks that occur."""
    present = set(marks)
    console.print("\nMarks:")
    for mark, meaning in MARKS.items():
        if mark in present:
            console.print(f"  {mark}  {meaning}", markup=False, soft_wrap=True)
