"""The same vectors as a Parquet table, for whoever reads tables: pandas, DuckDB, Spark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from reidclip.gallery.items import Item
from reidclip.gallery.vectors import VECTORS_FILE

PARQUET_FILE = "vectors.parquet"
_LISTS = {"vector": "vectors", "clothes": "clothes"}  # column -> tensor
_ROWS = 16_384  # of a row group: what is in memory at once


def require_parquet() -> None:
    """Raises `ModuleNotFoundError`, which the command line tells with its remedy, where pyarrow is missing."""
    import pyarrow  # noqa: F401


def write_parquet(folder: Path, items: Sequence[Item]) -> None:
    """``vectors.parquet`` beside a folder's ``vectors.safetensors``: one row per vector.

    Columns: those of `Item` (null where unknown; ``left``, ``top``, ``width``, ``height`` for the box), ``vector`` and, where clothes were
    described, ``clothes``: lists of float32 of fixed length. A name that is no text has its bytes as \\xNN.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / VECTORS_FILE
    with safe_open(path, framework="numpy") as file:
        widths = {column: file.get_slice(name).get_shape()[1] for column, name in _LISTS.items() if name in file.keys()}  # noqa: SIM118
    schema = _schema(widths)
    with parquet.ParquetWriter(folder / PARQUET_FILE, schema, compression="zstd") as writer:
        for start in range(0, len(items), _ROWS):
            part = items[start : start + _ROWS]
            columns = _columns(part)
            with safe_open(path, framework="numpy") as file:  # anew, or what was read of the mapped file stays in memory
                for column in widths:
                    flat = pa.array(np.ascontiguousarray(file.get_slice(_LISTS[column])[start : start + len(part)]).ravel())
                    columns[column] = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(column).type)
            writer.write_table(pa.table(columns, schema=schema))


def _schema(lists: dict[str, int]) -> Any:
    import pyarrow as pa

    whole = ("frame", "left", "top", "width", "height", "track", "pid", "camid", "clothes_id")
    fields = [pa.field("path", pa.string(), nullable=False)]
    fields += [pa.field(name, pa.int64()) for name in whole]
    fields += [pa.field("time", pa.float64()), pa.field("domain", pa.string())]
    return pa.schema(fields + [pa.field(name, pa.list_(pa.float32(), width), nullable=False) for name, width in lists.items()])


def _columns(items: Sequence[Item]) -> dict[str, Any]:
    columns: dict[str, Any] = {"path": [_text(item.path) for item in items]}
    for name in ("frame", "track", "pid", "camid", "clothes_id"):
        columns[name] = [value if (value := getattr(item, name)) >= 0 else None for item in items]
    for place, name in enumerate(("left", "top", "width", "height")):
        columns[name] = [None if item.box is None else item.box[place] for item in items]
    columns["time"] = [item.time for item in items]
    columns["domain"] = [_text(item.domain) or None for item in items]
    return columns


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
