"""The answers of a search: as tables, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from reidclip.cli.console import console
from reidclip.errors import UserError
from reidclip.gallery.clock import time_told

if TYPE_CHECKING:
    from reidclip.gallery.query import Hit
    from reidclip.stages.search import Answer, SearchResult


def print_answers(result: SearchResult) -> None:
    """A table per query; none where nothing answers, which the search has told."""
    for answer in result.answers:
        if answer.hits:
            console.print(_table(answer, str(result.about.root)))


def _table(answer: Answer, root: str) -> Table:
    worn = f", wearing {answer.clothes}" if answer.clothes >= 0 else ""
    table = Table(title=Text(f"{answer.query}{worn}"), title_justify="left", title_style="bold")
    crops = any(hit.item.key != hit.item.path for hit in answer.hits)  # an item that is a whole picture is called by its path
    for name, side in (
        ("rank", "right"),
        ("distance", "right"),
        ("item", "left"),
        ("camera", "right"),
        ("time", "left"),
        ("clothes", "right"),
    ):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    if crops:
        table.add_column("path", overflow="fold")
    for hit in answer.hits:
        item = hit.item
        cells = (str(hit.rank), f"{hit.distance:.4f}", item.key, _known(item.camid), time_told(item.time), _known(item.clothes_id))
        table.add_row(*(Text(cell) for cell in (*cells, *([item.path] if crops else []))))
    table.caption, table.caption_justify = Text(f"paths are relative to {root}"), "left"
    return table


def _known(number: int) -> str:
    return "" if number < 0 else str(number)


def as_json(result: SearchResult, sheet: Path | None) -> dict[str, Any]:
    """Plain values; clothes that nobody asked about are null."""
    return {
        "index": result.index,
        "model": result.about.model.to_json(),
        "root": str(result.about.root),
        "queries": [
            {
                "query": answer.query,
                "item": answer.item.key if answer.item else None,
                "clothes": answer.clothes if answer.clothes >= 0 else None,
                "hits": [_hit(hit) for hit in answer.hits],
            }
            for answer in result.answers
        ],
        "sheet": str(sheet) if sheet else None,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {"rank": hit.rank, "distance": hit.distance, "row": hit.row, "key": hit.item.key, **asdict(hit.item)}


def check_sheet(path: Path, force: bool) -> None:
    """A sheet can be written there.

    Raises:
        UserError: no PNG, no such folder, or a file that is there already.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"--sheet {path} is no PNG.", "Give it a name that ends in .png.")
    if path.exists() and (path.is_dir() or not force):
        raise UserError(f"{path} is there already.", "Name another file with --sheet, or overwrite it with --force.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder {path.absolute().parent}.", "Make it first, or write the file elsewhere.")
