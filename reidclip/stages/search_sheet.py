"""The answers of a search as a sheet of pictures."""

from __future__ import annotations

import os
from pathlib import Path

from reidclip.data.images import UInt8
from reidclip.errors import WorkError
from reidclip.gallery.clock import time_told
from reidclip.gallery.crops import picture_of
from reidclip.gallery.items import Item
from reidclip.gallery.query import Hit
from reidclip.gallery.result_sheet import Cell, SheetRow, result_sheet
from reidclip.stages.choose import Say
from reidclip.stages.search import Answer, SearchResult


def write_sheet(result: SearchResult, path: Path, say: Say) -> None:
    """Draw queries and answers into a PNG, whole or not at all; pictures that are gone are told and left grey.

    Raises:
        OSError: the file cannot be written.
    """
    root = result.about.root
    gone: list[str] = []
    rows = [SheetRow(_query(root, answer, gone), tuple(_hit(root, hit, gone) for hit in answer.hits)) for answer in result.answers]
    if gone:
        say(f"note: {len(gone)} pictures cannot be shown: {gone[0]}")
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        result_sheet(rows, f"index {result.index}").save(draft, format="PNG")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _query(root: Path, answer: Answer, gone: list[str]) -> Cell:
    picture = answer.picture if answer.item is None else _picture(root, answer.item, gone)
    return Cell(picture, ("query", *_name(answer.query), *(_seen(answer.item) if answer.item else ())))


def _hit(root: Path, hit: Hit, gone: list[str]) -> Cell:
    return Cell(_picture(root, hit.item, gone), (f"{hit.rank}   {hit.distance:.3f}", *_name(hit.item.key), *_seen(hit.item)))


def _name(key: str) -> tuple[str, ...]:
    """The last three parts of a path, the file on a line of its own, and which crop of it: cells are narrow, and files of many folders
    are called alike."""
    path, hash_, crop = key.partition("#")
    parts = path.split("/")
    folders = "/".join(parts[-3:-1])
    above = ".../" if len(parts) > 3 else ""
    return tuple(line for line in (f"{above}{folders}/" if folders else "", parts[-1], hash_ + crop) if line)


def _seen(item: Item) -> tuple[str, ...]:
    """A line each: who, where, in what, as far as it is known."""
    parts = [
        f"person {item.pid}" if item.pid >= 0 else "",
        f"cam {item.camid}" if item.camid >= 0 else "",
        time_told(item.time),
        f"clothes {item.clothes_id}" if item.clothes_id >= 0 else "",
    ]
    return tuple(part for part in parts if part)


def _picture(root: Path, item: Item, gone: list[str]) -> UInt8 | None:
    try:
        return picture_of(root, item)
    except WorkError as error:
        gone.append(error.what)
        return None
