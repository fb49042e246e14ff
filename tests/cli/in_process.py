"""The command line run in the test's own process, through the boundary that turns errors into exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from reidclip.cli.app import main


@dataclass(frozen=True)
class Run:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


class CommandLine:
    """Call it with the words of a command; it asserts the exit code and that no traceback is shown."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, *words: object, code: int = 0) -> Run:
        self._patch.setattr(sys, "argv", ["reidclip", *(str(word) for word in words)])
        self._capture.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        streams = self._capture.readouterr()
        run = Run(int(end.value.code or 0), streams.out, streams.err)
        assert "Traceback" not in run.err and "Internal error" not in run.err, run.err
        assert run.code == code, f"exit code {run.code}\n{run.out}\n{run.err}"
        return run
