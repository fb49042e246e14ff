"""The application behind a socket, until Ctrl-C."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import uvicorn

from reidclip.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

_MOST_OPEN = 512  # connections; more are told to come back
_LAST_ANSWERS = 5  # seconds that answers under way are given at the end


class _Telling(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.should_exit:
            self._ready()


def run(app: FastAPI, door: socket.socket, ready: Callable[[], None]) -> None:
    """Serve at a bound socket; comes back after Ctrl-C, when answers under way were given."""
    try:
        make_server(app, ready).run(sockets=[door])
    except KeyboardInterrupt:  # the server has ended well, and hands the signal on
        return


def make_server(app: FastAPI, ready: Callable[[], None]) -> uvicorn.Server:
    """A server that is not running yet; its ``should_exit`` ends it, where it runs in a thread."""
    config = uvicorn.Config(
        app,
        log_config=None,  # nobody's searches are written down
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        limit_concurrency=_MOST_OPEN,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    return _Telling(config, ready)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, before anything is loaded: what is wrong with the address is told at once.

    Raises:
        UserError: the port is taken or not to be had, the host no address of this machine.
    """
    try:
        family, kind, number, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(f"--host {host} is no address that is known here.", "Leave it out: 127.0.0.1.") from error
    door = socket.socket(family, kind, number)
    with closing(door):
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(place)
            door.listen(128)
        except OSError as error:
            raise _no_door(host, port, error) from error
        yield door


def _no_door(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"Port {port} of {host} is in use: by another reidclip serve?", "Take another with --port, or any free one: --port 0."
        )
    if error.errno == errno.EACCES:
        return UserError(f"Port {port} is for the system's own services.", "Take one from 1024: --port 8765.")
    if error.errno == errno.EADDRNOTAVAIL:
        return UserError(f"--host {host} is no address of this machine.", "Leave it out: 127.0.0.1.")
    return UserError(f"{host}, port {port} cannot be listened to: {error.strerror}.", "Take another with --host and --port.")
