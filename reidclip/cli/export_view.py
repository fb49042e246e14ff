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
    for column in ("batch", "pictures", "least cosine", "largest difference", "least cosine between batches", "length off by"):
        table.add_column(column, justify="right")
    for row in report["batches"]:
        table.add_row(
            str(row["batch"]),
            str(row["pictures"]),
            f"{row['least_cosine']:.7f}",
            f"{row['largest_difference']:.1e}",
            f"{row['least_cosine_between_batches']:.7f}",
            f"{row['largest_difference_of_length']:.1e}",
        )
    console.print(table)
    if resized := report.get("resized"):
        told = f"least cosine to {resized['against']} {resized['least_cosine']:.7f}"
        console.print(f"resized inside against Pillow, {resized['pictures']} pictures of their own sizes: {told}", soft_wrap=True)
    if evaluation := report.get("evaluation"):
        _print_protocols(evaluation["protocols"])


def _print_protocols(protocols: Mapping[str, Any]) -> None:
    """Points of each protocol before and after."""
    table = Table(title="percent, PyTorch in float32 -> the export", title_justify="left")
    for column in ("protocol", "queries", "R1", "mAP"):
        table.add_column(column, justify="left" if column == "protocol" else "right")
    for name, told in protocols.items():
        table.add_row(name, str(told["queries"]), *(_change(told.get(metric)) for metric in ("R1", "mAP")))
    console.print(table)


def _change(told: Mapping[str, float] | None) -> str:
    return "-" if told is None else f"{told['before']:.2f} -> {told['after']:.2f}"
