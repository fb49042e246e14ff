"""Saying a body model's licence, once in a process: a command opens a model in several places."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reidclip.interfaces import Body

_SAID: set[str] = set()


def licence_once(body: Body, say: Callable[[str], object]) -> None:
    """Say the licence sentence of a body model, unless this command said it before.

    Args:
        body: the model that a command is about to use.
        say: prints a sentence.
    """
    if body.name not in _SAID:
        _SAID.add(body.name)
        say(body.licence)


def begin_command() -> None:
    """Forget what was said; a process may run several commands, one after the other."""
    _SAID.clear()
