"""A request that is not answered, and why: one shape for every error, without a traceback and without a path of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Send

from reidclip.errors import ReidclipError, UserError

# /home/me/My data, old/a.jpg, C:\data\a.jpg: from where a path may begin to its last separator; rather a word too many is cut than too few
_FOLDERS = re.compile(r"(?<![\w.\-/])(?:/|[A-Za-z]:[\\/])(?=\S)(?:[^\n'\"/\\:;]+[/\\])*")
_URL = re.compile(r"\w+://")


class Refusal(Exception):  # noqa: N818 - it is one, not an error of the program
    """What a client is told instead of an answer.

    Args:
        status: of HTTP.
        error: what is wrong, a sentence.
        remedy: what to do about it.
        headers: further ones: ``Retry-After``.
    """

    def __init__(self, status: int, error: str, remedy: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy, self.headers = status, error, remedy, dict(headers or {})

    @classmethod
    def of(cls, error: ReidclipError, roots: Sequence[str] = ()) -> Refusal:
        """An error of the toolkit as an answer: 400 for a wrong request, 500 for work that failed."""
        status = 400 if isinstance(error, UserError) else 500
        return cls(status, without_folders(error.what, roots), without_folders(error.remedy, roots))

    def body(self) -> bytes:
        """``{"error": ..., "remedy": ...}``."""
        return json.dumps({"error": self.error, "remedy": self.remedy}, ensure_ascii=False).encode()

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """For the ASGI message."""
        body = self.body()
        given = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store", **self.headers}
        return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]

    async def send(self, send: Send, **start: Any) -> None:
        """As the whole answer."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers(), **start})
        await send({"type": "http.response.body", "body": self.body()})


def without_folders(text: str, roots: Sequence[str] = ()) -> str:
    """The sentence with every absolute path cut to its last part; ``roots`` are known folders, which may hold spaces."""
    for root in sorted(filter(None, roots), key=len, reverse=True):
        text = text.replace(root.rstrip("/\\") + "/", "").replace(root, "the gallery's folder")
    kept = _URL.sub(lambda match: match.group().replace("/", "\0"), text)  # an address is no path
    return _FOLDERS.sub(lambda match: "" if len(match.group()) > 1 else match.group(), kept).replace("\0", "/")
