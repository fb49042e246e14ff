"""Which file a worker process is at, told in memory that outlives it: a codec that crashes takes its process along without a word."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

SLOT_BYTES = 1024
_HEAD = 16  # process id as text, padded


class _Slot:
    """Where this process tells its file; nowhere in a process that is no worker."""

    board: mmap.mmap | None = None
    start = 0


def sit_at(board: mmap.mmap, number: int) -> None:
    """From now on this process tells its files in slot ``number`` of the board, ``SLOT_BYTES`` each."""
    _Slot.board, _Slot.start = board, number * SLOT_BYTES
    _write(str(os.getpid()).encode(), 0, _HEAD)


def at(path: Path) -> None:
    """This process reads that file now."""
    if _Slot.board is not None:
        _write(os.fsencode(path), _HEAD, SLOT_BYTES - _HEAD)


def slot_of(board: mmap.mmap, number: int) -> tuple[int, str]:
    """Process id of a slot's worker (0: none yet) and the file that it told last."""
    slot = board[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]
    return int(slot[:_HEAD].rstrip(b"\0") or 0), os.fsdecode(slot[_HEAD:].split(b"\0", 1)[0])


def _write(text: bytes, offset: int, room: int) -> None:
    if _Slot.board is not None:
        start = _Slot.start + offset
        _Slot.board[start : start + room] = text[:room].ljust(room, b"\0")
