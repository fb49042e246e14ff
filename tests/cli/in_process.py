"""The command line run in the test's own process, through the boundary that turns errors into exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reidclip.cli.app import main
from tests.fakes import write_tiny_clip


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


def beside_a_tiny_clip(patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], folder: Path) -> CommandLine:
    """The command line in a folder that holds ``tiny.safetensors``, a CLIP; artifacts go where a user's would."""
    patch.chdir(folder)
    patch.delenv("REIDCLIP_STORE")
    write_tiny_clip(folder / "tiny.safetensors")
    return CommandLine(patch, capture)


def assigned(*settings: str) -> list[str]:
    """Settings as options: "epochs=1" is --set epochs=1."""
    return [word for setting in settings for word in ("--set", setting)]
