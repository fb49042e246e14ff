"""How much memory is free for this process, and how many processes of one run share the machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_UNKNOWN = 2 * 2**30  # where the system does not tell: what any machine that trains has


def free_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be taken without pushing anything out: the machine's, or what a container's limit leaves.

    Args:
        meminfo, group: where Linux tells; elsewhere half of the machine's memory counts as free.
    """
    return max(0, min(_of_machine(meminfo), _of_container(group)))


def processes_here() -> int:
    """Processes that torchrun started on this machine; 1 without it. Each has its own cache and its own workers."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def _of_machine(meminfo: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _UNKNOWN


def _of_container(group: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())  # "max" when there is none
        used = int((group / "memory.current").read_text())
        return limit - used + _reclaimable(group)
    return 2**62


def _reclaimable(group: Path) -> int:
    """Cached files, which the system gives up first."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (group / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    return 0
