"""Index tables that people write for the layout ``folder``, each with one slip of the pen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.cli.error_inputs.place import Place
from tests.trees import FOLDER_ROWS, folder
from tests.trees import table as csv_text

Rows = Sequence[Sequence[object]]


def table(place: Place, argument: str) -> Path:
    """``table:NAME``: pictures with the index of `_TABLES`; without a name the right one."""
    folder(place.data)
    path = place.data / "index.csv"
    if argument:
        path.write_bytes(_TABLES[argument])
    return path


def rows_of(place: Place, argument: str) -> None:
    """``rows_of:NAME``: the same for tables whose lines are in order, and the data set is not."""
    table(place, argument)


def jsonl(place: Place, argument: str) -> Path:
    """``jsonl:NAME``: the same as lines of JSON."""
    folder(place.data, _JSON_LINES[argument], "index.jsonl")
    return place.data / "index.jsonl"


def second_table(place: Place, argument: str) -> Path:
    """Both an index.csv and an index.jsonl."""
    (place.data / "index.jsonl").write_text("{}\n")
    return place.data


def _with(column: int, value: object, line: int = 0) -> Rows:
    """The rows with one cell changed."""
    return [[value if (i, j) == (line, column) else cell for j, cell in enumerate(row)] for i, row in enumerate(FOLDER_ROWS)]


def _split(*names: str) -> Rows:
    """The rows of these splits."""
    return [row for row in FOLDER_ROWS if row[4] in names]


def _csv(rows: Rows, **header: str) -> bytes:
    return csv_text(rows, **header).encode()


_LINE = '{"path": "a/1.jpg", "pid": 7, "camid": 0, "clothes_id": 70, "split": "train"}\n'

_TABLES: dict[str, bytes] = {
    "missing_column": _csv([row[:3] + row[4:] for row in FOLDER_ROWS], header="path,pid,camid,split"),
    "misspelt_column": _csv(FOLDER_ROWS, header="path,pid,camera_id,clothes_id,split"),
    "doubled_column": _csv(FOLDER_ROWS, header="path,pid,pid,clothes_id,split"),
    "no_header": "\n".join(",".join(str(c) for c in row) for row in FOLDER_ROWS).encode(),
    "semicolons": _csv(FOLDER_ROWS).replace(b",", b";"),
    "unknown_split": _csv(_with(4, "trian")),
    "empty_split": _csv(_with(4, "")),
    "duplicate_path": _csv([*FOLDER_ROWS, FOLDER_ROWS[0]]),
    "duplicate_by_another_way": _csv([*FOLDER_ROWS, ("b/../a/1.jpg", *FOLDER_ROWS[0][1:])]),
    "outside": _csv(_with(0, "../secret.jpg")),
    "absolute": _csv(_with(0, "/etc/hostname")),
    "windows": _csv(_with(0, "a\\1.jpg")),
    "windows_drive": _csv(_with(0, "C:/pictures/1.jpg")),
    "not_there": _csv(_with(0, "a/99.jpg")),
    "a_folder": _csv(_with(0, "a")),
    "empty_path": _csv(_with(0, "")),
    "not_utf8": _csv(FOLDER_ROWS) + b"\xff\xfe,1,0,1,train\n",
    "utf16": csv_text(FOLDER_ROWS).encode("utf-16"),
    "empty": b"",
    "header_alone": _csv([]),
    "open_quote": _csv(FOLDER_ROWS) + b'"a/1.jpg,1,0,1,train\n',
    "too_many_cells": _csv([*FOLDER_ROWS, ("a/x,y.jpg", 1, 0, 1, "train")]),
    "negative_id": _csv(_with(1, -7)),
    "nobody_in_training": _csv(_with(1, -1)),
    "negative_camera": _csv(_with(2, -1)),
    "empty_camera": _csv(_with(2, "")),
    "half_numbers": _csv(_with(1, "anna")),
    "huge_id": _csv(_with(1, 10**30, 3)),
    "huge_camera": _csv(_with(2, 10**12)),
    "null_byte": _csv(_with(0, "a/\x001.jpg")),
    "one_camera": _csv([(path, pid, 0, clothes, split) for path, pid, _, clothes, split in FOLDER_ROWS]),
    "no_match": _csv([(*row[:1], 50 + i if row[4] == "gallery" else row[1], *row[2:]) for i, row in enumerate(FOLDER_ROWS)]),
    "no_training": _csv(_split("query", "gallery")),
    "no_query": _csv(_split("train", "gallery")),
    "no_gallery": _csv(_split("train", "query")),
    "training_alone": _csv(_split("train")),
    "unknown_clothes": _csv(_with(3, "", 3)),
    "training_clothes_unknown": _csv(_with(3, "", 0)),
    "with_mark": b"\xef\xbb\xbf" + _csv(FOLDER_ROWS),
    "windows_lines": _csv(FOLDER_ROWS).replace(b"\n", b"\r\n"),
}

_JSON_LINES: dict[str, str] = {
    "broken_line": _LINE + '{"path": "a/2.jpg", "pid": \n',
    "a_list": _LINE + '["a/2.jpg", 9, 1, 90, "train"]\n',
    "missing_key": _LINE + '{"path": "a/2.jpg", "pid": 9, "camid": 1, "split": "train"}\n',
    "nested": _LINE + '{"path": {"name": "a/2.jpg"}, "pid": 9, "camid": 1, "clothes_id": 1, "split": "train"}\n',
    "infinite": _LINE + '{"path": "a/2.jpg", "pid": Infinity, "camid": 1, "clothes_id": 1, "split": "train"}\n',
}

BUILDERS = (table, rows_of, jsonl, second_table)
