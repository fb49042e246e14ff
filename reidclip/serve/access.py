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

from reidclip.serve.attempts import Attempts
from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import ServeSettings, is_loopback, machine_name

OPEN_PATHS = ("/", "/favicon.ico", "/docs", "/api/login", "/api/health")  # they tell nothing of the gallery
OPEN_FOLDER = "/assets/"
_WHERE = "Who started the server knows it."


class Access:
    """The rules of one server. Tokens are compared in constant time; the cookie holds a code made of the token, not the token."""

    def __init__(self, settings: ServeSettings) -> None:
        self._local = is_loopback(settings.host)
        self._names = {name.lower() for name in (*settings.allowed_hosts, settings.host, "localhost")}
        if not self._local:
            self._names.add(machine_name())
        self._token, self._attempts = settings.token, Attempts()
        secret = secrets.token_bytes(32)
        self.cookie_name = f"reidclip-{secrets.token_hex(4)}"  # a machine's ports share their cookies
        self._code = hmac.new(secret, (settings.token or "").encode(), hashlib.sha256).hexdigest()

    @property
    def wants_token(self) -> bool:
        """Whether there is one."""
        return self._token is not None

    def check(self, method: str, path: str, headers: Headers, client: str = "") -> None:
        """Let a request in, which comes from the address ``client``.

        Raises:
            Refusal: 400 for a foreign ``Host``, 403 for a foreign ``Origin``, 401 without the token, 429 after too many wrong ones.
        """
        self._check_host(headers)
        if method not in ("GET", "HEAD"):
            _check_origin(headers)
        if self.wants_token and not is_open(path) and not self._holds_token(headers, client):
            raise Refusal(
                401, "This page asks for a token.", "It was printed where the server was started.", {"WWW-Authenticate": "Bearer"}
            )

    def code_for(self, token: str, client: str = "") -> str:
        """The cookie's value for who knows the token.

        Raises:
            Refusal: 401 for another token, 429 after too many of them.
        """
        if not self._is_token(token, client):
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

    def _is_token(self, given: str, client: str) -> bool:
        self._attempts.check(client)
        if self._token is not None and _same(given, self._token):
            return True
        self._attempts.wrong(client)
        return False

    def _holds_token(self, headers: Headers, client: str) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(token.strip(), client)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._code)


def is_open(path: str) -> bool:
    """Whether an address is answered without the token."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _check_origin(headers: Headers) -> None:
    """Browsers name the page that a post comes from; programs that are no browser send neither header."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = headers.get("host", "").lower()
    try:
        foreign = urlsplit(origin).netloc.lower() != own if origin is not None else site not in (None, "same-origin", "none")
    except ValueError:  # no address at all: "http://["
        foreign = True
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
    return hmac.compare_digest(given.encode(errors="surrogatepass"), wanted.encode())  # JSON may hold half a character
