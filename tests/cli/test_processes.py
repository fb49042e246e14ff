"""Who tells an error of several processes: the first, where all have found it; another one an error of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from reidclip.cli import console
from reidclip.cli.app import main
from reidclip.parallel import processes


class EndedByTorchrun(BaseException):
    """torchrun ends all processes when one has failed; by a signal, which no `except` sees."""


Run = Callable[..., tuple[int | None, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """One of two processes with a command line; gives exit code (None when it was ended), stdout and stderr."""

    def run(rank: int, *words: str) -> tuple[int | None, str, str]:
        for name, value in {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(console._Verbosity, "silent", False)
        monkeypatch.setattr(console.console, "quiet", False)
        monkeypatch.setattr(sys, "argv", ["reidclip", *words])
        try:
            with pytest.raises(SystemExit) as end:
                main()
        except EndedByTorchrun:
            return None, *capsys.readouterr()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def ended(seconds: float) -> None:
    raise EndedByTorchrun


CALLS = [("finetune", "--epochs", "3"), ("evaluate", "nowhere"), ("synth", "data")]


@pytest.mark.parametrize("words", CALLS, ids=lambda words: words[0])
def test_an_error_of_all_is_told_by_the_first_alone(words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", ended)
    code, _, err = run(0, *words)
    assert code == 2 and err.startswith("error: ") and "process 0" not in err
    assert run(1, *words) == (None, "", "")


def test_an_error_of_another_process_has_its_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    code, out, err = run(1, "evaluate", "nowhere")
    assert (code, out) == (2, "") and err.startswith("error: process 1 (the first is 0): ") and "nowhere" in err
    assert waits == [processes.FIRST_SPEAKS_SECONDS]


def test_an_interruption_is_told_by_the_first_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reidclip.artifacts.store.Store.check_writable", interrupt)
    assert run(0, "evaluate", "nowhere")[0::2] == (
        130,
        "error: Interrupted.\n"
        "Nothing half-written was left; parse, prompt-learn, finetune, distill, extract and synth go on when repeated.\n",
    )
    assert run(1, "evaluate", "nowhere") == (130, "", "")
