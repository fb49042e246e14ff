"""The table of `reidclip profile`: as many columns side by side as fit, the rest below; nothing is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reidclip.cli.console import console

if TYPE_CHECKING:
    from reidclip.stages.profile import Profile

_BETWEEN = 3  # characters that a column takes beside its text
_NAME = 12  # the least that a checkpoint's name may be folded to


@dataclass(frozen=True)
class _Column:
    """A title, with line breaks, and a cell per checkpoint."""

    title: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """Characters that it takes in a table."""
        return max(map(len, (*self.title.split("\n"), *self.cells))) + _BETWEEN


def print_profile(rows: Sequence[Profile], measured: Mapping[str, Any]) -> None:
    """Print one line per checkpoint; where the terminal (a pipe: 120 characters) is too narrow, in several tables.

    Args:
        measured: how it was measured, as `reidclip.stages.profile.as_json` tells it.
    """
    from rich import box
    from rich.table import Table

    names = [row.checkpoint for row in rows]
    width = max(_NAME, min(max(map(len, names)), console.width // 3))
    parts = _parts(_columns(rows), console.width - width - _BETWEEN)
    for number, part in enumerate(parts, start=1):
        caption = _caption(rows, measured) if number == len(parts) else None
        table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("checkpoint", overflow="fold", min_width=_NAME)
        for column in part:
            table.add_column(column.title, justify="right", no_wrap=True)
        for index, name in enumerate(names):
            table.add_row(name, *(column.cells[index] for column in part))
        console.print(table)


def _columns(rows: Sequence[Profile]) -> list[_Column]:
    cells = {
        "input\nh x w": ["x".join(map(str, row.image_size)) for row in rows],
        "M": [_millions(row.parameters) for row in rows],
        "M in\ntraining": [_training(row) for row in rows],
        "GFLOPs": [f"{row.flops / 1e9:.3g}" for row in rows],
        "GMACs": [f"{row.macs / 1e9:.3g}" for row in rows],
        "images\n/s": [f"{row.images_per_second:.0f}" for row in rows],
        "memory\nMB": ["-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}" for row in rows],
        "disk\nMB": [f"{row.disk_bytes / 1e6:.1f}" for row in rows],
        "width": [str(row.width) for row in rows],
    }
    for name in dict.fromkeys(name for row in rows for name in row.results):
        cells[f"{name}-R1/mAP".replace("-", "-\n").replace("-\nR1", "\nR1")] = [_result(row, name) for row in rows]
    return [_Column(title, tuple(values)) for title, values in cells.items()]


def _parts(columns: Sequence[_Column], room: int) -> list[list[_Column]]:
    """Consecutive columns that fit into ``room`` characters, at least one at a time."""
    parts: list[list[_Column]] = [[]]
    for column in columns:
        if parts[-1] and sum(c.width for c in parts[-1]) + column.width > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _caption(rows: Sequence[Profile], measured: Mapping[str, Any]) -> str:
    kinds = sorted({row.peak_kind for row in rows if row.peak_kind})
    where = f"{measured['device']}, " + (f"{measured['threads']} threads, " if measured["threads"] else "")
    lines = [
        f"{where}{measured['precision']}, batches of {measured['batch_size']}, median of {measured['repeats']}; R1/mAP in percent",
        "M: million parameters; GFLOPs: a multiplication and its addition are two; MB: million bytes",
        *(f"memory: {kind}" for kind in kinds),
        *_of_which_data(rows),
    ]
    return "\n".join(lines)


def _of_which_data(rows: Sequence[Profile]) -> list[str]:
    """One line per data set that results are of, with its checkpoints where they are of several."""
    read: dict[str, list[str]] = {}
    for row in rows:
        for data in sorted({result.data for result in row.results.values()}):
            read.setdefault(data, []).append(row.checkpoint)
    return [f"R1/mAP of {data or 'unknown data'}" + (f": {', '.join(refs)}" if len(read) > 1 else "") for data, refs in read.items()]


def _training(row: Profile) -> str:
    return "-" if row.trained is None or row.in_training is None else f"{_millions(row.trained)} ({_millions(row.in_training)})"


def _result(row: Profile, protocol: str) -> str:
    found = row.results.get(protocol)
    return "-" if found is None else f"{100 * found.R1:.1f}/{100 * found.mAP:.1f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g}" if count < 1e8 else f"{count / 1e6:.0f}"
