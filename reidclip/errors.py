"""The only exceptions that the command line turns into an exit code.

Every message says what is wrong and where, and, as ``remedy``, what to do about it. Exit codes: 0 done,
1 the work failed (`WorkError`), 2 the call was wrong (`UserError`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ReidclipError(Exception):
    """Base of all errors shown without a traceback.

    Args:
        what: what is wrong and where, one sentence that names the file, key or value.
        remedy: what to do about it, one sentence; empty when there is nothing to say.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what if not remedy else f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy


class WorkError(ReidclipError):
    """The call was right but the work failed: a full disk, a broken file met on the way, a non-finite loss."""

    exit_code = 1


class UserError(ReidclipError):
    """The call was wrong: a path, name, key, value or artifact that does not fit."""

    exit_code = 2


class UnknownClothesError(UserError):
    """Training pictures without a clothes label, under a method that learns from clothes."""


class InterruptedRunError(ReidclipError):
    """Ctrl-C in long work whose state was kept; the message says how to go on."""

    exit_code = 130


def closest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names is the nearest one: ``"Did you mean 'ccaf'?"``; empty when none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which names are known and which is closest: ``"Did you mean 'ccaf'? Known: baseline, ccaf."``."""
    names = sorted(known)
    return f"{closest(name, names)} Known: {', '.join(names) if names else 'none'}.".lstrip()
