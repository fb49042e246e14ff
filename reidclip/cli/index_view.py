"""What an index holds, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from reidclip.cli.console import console
from reidclip.gallery.clock import time_told

_SHOWN = 12


def print_info(told: Mapping[str, Any]) -> None:
    """One row per fact."""
    model, clothes, recall = told["model"], told["clothes"], told["recall"]
    settings = " ".join(f"{key}={value}" for key, value in told["settings"].items() if key in ("kind", "uri", "collection"))
    rows = {
        "index": f"{told['index']}, {told['items']} items, {told['bytes'] / 1e6:.1f} MB",
        "backend": f"{told['backend']} {settings}".rstrip(),
        "model": f"{model['ref']} ({model['digest'][:12]}), {told['width']} numbers, by {model['measure']}",
        "root": told["root"],
        "cameras": _counts(told["cameras"]),
        "domains": _counts(told["domains"]),
        "people": str(told["people"] or ""),
        "tracks": str(told["tracks"] or ""),
        "times": " to ".join(map(time_told, told["times"])) if told["times"] else "",
        "clothes": f"{clothes['count']} {clothes['mode']}" if clothes["count"] else "unknown",
        "recall": f"{recall['recall']:.3f} at {recall['at']} against exact search, asked with its own vectors" if recall else "exact",
        "made from": ", ".join(told["sources"]),
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, text in rows.items():
        if text:
            table.add_row(name, Text(text, overflow="fold"))
    console.print(table)


def _counts(found: Mapping[str, int]) -> str:
    shown = [f"{value}: {count}" for value, count in list(found.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
