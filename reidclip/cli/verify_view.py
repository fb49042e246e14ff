"""How the report of `reidclip datasets verify` looks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from reidclip.cli.console import console
from reidclip.cli.datasets_view import print_marks, print_rules
from reidclip.stages.verify_report import CountCheck, Finding, PictureCheck, ProtocolCheck, SplitCount, VerifyReport

_COLOURS = {"fault": "red", "warning": "yellow", "note": "cyan"}
_STATES = {"same": "[green]as published[/]", "differs": "[red]differs[/]", "doubtful": "[yellow]differs, hearsay[/]"}


def print_report(report: VerifyReport, show: int, strict: bool) -> None:
    """The whole report: what there is, what was compared, what was found, and the verdict; at most ``show`` files per finding."""
    console.print(f"[bold]{escape(report.layout)}[/]  {escape(report.title)}", soft_wrap=True)
    console.print(f"{report.root}\n", markup=False, soft_wrap=True)
    console.print(_splits(report.splits))
    for name, number in report.left_out.items():
        console.print(f"left out, {name}: {number:,} pictures", markup=False, soft_wrap=True)
    console.print()
    if report.counts:
        console.print(_counts(report.counts))
        print_marks(count.mark for count in report.counts)
    else:
        console.print(report.not_compared, markup=False, soft_wrap=True)
    if report.protocols:
        console.print()
        console.print(_protocols(report.protocols))
        print_rules(protocol.rule for protocol in report.protocols)
    console.print()
    console.print(_pictures(report.pictures), markup=False, soft_wrap=True)
    if report.findings:
        console.print()
    for finding in report.findings:
        _print_finding(finding, show)
    console.print(_verdict(report, strict), soft_wrap=True)


def _table(*columns: str, text: int = 1) -> Table:
    """Columns of text first, then numbers, which stand right."""
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < text else "right", overflow="fold")
    return table


def _splits(rows: Sequence[SplitCount]) -> Table:
    in_video = any(row.tracklets is not None for row in rows)
    pictures = ("tracklets", "frames") if in_video else ("pictures",)
    table = _table("split", "identities", *pictures, "outfits", "cameras")
    for row in rows:
        outfits = "unknown" if row.outfits is None else f"{row.outfits:,}"
        tracklets = [f"{row.tracklets or 0:,}"] if in_video else []
        cameras = f"{row.cameras:,}" if row.cameras else "unknown"
        table.add_row(escape(row.split), f"{row.identities:,}", *tracklets, f"{row.pictures:,}", outfits, cameras)
    return table


def _counts(rows: Sequence[CountCheck]) -> Table:
    table = _table("count", "found", "published", "mark", "")
    table.columns[4].justify = "left"
    for row in rows:
        table.add_row(escape(row.what), f"{row.found:,}", f"{row.published:,}", row.mark, _STATES[row.state])
    return table


def _protocols(rows: Sequence[ProtocolCheck]) -> Table:
    table = _table("protocol", "rule", "queries", "valid", "skipped", "gallery", text=2)
    for row in rows:
        numbers = (f"{number:,}" for number in (row.queries, row.valid, row.skipped, row.gallery))
        table.add_row(escape(row.name), row.rule, *numbers)
    return table


def _pictures(check: PictureCheck | None) -> str:
    if check is None:
        return "Pictures were not opened (--no-open)."
    rate = f", {check.opened / check.seconds:.0f} per second" if check.seconds else ""
    text = f"{check.opened:,} pictures opened, {check.megabytes:,.1f} MB, in {check.seconds:.1f} s{rate}."
    if check.height is None or check.width is None:
        return text
    low, middle, high = ((getattr(check.height, name), getattr(check.width, name)) for name in ("least", "median", "most"))
    sizes = f"Height x width: {middle[0]} x {middle[1]} in the middle, {low[0]} x {low[1]} at least, {high[0]} x {high[1]} at most."
    return f"{text}\n{sizes}"


def _print_finding(finding: Finding, show: int) -> None:
    colour = _COLOURS[finding.level]
    console.print(f"[{colour}]{finding.level}[/]  {escape(finding.text)}", soft_wrap=True)
    for file in finding.files[:show]:
        console.print(f"    {file}", markup=False, soft_wrap=True)
    hidden = len(finding.files) - show
    if hidden > 0:
        console.print(f"    {hidden:,} more (--show {len(finding.files)}, or --json)", markup=False, soft_wrap=True)


def _verdict(report: VerifyReport, strict: bool) -> str:
    numbers = [(report.number("fault"), "fault"), (report.number("warning"), "warning")]
    told = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in numbers if n)
    if not report.passed(strict):
        return f"\n[red]not good[/]: {told}"
    good = [f"{len(report.counts)} counts compared"] if report.counts else []
    if report.pictures is not None:
        good.append(f"{report.pictures.opened:,} pictures readable")
    return f"\n[green]good[/]: {', '.join([*good, *([told] if told else [])]) or 'labels only'}"
