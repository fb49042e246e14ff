"""Processes that start at once: forks of one that has imported torch already, which takes five seconds of CPU otherwise.

They are killed, interrupted and waited for like any; what they have in common is the seed of Python's hashes. A test that compares
processes takes one of them from `subprocess`, so that an order of a set cannot hide.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from tests.fakes import REPOSITORY, environment


class WarmProcess:
    """What the tests use of `subprocess.Popen`: text of both streams, by pipes.

    Args:
        command: as for Popen: ``python -m MODULE ARGUMENTS...``.
        cwd: folder that it begins in.
        env: its whole environment.
    """

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        assert list(command[:2]) == [sys.executable, "-m"]
        request = {"module": command[2], "arguments": command[3:], "folder": str(cwd), "environment": dict(env)}
        outs, errs, tells = os.pipe(), os.pipe(), os.pipe()
        _ask(_server(), request, [outs[1], errs[1], tells[1]])
        for pipe in (outs, errs, tells):
            os.close(pipe[1])
        self.stdout: IO[str] = os.fdopen(outs[0], encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(errs[0], encoding="utf-8")
        self._told = tells[0]
        self.pid: int = struct.unpack("!i", os.read(self._told, 4))[0]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        self._look(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises `subprocess.TimeoutExpired`."""
        self._look(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a warm process", timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing, once it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left of both streams, once it has ended; raises `subprocess.TimeoutExpired`."""
        end = None if timeout is None else time.monotonic() + timeout
        texts = ["", ""]

        def read(number: int, stream: IO[str]) -> None:
            if not stream.closed:
                texts[number] = stream.read()
                stream.close()

        readers = [threading.Thread(target=read, args=pair, daemon=True) for pair in enumerate((self.stdout, self.stderr))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if end is None else max(0, end - time.monotonic()))
        if any(reader.is_alive() for reader in readers):
            raise subprocess.TimeoutExpired("a warm process", timeout or 0)
        self.wait(None if end is None else max(0, end - time.monotonic()))
        return texts[0], texts[1]

    def _look(self, timeout: float | None) -> None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = struct.unpack("!i", os.read(self._told, 4))[0]
            os.close(self._told)


def _ask(door: socket.socket, request: object, descriptors: list[int]) -> None:
    data = json.dumps(request).encode()
    socket.send_fds(door, [struct.pack("!I", len(data))], descriptors)
    door.sendall(data)
    assert door.recv(1) == b"k", "the warm server ended"


@cache
def _server() -> socket.socket:
    """Started by the first test of this process that needs one; it ends when this process does, which closes the socket."""
    own, its = socket.socketpair()
    env = environment(Path(os.environ["HOME"]), REPOSITORY)
    line = [sys.executable, "-m", "tests.warm_server", str(its.fileno())]
    subprocess.Popen(line, env=env, cwd=REPOSITORY, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    assert own.recv(1) == b"r", "the warm server did not start"
    return own
