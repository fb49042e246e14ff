"""The terminal belongs to the first process: the others that torchrun started are silent until one fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from reidclip.cli.console import console, set_quiet


@contextmanager
def processes() -> Iterator[None]:
    """Within, every process but the first prints neither results nor progress."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    from reidclip.parallel.processes import is_first, launched

    launched()  # a WORLD_SIZE that is no number is told here
    if is_first():
        yield
        return
    set_quiet(True)
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
