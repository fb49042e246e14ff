"""The application called as a server calls it, so that a test decides what arrives, when, and sees how much was taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """What came back, and how many pieces of the body had been taken by then."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    taken: int

    @property
    def json(self) -> Any:
        """The body's one object."""
        return json.loads(self.body)


def call(app: ASGIApp, method: str, path: str, headers: Mapping[str, str] | None = None, body: Iterable[bytes] = ()) -> Answer:
    """One request; ``path`` as it is after decoding, whatever is in it. The default ``Host`` is 127.0.0.1:8765."""
    given = {"host": "127.0.0.1:8765", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items() if value is not None],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
    }
    pieces, sent, taken = iter(body), [], 0

    async def receive() -> Message:
        nonlocal taken
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]), taken)
