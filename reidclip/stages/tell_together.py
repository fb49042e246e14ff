"""What planning several evaluations tells of each of them, told once where it is the same of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from reidclip.data.missing_protocols import parted_note
from reidclip.stages.choose import Say

_NOTE = "note: "


@contextmanager
def told_together(say: Say) -> Iterator[Callable[[str], Say]]:
    """Gives what takes a data set's name to the ``say`` of its planning; on leaving all is told, also when the planning failed.

    Equal texts are told once, behind the names of their data sets; so are notes that the same protocols are missing, with every reason.
    """
    lines: list[tuple[str, str]] = []
    try:
        yield lambda name: partial(_keep, lines, name)
    finally:
        for text in _grouped(lines):
            say(text)


def _keep(lines: list[tuple[str, str]], name: str, text: str) -> None:
    lines.append((name, text))


def _grouped(lines: list[tuple[str, str]]) -> list[str]:
    names: dict[str, dict[str, None]] = {}
    reasons: dict[str, dict[str, None]] = {}
    for name, text in lines:
        opening, reason = parted_note(text.removeprefix(_NOTE)) if text.startswith(_NOTE) else (text, "")
        key = f"{_NOTE}{opening}" if reason or text.startswith(_NOTE) else text
        names.setdefault(key, {})[name] = None
        reasons.setdefault(key, {})[reason] = None
    return [_line(key, list(names[key]), " ".join(filter(None, reasons[key]))) for key in names]


def _line(key: str, names: list[str], reasons: str) -> str:
    whole = f"{key}: {reasons}" if reasons else key
    if len(names) == 1:
        return whole
    kind = _NOTE if key.startswith(_NOTE) else ""
    return f"{kind}{', '.join(names)}: {whole.removeprefix(kind)}"
