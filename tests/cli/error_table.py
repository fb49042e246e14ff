"""The fault table ``errors.toml`` as rows, and how one row's command is run."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reidclip import registry
from reidclip.settings import tomllib

TABLE = Path(__file__).with_name("errors.toml")
GROUPS = ("methods", "parsers", "layouts")
READS_PICTURES = ("parse", "mask", "prompt-learn", "finetune", "distill", "evaluate", "explain", "extract")
NOBODY = 65534


@dataclass(frozen=True)
class Row:
    """One line of the table; see the head of ``errors.toml`` for the columns."""

    name: str
    call: str
    exit: int
    says: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    remedy: str = ""
    writes: tuple[str, ...] = ()
    stdout: str = ""
    process: bool = False

    @property
    def words(self) -> list[str]:
        """The command line after ``reidclip``; pictures are decoded in this process unless the row says otherwise."""
        words = shlex.split(self.call)
        if words and words[0] in READS_PICTURES and "--workers" not in words:
            words += ["--workers", "0"]
        return words


def rows() -> list[Row]:
    """All rows; one with ``each`` becomes a row per registered plugin of that group (but those in ``but``)."""
    document = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [row for entry in document["row"] for row in _expanded(entry, document["words"])]


def written_rows() -> int:
    """How many rows the table has before it is run over the plugins."""
    return len(tomllib.loads(TABLE.read_text(encoding="utf-8"))["row"])


def _expanded(entry: dict[str, Any], words: dict[str, str]) -> Iterator[Row]:
    given = dict(entry)
    each, but = given.pop("each", None), given.pop("but", [])
    row = Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
    row = replace(row, says=(row.says,) if isinstance(row.says, str) else row.says)
    for word, text in words.items():
        row = replace(row, call=row.call.replace(f"{{{word}}}", text))
    if each is None:
        yield row
        return
    assert each in GROUPS, f"row {row.name}: there is no group '{each}'"
    for name in registry.names(f"reidclip.{each}"):
        if name not in but:
            yield replace(
                row,
                name=f"{row.name}[{name}]",
                call=row.call.replace("{each}", name).replace("{command}", _last_stage(each, name)),
                input=tuple(i.replace("{each}", name) for i in row.input),
                says=tuple(s.replace("{each}", name).replace("{command}", _last_stage(each, name)) for s in row.says),
            )


# --------------------------------------------------------------------------------------------------------------- running
@dataclass(frozen=True)
class Outcome:
    """What a person sees: exit code and both streams, as one line of words each."""

    exit: int
    stdout: str
    stderr: str


def _last_stage(group: str, name: str) -> str:
    """The command in which a method trains its encoder; "" of other plugins."""
    return str(registry.get(f"reidclip.{group}", name).stages[-1]) if group == "methods" else ""


def call(words: list[str], capture: pytest.CaptureFixture[str] | None = None, unprivileged: bool = False) -> Outcome:
    """Run a command line in this process, through the boundary that turns errors into exit codes."""
    from reidclip.cli.app import main

    if capture is not None:
        capture.readouterr()
    before, sys.argv = sys.argv, ["reidclip", *words]
    code: Any = 0
    try:
        with _without_rights() if unprivileged and os.name == "posix" and os.geteuid() == 0 else _as_it_is():
            main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = before
    out, err = capture.readouterr() if capture is not None else ("", "")
    return Outcome(0 if code is None else int(code), plain(out), plain(err))


def plain(text: str) -> str:
    """Without colours, the frames of panels, and line breaks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@contextmanager
def _without_rights() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="reidclip-fault-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        try:
            yield folder
        finally:
            for path in [folder, *folder.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755)
