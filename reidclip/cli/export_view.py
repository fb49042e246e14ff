"""What was verified of an export, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from reidclip.cli.console import console


def print_report(report: Mapping[str, Any]) -> None:
    """One row per batch size, of inexact formats also one per protocol."""
    allowed = report["least_cosine_allowed"]
    bound = f", at least {allowed} asked" if allowed is not None else ""
    table = Table(title=f"{report['runtime']} against PyTorch on {report['pictures']}{bound}", title_justify="left")
    for column in ("batch", "pictures", "least cosine", "largest difference", "least cosine between batches"):
        table.add_column(column, justify="right")
    for row in report["batches"]:
        table.add_row(
            str(row["batch"]),
            str(row["pictures"]),
            f"{row['least_cosine']:.7f}",
            f"{row['largest_difference']:.1e}",
            f"{row['least_cosine_between_batches']:.7f}",
        )
    console.print(table)
    if resized := report.get("resized"):
        told = f"{resized['least_cosine']:.7f}"
        console.print(
            f"resized inside against Pillow, {resized['pictures']} pictures of their own sizes: least cosine {told}", soft_wrap=True
        )
    if protocols := report.get("protocols"):
        _print_protocols(protocols)


def _print_protocols(protocols: Mapping[str, Any]) -> None:
    """Percent before and after, where the entry of a protocol has both."""
    table = Table(title="percent, PyTorch float32 -> export", title_justify="left")
    for column in ("protocol", "R1", "mAP"):
        table.add_column(column, justify="left" if column == "protocol" else "right")
    for name, told in protocols.items():
        if isinstance(told, Mapping) and "before" in told and "after" in told:
            table.add_row(name, *(_change(told["before"].get(key), told["after"].get(key)) for key in ("R1", "mAP")))
    console.print(table)


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{100 * before:.1f} -> {100 * after:.1f}"
