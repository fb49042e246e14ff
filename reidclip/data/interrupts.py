"""Ctrl-C reaches every process of a terminal: worker processes leave it to the one that started them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they inherit that, or one that is still importing would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_the_parent() -> None:
    """From now on this process does not see Ctrl-C; called by a worker as it begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
