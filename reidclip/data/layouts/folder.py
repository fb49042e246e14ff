"""A user's own pictures, described by one table: path, pid, camid, clothes_id, split."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from reidclip.data.faults import DataFaultsError, Fault
from reidclip.data.layouts.table import TABLE_SUFFIXES, Row, Table, columns_of, read_table
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.errors import UserError, nearest
from reidclip.records import Dataset, Protocol, Rule, Sample

SPLITS = ("train", "val", "query", "gallery")
REQUIRED = ("path", "pid", "camid", "clothes_id", "split")
OPTIONAL = ("domain", "camera")

EXPECTED_TREE = """\
DATA/index.csv    with columns path,pid,camid,clothes_id,split (or index.jsonl; optional: domain,camera)
DATA/...          the pictures, paths relative to DATA; split is train, val, query or gallery; clothes_id may be empty"""

_INTEGER = re.compile(r"(-?\d+)(\.0+)?")  # "3.0" is what spreadsheets make of a 3 beside an empty cell
_UNKNOWN = ("", "-1")
_LARGEST = 2**63 - 1  # of a 64-bit integer, which labels become


class FolderLayout:
    """Reads ``index.csv`` or ``index.jsonl``, or the only table in the folder that has the columns."""

    name = "folder"
    title = "A folder of pictures with an index table"
    expected_tree = EXPECTED_TREE
    source = ""
    published = ()

    def recognises(self, root: Path) -> bool:
        """True for a folder with an index file, or with another table that has the required columns."""
        try:
            return bool(_index_files(root) or _fitting_tables(root))
        except OSError:
            return False

    def yields(self, root: Path) -> bool:
        """True when no table is named index: then the table may be anybody's, and a layout that knows the tree comes first."""
        return not _index_files(root)

    def load(self, root: Path) -> Dataset:
        """All samples and protocols.

        Names instead of numbers are allowed in an id column: they are numbered in sorted order. Outfits belong to a
        person: when two people share a clothes_id, every (pid, clothes_id) becomes a class of its own. `notes` says so,
        and why protocols are missing.

        Raises:
            UserError: naming file, line and column of the first fault.
            DataFaultsError: the table is in order, but files that it lists are not there.
        """
        table = read_table(_table_file(root))
        _check_columns(table)
        notes: list[str] = []
        missing: dict[str, Fault] = {}
        samples = _samples(table, root, notes, missing)
        dataset = Dataset(self.name, root, samples, _protocols(samples, table, notes), tuple(notes))
        if missing:
            raise DataFaultsError(tuple(missing.values()), dataset)
        return dataset


LAYOUT = FolderLayout()


def _index_files(root: Path) -> list[Path]:
    return [path for suffix in TABLE_SUFFIXES if (path := root / f"index{suffix}").is_file()]


def _fitting_tables(root: Path) -> list[Path]:
    return [path for path in _tables(root) if set(REQUIRED) <= set(columns_of(path))]


def _tables(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.suffix in TABLE_SUFFIXES and p.is_file()) if root.is_dir() else []


def _table_file(root: Path) -> Path:
    """The table to read: the index file, else the one that fits, else the only one there is."""
    for files in (_index_files(root), _fitting_tables(root), _tables(root)):
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise UserError(f"{root} has several tables: {names}.", "Name the one to read index.csv or index.jsonl, and keep only that.")
        if files:
            return files[0]
    raise UserError(f"{root} has no index table.", f"Expected:\n{EXPECTED_TREE}")


def _check_columns(table: Table) -> None:
    missing = [column for column in REQUIRED if column not in table.columns]
    if missing:
        raise UserError(
            f"{table.path} has no column {', '.join(missing)}; its columns are {', '.join(table.columns)}.",
            f"The columns are {','.join(REQUIRED)} (optional: {','.join(OPTIONAL)}).",
        )
    for row in table.rows:  # a line of JSONL may lack what the first one has
        for column in REQUIRED:
            if column not in row.values:
                table.fault(row, column, "is missing", f"Every line has {', '.join(REQUIRED)}.")


def _samples(table: Table, root: Path, notes: list[str], missing: dict[str, Fault]) -> tuple[Sample, ...]:
    """All whose files are there; ``missing`` gets the others, by path."""
    paths = _paths(table, root)
    missing.update(_missing(table, root, paths))
    splits = _splits(table)
    pids = _ids(table, "pid", notes, unknown=("-1",))
    camids = _ids(table, "camid", notes, unknown=())
    clothes = _outfits(pids, _ids(table, "clothes_id", notes, unknown=_UNKNOWN), notes)
    cameras = _ids(table, "camera", notes, unknown=_UNKNOWN)
    for row, pid, split in zip(table.rows, pids, splits, strict=True):
        if pid == -1 and split != "gallery":
            table.fault(row, "pid", f"-1 means nobody, which a {split} picture cannot be", "Give its identity, or put it in the gallery.")
    samples = [
        Sample(path, pid, camid, outfit, split, row.values.get("domain", ""), None if camera == -1 else camera)
        for row, path, pid, camid, outfit, split, camera in zip(table.rows, paths, pids, camids, clothes, splits, cameras, strict=True)
        if path not in missing
    ]
    trained = {s.pid for s in samples if s.split == "train"}
    tested = {s.pid for s in samples if s.split in ("query", "gallery")}
    if trained & tested:
        notes.append(f"{len(trained & tested)} identities are in train and in query or gallery: results will look better than they are.")
    return tuple(sorted(samples, key=lambda s: (SPLITS.index(s.split), s.path)))


def _paths(table: Table, root: Path) -> list[str]:
    """Normal form of every path; each lies inside the root and comes once."""
    first_line: dict[str, int] = {}
    for row in table.rows:
        given = row.values["path"]
        path = posixpath.normpath(given) if given else ""
        if not path or path == ".":
            table.fault(row, "path", "is empty", "Give the picture's path relative to the folder of the table.")
        if "\\" in path or re.match(r"[A-Za-z]:", path):
            table.fault(row, "path", f"'{given}' is written as on Windows", "Write a relative path with forward slashes.")
        if posixpath.isabs(path) or path.split("/")[0] == "..":
            table.fault(row, "path", f"'{given}' is outside {root}", "Move the picture into the folder of the table.")
        if path in first_line:
            table.fault(row, "path", f"'{given}' is listed already in line {first_line[path]}", "List every picture once.")
        first_line[path] = row.line
    return list(first_line)


def _missing(table: Table, root: Path, paths: Sequence[str]) -> dict[str, Fault]:
    found = {}
    for row, path in zip(table.rows, paths, strict=True):
        if not (root / path).is_file():
            what = f"{table.path}, line {row.line}, column path: there is no file {root / path}"
            file = f"{table.path.name}, line {row.line}: {path}"
            found[path] = Fault("Listed pictures that are missing", file, what, "Restore it or remove the line.")
    return found


def _splits(table: Table) -> list[str]:
    for row in table.rows:
        if row.values["split"] not in SPLITS:
            table.fault(row, "split", f"unknown split '{row.values['split']}'", nearest(row.values["split"], SPLITS))
    return [row.values["split"] for row in table.rows]


def _ids(table: Table, column: str, notes: list[str], unknown: Sequence[str]) -> list[int]:
    """A column as integers, -1 where the text is one of ``unknown``; names are numbered in sorted order."""
    texts = [_plain(row.values.get(column, "")) for row in table.rows]
    known = [(row, text) for row, text in zip(table.rows, texts, strict=True) if text not in unknown]
    names = [(row, text) for row, text in known if not _INTEGER.fullmatch(text)]
    if not names:
        for row, text in known:
            if int(text) < 0:
                table.fault(row, column, f"{text} is negative", "Number from 0 or 1 on.")
            if int(text) > _LARGEST:
                table.fault(row, column, f"{text} is too large for a number", "Use numbers below 2^63, or names everywhere.")
        return [-1 if text in unknown else int(text) for text in texts]
    _check_names(table, column, known, names)
    number = {name: i for i, name in enumerate(sorted({text for _, text in names}))}
    notes.append(f"Column {column} holds names; they are numbered 0..{len(number) - 1} in sorted order.")
    return [-1 if text in unknown else number[text] for text in texts]


def _plain(text: str) -> str:
    match = _INTEGER.fullmatch(text)
    return match[1] if match else text


def _check_names(table: Table, column: str, known: Sequence[tuple[Row, str]], names: Sequence[tuple[Row, str]]) -> None:
    """A column holds integers or names; a mixture is a slip of the pen, and an empty cell is nothing."""
    for row, text in names:
        if not text:
            table.fault(row, column, "is empty", f"Give every picture a {column}.")
    if len(names) < len(known):
        row, text = names[0]
        table.fault(row, column, f"'{text}' is no integer, but other lines hold integers", "Use integers everywhere, or names everywhere.")


def _outfits(pids: Sequence[int], clothes: Sequence[int], notes: list[str]) -> list[int]:
    """Outfit classes that belong to one identity each: kept as given if they do, else numbered by (pid, clothes_id)."""
    pairs = {(pid, c) for pid, c in zip(pids, clothes, strict=True) if c != -1}
    if len({c for _, c in pairs}) == len(pairs):
        return list(clothes)
    number = {pair: i for i, pair in enumerate(sorted(pairs))}
    notes.append(f"People share a clothes_id; the {len(pairs)} pairs (pid, clothes_id) are numbered in sorted order instead.")
    return [-1 if c == -1 else number[pid, c] for pid, c in zip(pids, clothes, strict=True)]


def _protocols(samples: Sequence[Sample], table: Table, notes: list[str]) -> tuple[Protocol, ...]:
    tested = [s for s in samples if s.split in ("query", "gallery")]
    if {s.split for s in tested} != {"query", "gallery"}:
        return ()
    general = Protocol("general", Rule.STD, "query", "gallery", note="Gallery pictures of the same identity and camera are ignored.")
    sought = {s.pid for s in tested if s.split == "query"}  # clothes are compared within an identity only
    clothes_rules = (
        Protocol("same-clothes", Rule.SC, "query", "gallery", note="Also ignored: the same identity in other clothes."),
        Protocol("cloth-changing", Rule.CC, "query", "gallery", note="Also ignored: the same identity in the same clothes."),
    )
    unknown = {s.path for s in tested if s.clothes_id == -1 and s.pid in sought}
    if not unknown:
        return (general, *clothes_rules)
    first = min(row.line for row in table.rows if posixpath.normpath(row.values["path"]) in unknown)
    reason = (
        "both need the clothes_id of every picture of a query identity in query and gallery; "
        f"{len(unknown)} {'is' if len(unknown) == 1 else 'are'} unknown (first: {table.path.name} line {first})."
    )
    notes.append(missing_protocols_note([p.name for p in clothes_rules], reason))
    return (general,)
