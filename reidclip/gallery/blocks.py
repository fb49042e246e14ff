"""Vectors on their way: blocks of about a thousand items, each a file that is whole or not there, so that a run goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reidclip.artifacts.draft import Draft
from reidclip.gallery.sources import Source

FOLDER = "blocks"
ITEMS = 1024


@dataclass(frozen=True)
class Block:
    """Vectors of items that follow each other.

    Attributes:
        rows: (n,) int64, places of the items among all; those that could not be read are missing.
        vectors: (n, D) float32.
        clothes: (n, C) float32, or None.
    """

    rows: np.ndarray
    vectors: np.ndarray
    clothes: np.ndarray | None


@dataclass(frozen=True)
class Span:
    """Which items a block is of: ``start`` to ``stop`` of one source, behind ``first`` items of the sources before."""

    number: int
    source: int
    first: int
    start: int
    stop: int

    def batches(self, batch_size: int) -> list[tuple[int, int]]:
        """Its parts that are encoded together: they do not depend on where an earlier run was cut."""
        return [(at, min(at + batch_size, self.stop)) for at in range(self.start, self.stop, batch_size)]


def spans(sources: Sequence[Source], batch_size: int) -> list[Span]:
    """All blocks, of whole batches where the source is long enough."""
    length = batch_size * max(1, ITEMS // batch_size)
    found: list[Span] = []
    first = 0
    for number, source in enumerate(sources):
        for start in range(0, len(source.items), length):
            found.append(Span(len(found), number, first, start, min(start + length, len(source.items))))
        first += len(source.items)
    return found


class BlockFiles:
    """The blocks of a draft that can be resumed."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def has(self, number: int) -> bool:
        """Whether an earlier run finished this block."""
        return _name(number) in self._draft.existing and self._read(number) is not None

    def write(self, number: int, block: Block) -> None:
        """Keep one block."""
        tensors = {"rows": block.rows, "vectors": np.ascontiguousarray(block.vectors)}
        if block.clothes is not None:
            tensors["clothes"] = np.ascontiguousarray(block.clothes)
        self._draft.write(_name(number), save(tensors))

    def all(self, count: int) -> Iterator[Block]:
        """Blocks 0 to ``count``, one at a time in memory."""
        for number in range(count):
            block = self._read(number)
            assert block is not None, f"block {number} is gone"
            yield block

    def remove(self) -> None:
        """Take them out of the artifact: what they hold is in its tables."""
        folder = self._draft.path / FOLDER
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def _read(self, number: int) -> Block | None:
        try:
            tensors = load((self._draft.path / _name(number)).read_bytes())
            return Block(tensors["rows"], tensors["vectors"], tensors.get("clothes"))
        except (OSError, SafetensorError, KeyError):
            return None


def _name(number: int) -> str:
    return f"{FOLDER}/{number:06d}.safetensors"
