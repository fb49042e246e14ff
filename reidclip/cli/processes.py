"""The terminal belongs to the first process: the others that torchrun started are silent until one fails."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from reidclip.cli.console import be_silent
from reidclip.errors import UserError

SHARED = ("prompt-learn", "finetune", "distill", "parse", "mask", "evaluate")  # commands that several processes do together


@contextmanager
def processes(arguments: Sequence[str]) -> Iterator[None]:
    """Within, every process but the first prints neither results nor progress, and an error only where the first has not found it too.

    Raises:
        UserError: several processes were started for a command that they would each do whole.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    from reidclip.parallel.processes import is_first, launched, let_first_speak

    count = launched()
    if not is_first():
        be_silent()
    try:
        command = next((a for a in arguments if not a.startswith("-")), "")
        if count > 1 and command not in SHARED:
            raise UserError(f"WORLD_SIZE is {count}, but `{command}` runs in one process.", f"Several processes share {', '.join(SHARED)}.")
        yield
    except Exception as error:
        let_first_speak(error)
        raise
