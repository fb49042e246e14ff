"""Pictures that were decoded and resized once are kept: in memory, or in a packed file beside the artifacts.

What is kept are planes: (3, H, W) uint8 RGB, or (4, H, W) with the mask (1 = not clothes) as the last one.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from reidclip.artifacts.durable import is_disk_full
from reidclip.artifacts.lock import LockedError, exclusive
from reidclip.artifacts.names import safe_name
from reidclip.data.images import UInt8
from reidclip.data.memory import free_memory, processes_here
from reidclip.data.packed import Shape, UnfitPackError, map_packed, open_packed, write_packed
from reidclip.errors import UserError, WorkError

CacheKind = Literal["auto", "ram", "disk", "none"]
CACHE_KINDS: tuple[CacheKind, ...] = ("auto", "ram", "disk", "none")

AUTO_SHARE = 0.5  # of the free memory: what `auto` may take
_POLL_SECONDS = 0.2  # between looks at a packed file that another process writes


class Pictures(Protocol):
    """Pictures of one size by index."""

    def __getitem__(self, index: int) -> UInt8:
        """(C, H, W); not to be written to."""
        ...


@dataclass(frozen=True)
class Cache:
    """What becomes of decoded pictures.

    Attributes:
        kind: "ram" keeps them in memory from their first use on; "disk" writes all of them to one packed file first and reads that one,
            in this and later runs; "none" decodes a picture whenever it is needed; "auto" is "ram" when all of them fit in half of the
            free memory, else "none".
        folder: of packed files.
        identity: digest of the data and masks that the pictures belong to.
        name: beginning of the file's name.
        say: is told what takes time.
        progress: (what, done, total).
    """

    kind: CacheKind = "auto"
    folder: Path | None = None
    identity: str = ""
    name: str = "pictures"
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[str, int, int], None] | None = None


class RamCache:
    """Planes by index, each decoded at its first use; memory that worker processes forked later share with this one.

    Raises:
        OSError: there is not so much memory.
    """

    def __init__(self, decoded: Pictures, shape: Shape) -> None:
        count, size = shape[0], int(np.prod(shape))
        self._decoded = decoded
        self._memory = mmap.mmap(-1, size + count + 1)  # anonymous and shared; taken page by page as it is written
        self._planes = np.frombuffer(self._memory, np.uint8, size).reshape(shape)
        self._filled = np.frombuffer(self._memory, np.uint8, count, offset=size)
        self._given = self._planes.view()
        self._given.flags.writeable = False

    def __getitem__(self, index: int) -> UInt8:
        """See `Pictures`."""
        if not self._filled[index]:
            self._planes[index] = self._decoded[index]
            self._filled[index] = 1  # last: two processes may both decode it, none may read half of it
        picture: UInt8 = self._given[index]
        return picture


class PackedPictures:
    """A packed file, mapped; a copy in another process maps it anew."""

    def __init__(self, path: Path, key: str, shape: Shape, pictures: UInt8) -> None:
        self._where = (path, key, shape)
        self._pictures = pictures

    def __getitem__(self, index: int) -> UInt8:
        """See `Pictures`."""
        picture: UInt8 = self._pictures[index]
        return picture

    def __getstate__(self) -> tuple[Path, str, Shape]:
        return self._where

    def __setstate__(self, where: tuple[Path, str, Shape]) -> None:
        self._where, self._pictures = where, map_packed(*where)


def in_memory(cache: Cache, decoded: Pictures, shape: Shape) -> RamCache | None:
    """The memory that the cache asks for; None when "auto" finds too little.

    Raises:
        UserError: "ram" and too little is free.
    """
    needed, free = int(np.prod(shape)), free_memory()
    processes = processes_here()  # each keeps its own
    if needed * processes <= free * (AUTO_SHARE if cache.kind == "auto" else 1.0):
        with suppress(OSError):
            return RamCache(decoded, shape)
    if cache.kind == "auto":
        return None
    raise UserError(
        f"--cache ram: {shape[0]} pictures of {shape[2]} x {shape[3]} take {_gb(needed * processes)}, {_gb(free)} of memory are free.",
        "Use --cache disk, or --cache none.",
    )


def key_of(cache: Cache, files: Sequence[Path], facts: dict[str, Any]) -> str:
    """Digest of what packed pixels depend on: the data, its files' sizes and times, and how they are decoded (Pillow's versions differ)."""
    from PIL import __version__ as pillow
    from PIL import features

    digest = hashlib.sha256()
    codec = features.version("libjpeg_turbo") or features.version("jpg")
    digest.update(json.dumps({"data": cache.identity, "pillow": pillow, "jpeg": codec, **facts}, sort_keys=True).encode())
    for file in files:
        try:
            stat = file.stat()
        except FileNotFoundError:
            continue  # reading it will say so
        digest.update(f"{file.name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def packed(cache: Cache, key: str, shape: Shape, decode_all: Callable[[], Iterator[UInt8]]) -> PackedPictures:
    """The packed file of these pictures, made first when it is not there or does not fit.

    Of several processes one makes it and the others wait for it.

    Args:
        cache: folder, name, who is told.
        key: see `key_of`.
        shape: (N, C, H, W).
        decode_all: the N pictures in order.

    Raises:
        UserError: the folder cannot be written. WorkError: the disk is too full, or a picture is broken.
    """
    if cache.folder is None:
        raise ValueError("a packed cache needs a folder")
    path = cache.folder / f"{safe_name(cache.name)}-{shape[2]}x{shape[3]}-{key[:16]}.safetensors"
    lock = path.with_suffix(".lock")
    waits = False
    while True:
        with suppress(OSError, UnfitPackError):
            return _open(path, key, shape)  # without a lock: the folder may be one that can only be read
        try:
            with _writing(cache.folder), _locked(lock):
                try:
                    return _open(path, key, shape)  # another process has made it meanwhile
                except FileNotFoundError:
                    cache.say(f"packing {shape[0]} pictures of {shape[2]} x {shape[3]} into {path} ({_gb(int(np.prod(shape)))})")
                except UnfitPackError as error:
                    cache.say(f"packing pictures again: {path} does not fit ({error})")
                _check_space(cache.folder, int(np.prod(shape)))
                write_packed(path, key, shape, _told(cache, shape[0], decode_all()))
        except LockedError:
            if not waits:
                cache.say(f"waiting for another process that packs these pictures ({path})")
            waits = True
            time.sleep(_POLL_SECONDS)


def _open(path: Path, key: str, shape: Shape) -> PackedPictures:
    pictures = open_packed(path, key, shape)
    with suppress(OSError):
        os.utime(path)  # `artifacts gc` removes those that were not used for long
    return PackedPictures(path, key, shape, pictures)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path):
        yield


def _told(cache: Cache, total: int, pictures: Iterator[UInt8]) -> Iterator[UInt8]:
    for done, picture in enumerate(pictures, start=1):
        yield picture
        if cache.progress:
            cache.progress("packing pictures", done, total)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the operating system says about a folder that cannot be written, as a sentence."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise _disk_full(folder) from error
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        if there.is_file():
            raise UserError(
                f"{there} is a file where a folder is needed, for packed pictures (--cache disk).",
                "Move it away, choose another store with --store, or use --cache ram or --cache none.",
            ) from error
        raise UserError(
            f"The cache folder {folder} cannot be written: {error.strerror or error}.",
            "Change its permissions, choose another store with --store, or use --cache ram or --cache none.",
        ) from error


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _disk_full(folder, f"{_gb(needed)} are needed, {_gb(free)} are free")


def _disk_full(folder: Path, detail: str = "nothing half-written was kept") -> WorkError:
    return WorkError(
        f"The disk is too full for packed pictures in {folder}: {detail}.",
        "Free some space (`reidclip artifacts gc --days 0` removes packed pictures), or use --cache ram or --cache none.",
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
