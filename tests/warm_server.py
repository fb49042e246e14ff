"""A process that has imported torch and the toolkit, and forks for every command: the other side of `tests.warm`.

    python -m tests.warm_server FD

Reads requests from the socket FD, one JSON object each (module, arguments, folder, environment) with three descriptors: stdout, stderr, and
a pipe that is told the process id, and how it ended. A request is served by a fork that waits for a fork of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
from typing import Any

BEFORE_HAND = (
    "torch.distributed",
    "torch._dynamo",  # imported by the first optimiser that is made
    "reidclip.cli.app",
    "reidclip.stages.evaluate",
    "reidclip.stages.finetune",
    "reidclip.stages.parse",
    "reidclip.stages.plan_pictures",
    "reidclip.stages.plan_several",
    "reidclip.stages.prompt_learn",
)


def serve(door: socket.socket) -> None:
    """Until the other side closes."""
    while True:
        header, descriptors, _, _ = socket.recv_fds(door, 4, 3)
        if not header:
            return
        request = json.loads(_whole(door, struct.unpack("!I", header)[0]))
        guard = os.fork()
        if guard == 0:
            door.close()
            _guard(request, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        door.sendall(b"k")


def _whole(door: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += door.recv(size - len(data))
    return data


def _guard(request: dict[str, Any], out: int, err: int, told: int) -> None:
    """Fork the process, wait for it, tell how it ended; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # this one waits
    process = os.fork()
    if process == 0:
        os.close(told)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        _run(request)
    os.close(out)
    os.close(err)
    os.write(told, struct.pack("!i", process))
    _, status = os.waitpid(process, 0)
    os.write(told, struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _run(request: dict[str, Any]) -> None:
    """``python -m MODULE ARGUMENTS``; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as a process of its own begins
        os.environ.clear()
        os.environ.update(request["environment"])
        os.fsync = lambda descriptor: None  # as tests/conftest.py does: what a kill leaves does not hang on it
        sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path]
        os.chdir(request["folder"])
        sys.argv = [request["module"], *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _end(code)


def _end(code: int) -> None:
    """As an interpreter ends: what is to be done at the exit, then what is buffered."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guards are not waited for
    for name in BEFORE_HAND:
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as side:
        side.sendall(b"r")
        serve(side)
