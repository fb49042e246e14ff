"""Tables of features on disk while they are computed and after: a killed run goes on where it was, large tables need no memory.

``<name>.npy`` per table, and ``features.json``: what they are of, and how many rows are safely on the disk. Both can be read by numpy.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from reidclip.artifacts.durable import write_durable, writing_to
from reidclip.artifacts.lock import LockedError, exclusive
from reidclip.errors import WorkError

MAPPED_BYTES = 1 << 29
"""Above this size of all tables together they are mapped into memory, not read into it."""
SYNC_SECONDS = 30.0


class FeatureFiles:
    """(rows, width) float32 tables that grow row by row; a context manager while they are written, by one process at a time.

    Attributes:
        done: rows that are safely on the disk, the same for all tables.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], names: Sequence[str], rows: int, width: int) -> None:
        """Look at what is there.

        Args:
            folder: made when it is written to.
            facts: plain values for JSON that say what the features depend on; those of other facts are written anew.
            names: of the tables.
            rows, width: of each table.
        """
        self._folder, self._names, self._rows, self._width = folder, tuple(names), rows, width
        self._facts = json.loads(json.dumps({**facts, "names": list(names), "rows": rows, "width": width}))
        self._files: dict[str, BinaryIO] = {}
        self._stack = contextlib.ExitStack()
        self._written = self._synced = 0.0
        self.done = self._safe_rows()

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.done == self._rows

    def append(self, tables: Mapping[str, Tensor]) -> None:
        """Add the next rows of every table; a full disk is a `WorkError`."""
        with writing_to(self._folder, self._folder):
            for name, file in self._files.items():
                file.write(np.ascontiguousarray(tables[name].detach().cpu().numpy(), dtype="<f4").tobytes())
            self._written += len(tables[self._names[0]])
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self._sync()

    def read(self, device: torch.device) -> dict[str, Tensor]:
        """The tables: on the device, or, when they are large, on the CPU and mapped into memory."""
        mapped = 4 * len(self._names) * self._rows * self._width > MAPPED_BYTES
        tables = {name: torch.from_numpy(np.load(self._path(name), mmap_mode="c" if mapped else None)) for name in self._names}
        return tables if mapped else {name: table.to(device) for name, table in tables.items()}

    def __enter__(self) -> FeatureFiles:
        """Open behind the safe rows.

        Raises:
            WorkError: another process writes them.
        """
        with writing_to(self._folder, self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._stack.enter_context(exclusive(self._folder / "lock"))
            except LockedError:
                raise WorkError(f"Another process is at this very run ({self._folder}).", "Wait for it to end.") from None
            self.done = self._safe_rows()
            for name in self._names:
                self._files[name] = self._stack.enter_context(self._open(name))
        self._written, self._synced = self.done, time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack, writing_to(self._folder, self._folder):
            self._sync()
        self._files = {}

    def _open(self, name: str) -> BinaryIO:
        """The table's file, cut behind the safe rows and placed there."""
        file = self._path(name).open("r+b" if self.done else "wb")
        if not self.done:
            shape = (self._rows, self._width)
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        else:
            file.seek(self._start(name) + 4 * self.done * self._width)
            file.truncate()
        return file

    def _sync(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self.done = int(self._written)
        part = self._folder / "features.json.part"
        write_durable(part, json.dumps({"facts": self._facts, "done": self.done}).encode())
        os.replace(part, self._folder / "features.json")
        self._synced = time.monotonic()

    def _safe_rows(self) -> int:
        """0 where there is nothing, where it is of something else, or where a file is shorter than it should be."""
        try:
            told = json.loads((self._folder / "features.json").read_text(encoding="utf-8"))
            if told["facts"] != self._facts:
                return 0
            done = int(told["done"])
            whole = all(self._path(name).stat().st_size >= self._start(name) + 4 * done * self._width for name in self._names)
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return done if whole else 0

    def _start(self, name: str) -> int:
        """Where the numbers begin in the table's file."""
        with self._path(name).open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return file.tell()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"
