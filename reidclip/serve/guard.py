"""Around the whole application: who may ask, headers of safety, and no error that shows the program's inside."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reidclip.serve.access import Access
from reidclip.serve.refusal import Refusal

_log = logging.getLogger("reidclip")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware; the outermost one."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a web socket: there are none here
        begun = False

        async def safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            self._access.check(scope["method"], scope["path"], Headers(scope=scope), (scope.get("client") or ("",))[0])
            await self._app(scope, receive, safely)
        except Refusal as refusal:
            if not begun:
                await refusal.send(safely)
        except Exception as error:  # whatever it is: its text may name files, and is for who runs the server alone
            _log.error(
                "A request to %s failed: %s: %s",
                scope["path"].split("?")[0][:80].encode("ascii", "replace").decode(),
                type(error).__name__,
                error,
            )
            if not begun:
                await Refusal(500, "The server failed at this request.", "What happened is told where it was started.").send(safely)
