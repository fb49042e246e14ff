"""Mistakes in a command line that typer finds (an option that does not exist, a missing argument), told like all other errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from reidclip.errors import UserError

# typer's own copy of click, or click itself: which one depends on typer's version, and only some of its names are public.
_ClickError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


@contextmanager
def plain_usage_errors(arguments: Sequence[str]) -> Iterator[None]:
    """Within, typer runs without its own telling of errors.

    Args:
        arguments: the command line after ``reidclip``.

    Raises:
        UserError: typer's sentence, with the command to ask for help.
        SystemExit: of a group without a command, whose help typer has printed.
    """
    try:
        yield
    except _ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise SystemExit(error.exit_code) from error
        raise UserError(_sentence(error), f"`{_command(error, arguments)} --help` tells what it takes.") from error


def _sentence(error: Any) -> str:
    """In one line, with its full stop."""
    close = getattr(error, "possibilities", None)
    text = f"{error.message}. Did you mean {' or '.join(sorted(close))}?" if close else error.format_message()
    line = " ".join(text.split()).replace(": Value error, ", ": ")  # pydantic's word, which some versions of typer leave in
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _command(error: Any, arguments: Sequence[str]) -> str:
    """Whose help tells more; some of typer's errors do not know their command, which is the first word."""
    if getattr(error, "ctx", None):
        return str(error.ctx.command_path)
    return " ".join(["reidclip", *[word for word in arguments[:1] if not word.startswith("-")]])
