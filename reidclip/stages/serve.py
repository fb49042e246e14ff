"""``reidclip serve`` as a function: an index, its encoder, and a server of the page over both."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reidclip.artifacts.store import Artifact, Store
from reidclip.errors import UserError
from reidclip.gallery.about import IndexAbout
from reidclip.gallery.gallery import Gallery, index_for
from reidclip.serve.settings import SHORTEST_TOKEN, ServeSettings, is_loopback, machine_name
from reidclip.stages.choose import Say

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ServeJob", "make_app", "plan_serve", "serve"]

AUTO = "auto"
_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # every address of the machine -> the one that is its own alone


@dataclass(frozen=True)
class ServeJob:
    """A server with everything decided and nothing loaded.

    Attributes:
        index: what is searched.
        about: what it says of itself.
        settings: who may ask, how much.
        port: 0 takes one that is free.
        token_made: the token was made here, so nobody knows it yet.
    """

    store: Store
    index: Artifact
    about: IndexAbout
    settings: ServeSettings
    port: int
    token_made: bool = False

    def plan(self) -> dict[str, Any]:
        """For ``--dry-run``; without the token."""
        limits = self.settings
        return {
            "index": self.index.ref,
            "items": self.about.count,
            "backend": self.about.backend,
            "model": {"ref": self.about.model.ref, "digest": self.about.model.digest},
            "host": limits.host,
            "port": self.port or "one that is free",
            "token": "made" if self.token_made else "given" if limits.token else None,
            "allowed_hosts": list(limits.allowed_hosts),
            "max_upload": limits.max_upload,
            "max_pixels": limits.max_pixels,
            "max_waiting": limits.waiting,
            "timeout": limits.timeout,
            "threads": limits.threads,
            "device": limits.device,
        }


def plan_serve(ref: str | None, store: Store, settings: ServeSettings, port: int, say: Say) -> ServeJob:
    """Choose the index, and check who may reach it.

    Args:
        settings: its ``token`` may be "auto", which makes one.

    Raises:
        UserError: no index; an address that others reach, without a token; a token that is easily guessed.
    """
    made = settings.token == AUTO
    if made:
        settings = replace(settings, token=secrets.token_urlsafe(24))
    if settings.token is None and not is_loopback(settings.host):
        raise UserError(
            f"--host {settings.host} lets others in, and there is no token.",
            "Add --token auto, which makes one and prints it, or set REIDCLIP_SERVE_TOKEN.",
        )
    if settings.token is not None and (len(settings.token) < SHORTEST_TOKEN or not settings.token.isascii()):
        raise UserError(
            f"The token is too easily guessed: it needs {SHORTEST_TOKEN} ASCII characters or more.", "Let one be made: --token auto."
        )
    index = index_for(ref, store)
    if ref is None:
        say(f"index: {index.ref} (the newest)")
    return ServeJob(store, index, IndexAbout.read(index), settings, port, made)


def make_app(gallery: Gallery, settings: ServeSettings | None = None) -> FastAPI:
    """The page over an open gallery as an ASGI application: see `reidclip.serve.app.make_app`."""
    from reidclip.serve.app import make_app as make

    return make(gallery, settings)


def serve(job: ServeJob, ready: Callable[[str], None], checkpoint: str | None = None) -> None:
    """Answer until Ctrl-C.

    Args:
        ready: is told the address when it can be opened, with the token behind ``#`` where there is one: browsers do not send that part.
        checkpoint: another reference of the checkpoint that made the vectors.

    Raises:
        UserError: the port is taken, or the host is no address of this machine; the checkpoint is missing.
        WorkError: damaged index.
    """
    from reidclip.serve.app import make_app as make
    from reidclip.serve.server import listening, run

    settings = job.settings
    with listening(settings.host, job.port) as door, closing(Gallery.open(job.store, job.index)) as gallery:
        app = make(gallery, settings, gallery.encoder(settings.device, checkpoint))
        run(app, door, lambda: ready(address_of(settings, door.getsockname()[1])))


def address_of(settings: ServeSettings, port: int) -> str:
    """What is opened in a browser: by the machine's name, where all its addresses are listened to."""
    shown = _name_or(_ALL[settings.host]) if settings.host in _ALL else settings.host
    host = f"[{shown}]" if ":" in shown else shown
    return f"http://{host}:{port}/" + (f"#token={quote(settings.token, safe='')}" if settings.token else "")


def _name_or(own: str) -> str:
    """The machine's name, or its own address where nobody knows the name."""
    try:
        socket.getaddrinfo(machine_name(), None)
    except (OSError, UnicodeError):
        return own
    return machine_name()
