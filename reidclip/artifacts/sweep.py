"""Removing what killed processes left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from reidclip.artifacts.lock import LockedError, exclusive, is_held

TEMPORARY = ".tmp-"
TRASH = ".trash-"
PARTIAL = ".partial-"
LOCK = ".lock"
RUNS = ".runs"
CACHE = ".cache"
RUN_LOCK = "lock"  # in a run folder, held while its training is at work
_DAY = 86400.0


def temporary_name(prefix: str = TEMPORARY) -> str:
    """``.tmp-<pid>-<random>``; the random part starts with a digest of the host, for process ids mean nothing on another one."""
    return f"{prefix}{os.getpid()}-{_host()}{secrets.token_hex(4)}"


def stale_in(name_folder: Path, max_age_days: float) -> Iterator[Path]:
    """Temporary folders of one artifact name whose writer is gone, or that nobody has touched for ``max_age_days``."""
    for entry in _entries(name_folder):
        if entry.name.startswith((TEMPORARY, TRASH)) and (_writer_is_gone(entry.name) or _age_days(entry) > max_age_days):
            yield entry


def sweep_name(name_folder: Path, max_age_days: float, dry_run: bool = False) -> list[Path]:
    """Remove stale temporary folders and old partial ones of one artifact name; return what was removed."""
    removed = []
    for path in stale_in(name_folder, max_age_days):
        removed += _remove(path, dry_run)
    for path in _entries(name_folder):
        if path.name.startswith(PARTIAL) and _age_days(path) > max_age_days:
            removed += _remove_unlocked(path, dry_run)
    return removed


def sweep_runs(root: Path, max_age_days: float, dry_run: bool = False) -> list[Path]:
    """Remove state folders of unfinished trainings that hold nothing, or that nobody has touched for ``max_age_days``.

    A folder whose lock a live process holds stays.
    """
    removed = []
    for path in _entries(root / RUNS):
        if is_held(path / RUN_LOCK):
            continue
        if _is_empty(path, but_for=(path / RUN_LOCK,)):
            removed += _remove_empty(path, dry_run)
        elif _age_days(path) > max_age_days:
            removed += _remove(path, dry_run)
    return removed


def sweep_cache(root: Path, max_age_days: float, dry_run: bool = False) -> list[Path]:
    """Remove what dead writers left in the cache, and files there that nobody has used for ``max_age_days``: they can be made again."""
    removed = [path for stale in stale_in(root / CACHE, max_age_days) for path in _remove(stale, dry_run)]
    for path in _entries(root / CACHE):
        if path not in removed and not path.name.startswith(TEMPORARY) and not is_held(path) and _age_days(path) > max_age_days:
            removed += _remove(path, dry_run)
    return removed


def sweep_empty(name_folder: Path, gone: Sequence[Path] = (), dry_run: bool = False) -> list[Path]:
    """Remove the folder of an artifact name when it holds nothing (but ``gone``, which a dry run would have removed)."""
    return _remove_empty(name_folder, dry_run) if _is_empty(name_folder, gone) else []


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_empty(folder: Path, but_for: Sequence[Path] = ()) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not set(_entries(folder)) - set(but_for)


def _remove_empty(folder: Path, dry_run: bool) -> list[Path]:
    """Unlike `_remove` it takes nothing along that another process puts into the folder meanwhile."""
    if not dry_run:
        with contextlib.suppress(OSError):
            (folder / RUN_LOCK).unlink(missing_ok=True)
            folder.rmdir()
    return [folder] if dry_run or not folder.exists() else []


def _remove(path: Path, dry_run: bool) -> list[Path]:
    if not dry_run:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [path] if dry_run or not path.exists() else []


def _remove_unlocked(path: Path, dry_run: bool) -> list[Path]:
    lock = path if path.name.endswith(LOCK) else path.with_name(path.name + LOCK)
    with contextlib.suppress(LockedError), exclusive(lock):
        return _remove(path, dry_run)
    return []


def _host() -> str:
    """Where a process id has a meaning: the host and, on Linux, the container's id space."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]


def _writer_is_gone(name: str) -> bool:
    """True only when it is certain: the process ran on this host and is no more."""
    pid, _, rest = name.split("-", 1)[1].partition("-")
    if os.name == "nt" or not pid.isdecimal() or not rest.startswith(_host()):
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def _age_days(path: Path) -> float:
    """Time since anything in the folder was last written; 0 when something vanishes meanwhile: somebody is at work there."""
    try:
        newest = path.stat().st_mtime
        for folder, _, files in os.walk(path):
            newest = max(newest, os.stat(folder).st_mtime, *(os.stat(os.path.join(folder, f)).st_mtime for f in files))
    except OSError:
        return 0.0
    return (time.time() - newest) / _DAY
