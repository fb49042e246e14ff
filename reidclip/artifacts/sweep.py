"""Removing what killed processes left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from reidclip.artifacts.lock import LockedError, exclusive

TEMPORARY = ".tmp-"
TRASH = ".trash-"
PARTIAL = ".partial-"
LOCK = ".lock"
RUNS = ".runs"
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
    """Remove state folders of unfinished trainings that nobody has touched for ``max_age_days``."""
    removed = []
    for path in _entries(root / RUNS):
        if _age_days(path) > max_age_days:
            removed += _remove(path, dry_run)
    return removed


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


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
