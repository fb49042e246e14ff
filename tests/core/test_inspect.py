"""Inspecting pictures in several processes: Ctrl-C at the worst moments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import hear_interrupts

# The pictures are pipes that nobody writes to: whoever waits for their reader to be done waits for ever.
PROGRAM = """
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from reidclip.data import inspect

MOMENT = sys.argv[1]
submit = ProcessPoolExecutor.submit


def submit_while_interrupted(*arguments):
    signal.raise_signal(signal.SIGINT)
    return submit(*arguments)


def wait_interrupted(jobs):
    raise KeyboardInterrupt


if __name__ == "__main__":
    if MOMENT == "start":
        ProcessPoolExecutor.submit = submit_while_interrupted
    else:
        inspect.as_completed = wait_interrupted
    try:
        inspect.inspect_pictures(Path("."), ["pipe"] * 200, 2)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("moment", ["start", "work"])
def test_ctrl_c_does_not_wait_for_files_in_hand(moment: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "program.py").write_text(PROGRAM)
    line = [sys.executable, "program.py", moment]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=240, preexec_fn=hear_interrupts)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
