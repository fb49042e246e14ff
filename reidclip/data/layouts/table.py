"""Tables that people write: CSV and JSONL files as rows of text with their line numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reidclip.errors import UserError

TABLE_SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Row:
    """One line: its 1-based number in the file, and column -> text, stripped; what is missing or null is ""."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table file.

    Attributes:
        path: the file, for messages.
        columns: column names in order; of a JSONL file those of its first line.
        rows: lines in order, blank ones left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def fault(self, row: Row, column: str, what: str, remedy: str) -> NoReturn:
        """Raise the `UserError` that names file, line and column."""
        raise UserError(f"{self.path}, line {row.line}, column {column}: {what}.", remedy)


def read_table(path: Path) -> Table:
    """Read a CSV file (comma separated, first line names the columns) or a JSONL file (one object per line).

    Raises:
        UserError: not UTF-8, empty, a line with too many or too few cells, a line that is no JSON object, a nested value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.", "Save it as UTF-8.") from error
    rows = tuple(_csv_rows(path, text) if path.suffix == ".csv" else _jsonl_rows(path, text))
    if not rows:
        raise UserError(f"{path} lists no pictures.", "Write one line per picture.")
    return Table(path, tuple(rows[0].values), rows)


def columns_of(path: Path) -> tuple[str, ...]:
    """Column names of a table from its first line alone; empty for whatever is no table. Never raises."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline(1_000_000)
        if path.suffix == ".csv":
            return tuple(cell.strip() for cell in next(csv.reader([first]), []))
        record = json.loads(first)
        return tuple(record) if isinstance(record, dict) else ()
    except (OSError, ValueError, csv.Error):
        return ()


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        doubled = next((c for c in header if header.count(c) > 1), None)
        if doubled is not None:
            raise UserError(f"{path}, line 1: column '{doubled}' comes twice.", "Name every column once.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but the header names {len(header)} columns.",
                    'Put commas that belong to a value in quotes: "a,b".',
                )
            yield Row(reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}.", "Mend the quotes in that line.") from error


def _jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not valid JSON ({error}).", "Write one JSON object per line.") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: not a JSON object.", 'Write one object per line: {"path": "a.jpg", "pid": 1, ...}.')
        yield Row(number, {str(key): _text(path, number, str(key), value) for key, value in record.items()})


def _text(path: Path, line: int, column: str, value: object) -> str:
    """A JSON value as the text that a CSV cell would hold. Nested values are kept as JSON: only known columns are read."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)
