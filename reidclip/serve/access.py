"""Who may ask: the ``Host`` header, the ``Origin`` of what changes or costs something, and the token.

Browsers send requests of any page they show to any address, 127.0.0.1 among them. A page of another site cannot read answers, but it
could let its own name point here (DNS rebinding: its ``Host`` tells), or post blindly (its ``Origin`` tells).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import ServeSettings, is_loopback

OPEN_PATHS = ("/", "/favicon.ico", "/docs", "/api/login", "/api/health")  # they tell nothing of the gallery
OPEN_FOLDER = "/assets/"
_WHERE = "Who started the server knows it."


class Access:
    """The rules of one server. Tokens are compared in constant time; the cookie holds a code made of the token, not the token."""

    def __init__(self, settings: ServeSettings) -> None:
        self._local = is_loopback(settings.host)
        self._names = {name.lower() for name in (*settings.allowed_hosts, settings.host, "localhost")}
        self._token = settings.token
        secret = secrets.token_bytes(32)
        self.cookie_name = f"reidclip-{secrets.token_hex(4)}"  # a machine's ports share their cookies
        self._code = hmac.new(secret, (settings.token or "").encode(), hashlib.sha256).hexdigest()

    @property
    def wants_token(self) -> bool:
        """Whether there is one."""
        return self._token is not None

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let a request in.

        Raises:
            Refusal: 400 for a foreign ``Host``, 403 for a foreign ``Origin``, 401 without the token.
        """
        self._check_host(headers)
        if method not in ("GET", "HEAD"):
            _check_origin(headers)
        if self.wants_token and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER) and not self._holds_token(headers):
            raise Refusal(
                401, "This page asks for a token.", "It was printed where the server was started.", {"WWW-Authenticate": "Bearer"}
            )

    def code_for(self, token: str) -> str:
        """The cookie's value for who knows the token.

        Raises:
            Refusal: 401 for another token.
        """
        if self._token is None or not _same(token, self._token):
            raise Refusal(401, "That is not the token.", _WHERE)
        return self._code

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name = _name_of(hosts[0]) if len(hosts) == 1 else None
        if name is None or not (name in self._names or self._may_be_numbers(name)):
            raise Refusal(
                400, "The page was asked for by a name that is not its own.", "Open the address that the server printed, or allow the name."
            )

    def _may_be_numbers(self, name: str) -> bool:
        """An address in numbers cannot be made to point elsewhere by who owns a name."""
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self._local

    def _holds_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._token is not None:
            return _same(token.strip(), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._code)


def _check_origin(headers: Headers) -> None:
    """Browsers name the page that a post comes from; programs that are no browser send neither header."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = headers.get("host", "").lower()
    foreign = urlsplit(origin).netloc.lower() != own if origin is not None else site not in (None, "same-origin", "none")
    if foreign:
        raise Refusal(403, "Another site's page sent this request.", "Use the page that the server itself shows.")


def _name_of(host: str) -> str | None:
    """Without the port; None for what is no host."""
    try:
        split = urlsplit(f"//{host}")
        _ = split.port  # checks it
    except ValueError:
        return None
    if split.username is not None or split.path or split.query or split.fragment:
        return None
    return split.hostname.lower().rstrip(".") if split.hostname else None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
