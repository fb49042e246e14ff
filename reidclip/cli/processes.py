"""The terminal belongs to the first process: the others that torchrun started are silent until one fails."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from reidclip.cli.console import be_silent
from reidclip.errors import UserError

SHARED = ("prompt-learn", "finetune", "parse", "mask", "evaluate")  # commands that several processes do together


@contextmanager
def processes(arguments: Sequence[str]) -> Iterator[None]:
    """Within, every process but the first prints neither results nor progress.

    Raises:
        UserError: several processes were started for a command that they would each do whole.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    from reidclip.parallel.processes import is_first, launched

    command = next((a for a in arguments if not a.startswith("-")), "")
    if launched() > 1 and command not in SHARED:
        raise UserError(
            f"WORLD_SIZE is {launched()}, but `{command}` runs in one process.", f"Several processes share {', '.join(SHARED)}."
        )
    if not is_first():
        be_silent()
    yield
