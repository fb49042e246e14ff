"""What a running page allows: who may ask, how much at once, how long."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

DEFAULT_PORT = 8765
MEGABYTE = 1_000_000
SHORTEST_TOKEN = 16  # characters: what cannot be guessed over a network, were it only of letters


@dataclass(frozen=True)
class ServeSettings:
    """Limits of one server; the defaults suit one person on their own machine.

    Attributes:
        host: address it is bound to; decides which ``Host`` headers are let in.
        allowed_hosts: further names it may be asked by (behind a proxy).
        token: what requests of the API must carry; None asks for none.
        max_upload: bytes of one picture.
        max_pixels: of one picture, checked before it is decoded.
        max_waiting: searches under way or waiting; more are told to come back (503). None: 32, or more where ``threads`` are many.
        max_reading: pictures that are received or searched with at one time: with ``max_upload`` this bounds memory. None: 4, or more where
            ``threads`` are many.
        threads: searches that run beside each other.
        timeout: seconds that one request may take to arrive, to wait, and to be answered, each.
        max_top: answers to one search at most.
        device: of the encoder.
    """

    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    token: str | None = None
    max_upload: int = 10 * MEGABYTE
    max_pixels: int = 20_000_000
    max_waiting: int | None = None
    max_reading: int | None = None
    threads: int = 1
    timeout: float = 30.0
    max_top: int = 200
    device: str = "cpu"

    @property
    def reading(self) -> int:
        """``max_reading`` as it holds: every thread has a picture, and the next two arrive meanwhile."""
        return max(4, self.threads + 2) if self.max_reading is None else self.max_reading

    @property
    def waiting(self) -> int:
        """``max_waiting`` as it holds."""
        return max(32, 2 * self.reading) if self.max_waiting is None else self.max_waiting


def machine_name() -> str:
    """By which other machines most likely know this one."""
    return socket.gethostname().lower().rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to ``host``: 127.0.0.0/8, ::1 and localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
