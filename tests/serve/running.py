"""The application behind a socket, in a thread of the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from reidclip.serve.server import listening, make_server


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Gives the address: "http://127.0.0.1:40123"."""
    up = threading.Event()
    with listening("127.0.0.1", 0) as door:
        server = make_server(app, up.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        assert up.wait(30)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
