"""Writing that survives a power cut, and what to say when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from reidclip.errors import UserError, WorkError

# Above this many files one os.sync() is cheaper than a sync of each (34,000 label maps: about a second against minutes).
_MANY_FILES = 256
OTHER_STORE = "Choose another folder with --store (or REIDCLIP_STORE), or change its permissions."


def write_durable(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_tree(folder: Path, files: Sequence[str]) -> None:
    """Wait until the named files (relative paths) and their folders are on the disk."""
    if len(files) > _MANY_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for name in files:
        _sync(folder / name)
    for parent in sorted({folder, *((folder / name).parent for name in files)}):
        sync_folder(parent)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk; does nothing where folders cannot be synchronised (Windows)."""
    if os.name != "nt":
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # some network file systems have no fsync
            raise
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """True for a full disk or quota, also when a library (safetensors, torch) wrapped the error in its own."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, Exception) and any(text in str(error) for text in ("No space left", "StorageFull", "Disk quota exceeded"))


def disk_full(folder: Path, kept: str = "Nothing half-written was kept.") -> WorkError:
    """The error that names the folder and the free space of its disk."""
    free = "unknown space"
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(_existing(folder)).free / 1e6:.1f} MB"
    return WorkError(
        f"The disk is full: writing to {folder} failed with {free} free. {kept}",
        "Free some space (`reidclip artifacts gc` removes left-overs), or choose another place with --store.",
    )


@contextlib.contextmanager
def writing_to(folder: Path, root: Path) -> Iterator[None]:
    """Turn what the operating system says about a store that cannot be written into a sentence.

    Raises:
        UserError: the store is a file, or read-only. WorkError: the disk is full.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{error.filename or root} is a file where the store {root} needs a folder.", OTHER_STORE) from error
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise UserError(f"The store {root} cannot be written: {error.strerror}: {error.filename or folder}.", OTHER_STORE) from error
        raise


def _existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path())


def rename_to_new(source: Path, target: Path) -> bool:
    """Rename a folder; False when the target exists.

    POSIX lets a folder replace an *empty* one, but a version folder is never empty: it appears by such a rename, manifest included,
    and disappears by one. So of two writers that want the same version exactly one gets it.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or (os.name == "nt" and target.exists()):
            return False
        raise
    return True
