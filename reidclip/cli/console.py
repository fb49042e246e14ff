"""The two streams: results on stdout, everything else (progress, which input was taken, errors) on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # a file or pipe has no width: tables need not be cut
error_console = Console(stderr=True, highlight=False)

Progress = Callable[[int, int], None]  # (done, total)


class _Verbosity:
    quiet = False
    silent = False


def set_quiet(quiet: bool) -> None:
    """Silence `say` and progress (option -q); errors are still printed."""
    _Verbosity.quiet = quiet


def is_quiet() -> bool:
    """Whether notes are left out (option -q), also those that stand beside a result on stdout."""
    return _Verbosity.quiet


def be_silent() -> None:
    """From now on this process prints errors only, whatever its options say: another one speaks for it."""
    _Verbosity.silent = console.quiet = True


def is_silent() -> bool:
    """Whether another process speaks for this one."""
    return _Verbosity.silent


def say(text: str) -> None:
    """One line for the person at the terminal, on stderr, so that --json keeps stdout clean."""
    if not (_Verbosity.quiet or _Verbosity.silent):
        error_console.print(text, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(title: str, unit: str = "images", interval_s: float = 15.0) -> Iterator[Progress]:
    """A progress callback: a bar with rate and time left on a terminal, a line per interval without one."""
    if _Verbosity.quiet or _Verbosity.silent:
        yield lambda done, total: None
    elif error_console.is_terminal:
        with _rich_bar(title, unit) as callback:
            yield callback
    else:
        yield _line_reporter(title, unit, interval_s)


@contextmanager
def progress_bars(unit: str = "steps") -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar after the other, as work tells of its parts: a callback of (what, done, total)."""
    with ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()  # the bar of the part before
                bars[what] = stack.enter_context(progress_bar(what, unit))
            bars[what](done, total)

        yield told


@contextmanager
def _rich_bar(title: str, unit: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    rate = _Rate()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    ]
    with RichProgress(*columns, console=error_console, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")

        def update(done: int, total: int) -> None:
            if rate.first is None:
                bar.reset(task, completed=done, total=total)  # what an earlier run did is no speed of this one
            speed = rate(done)
            bar.update(task, completed=done, total=total, rate="" if speed is None else f"{speed:.1f} {unit}/s")

        yield update


def _line_reporter(title: str, unit: str, interval_s: float) -> Progress:
    last = time.monotonic()
    rate = _Rate()
    told_end = False

    def update(done: int, total: int) -> None:
        nonlocal last, told_end
        now, speed, ended = time.monotonic(), rate(done), done >= total
        if told_end or (now - last < interval_s and not ended):
            return
        last, told_end = now, ended
        pace = "" if not speed else f", {speed:.1f} {unit}/s, {(total - done) / speed:.0f} s left"
        error_console.print(f"{title}: {done}/{total} {unit}{pace}", soft_wrap=True)

    return update


class _Rate:
    """Items per second since the first report: work that goes on with an interrupted run starts with a large count."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def __call__(self, done: int) -> float | None:
        """``done`` items are finished now; None while that tells nothing of the speed."""
        now = time.monotonic()
        if self.first is None:
            self.first = done, now
            return None
        count, then = self.first
        return (done - count) / (now - then) if now > then else None
