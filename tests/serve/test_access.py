"""Who may ask `reidclip serve`: names it is asked by, pages that post to it, the token; and what it never says."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from reidclip.gallery.gallery import Gallery
from reidclip.serve import attempts
from reidclip.serve.refusal import Refusal, without_folders
from reidclip.serve.settings import ServeSettings
from reidclip.stages.serve import address_of, make_app
from tests.serve.directly import Answer, call

TOKEN = "a-token-of-thirty-two-characters"
SEARCH = ("POST", "/api/search")
FORM = {"content-type": "multipart/form-data; boundary=b"}
ITEM = [b'--b\r\nContent-Disposition: form-data; name="item"\r\n\r\npeople/03.png\r\n--b--\r\n']


@pytest.fixture(scope="module")
def app(gallery: Gallery) -> FastAPI:
    return make_app(gallery)


@pytest.fixture(scope="module")
def locked(gallery: Gallery) -> FastAPI:
    return make_app(gallery, ServeSettings(host="0.0.0.0", token=TOKEN))


# ------------------------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.8.9.1"])
def test_names_of_this_machine(app: FastAPI, host: str) -> None:
    assert call(app, "GET", "/api/info", {"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost.evil",
        "192.168.0.7",
        "",
        "[",
        "a b",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/info", "/api/items/0/thumbnail"])
def test_another_name_was_pointed_here(app: FastAPI, host: str, path: str) -> None:
    answer = call(app, "GET", path, {"host": host})
    assert answer.status == 400 and "a name that is not its own" in answer.json["error"]


def test_a_request_without_a_name(app: FastAPI) -> None:
    assert call(app, "GET", "/", {"host": None}).status == 400  # type: ignore[dict-item]


def test_names_that_were_allowed(gallery: Gallery, locked: FastAPI) -> None:
    behind = make_app(gallery, ServeSettings(allowed_hosts=("Search.example",)))
    assert call(behind, "GET", "/", {"host": "search.example:443"}).status == 200
    assert call(locked, "GET", "/", {"host": "192.168.0.7:8765"}).status == 200  # bound to all addresses
    assert call(locked, "GET", "/", {"host": "evil.example"}).status == 400


# -------------------------------------------------------------------------------------------------------------------- pages
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8765.evil.example"},
        {"origin": ""},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/api/search", "/api/login"])
def test_pages_of_others_may_not_post(app: FastAPI, headers: Mapping[str, str], path: str) -> None:
    answer = call(app, "POST", path, {**FORM, **headers}, ITEM)
    assert answer.status == 403 and answer.taken == 0


@pytest.mark.parametrize("headers", [{"origin": "http://127.0.0.1:8765"}, {"sec-fetch-site": "same-origin"}, {}])
def test_its_own_page_and_programs_may(app: FastAPI, headers: Mapping[str, str]) -> None:
    assert call(app, *SEARCH, {**FORM, **headers}, ITEM).status == 200


# -------------------------------------------------------------------------------------------------------------------- token
CLOSED = [("GET", "/api/info"), ("GET", "/api/items/0/thumbnail"), ("GET", "/openapi.json"), ("GET", "/nowhere"), SEARCH]


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": "Bearer é"}, {"cookie": "a=b; ;=="}],
)
def test_nothing_without_the_token(locked: FastAPI, method: str, path: str, headers: Mapping[str, str]) -> None:
    answer = call(locked, method, path, {**FORM, **headers}, ITEM)
    assert answer.status == 401 and answer.taken == 0
    assert answer.headers["www-authenticate"] == "Bearer" and TOKEN.encode() not in answer.body


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/assets/page.css", "/api/health", "/docs"])
def test_the_bare_page_is_shown_for_it_asks_for_the_token(locked: FastAPI, path: str) -> None:
    assert call(locked, "GET", path).status == 200


def test_a_program_sends_the_token(locked: FastAPI) -> None:
    answer = call(locked, *SEARCH, {**FORM, "authorization": f"Bearer {TOKEN}"}, ITEM)
    assert answer.status == 200 and answer.json["hits"]


def test_a_browser_exchanges_it_for_a_cookie(gallery: Gallery, locked: FastAPI) -> None:
    answer = call(locked, "POST", "/api/login", body=[f'{{"token": "{TOKEN}"}}'.encode()])
    cookie = answer.headers["set-cookie"]
    assert answer.status == 204 and "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert call(locked, "GET", "/api/info", {"cookie": f"other=1; {pair}"}).status == 200
    assert call(locked, "GET", "/api/info", {"cookie": pair[:-1]}).status == 401
    assert call(make_app(gallery, ServeSettings(token=TOKEN)), "GET", "/api/info", {"cookie": pair}).status == 401  # another server's


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"token": "no"}', 401),
        (b'{"token": ""}', 401),
        (b'{"token": "\\ud800"}', 401),
        (b"[]", 400),
        (b'{"token": 1}', 400),
        (b"[" * 5000, 413),
        (b"\xff", 400),
    ],
)
def test_logins_that_fail(locked: FastAPI, body: bytes, status: int) -> None:
    answer = call(locked, "POST", "/api/login", body=[body])
    assert answer.status == status and "set-cookie" not in answer.headers


def test_a_login_that_never_arrives(gallery: Gallery) -> None:
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError("the server waited a minute")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/login",
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
        "scheme": "http",
    }
    asyncio.run(make_app(gallery, ServeSettings(token=TOKEN, timeout=0.05))(scope, receive, send))
    assert statuses == [408]


@pytest.mark.parametrize("by", ["login", "header"])
def test_who_guesses_is_told_to_wait(gallery: Gallery, by: str) -> None:
    app = make_app(gallery, ServeSettings(token=TOKEN))

    def give(token: str, by: str = by) -> Answer:
        if by == "login":
            return call(app, "POST", "/api/login", body=[f'{{"token": "{token}"}}'.encode()])
        return call(app, "GET", "/api/info", {"authorization": f"Bearer {token}"})

    cookie = give(TOKEN, "login").headers["set-cookie"].partition(";")[0]
    assert {give(f"guess {n}").status for n in range(attempts.MOST)} == {401}
    for late in (give("one more"), give(TOKEN), give(TOKEN, "login"), give(TOKEN, "header")):  # nothing is learned from the answer
        assert late.status == 429 and 0 < int(late.headers["retry-after"]) <= 60
    assert call(app, "GET", "/api/info", {"cookie": cookie}).status == 200  # who is in stays in


def test_a_minute_later_and_elsewhere_one_may_try_again() -> None:
    now = 100.0
    tried = attempts.Attempts(lambda: now)
    for _ in range(attempts.MOST):
        tried.check("10.0.0.1")
        tried.wrong("10.0.0.1")
        now += 1
    with pytest.raises(Refusal):
        tried.check("10.0.0.1")
    tried.check("10.0.0.2")
    now = 100 + attempts.PERIOD
    tried.check("10.0.0.1")
    tried.wrong("10.0.0.1")
    with pytest.raises(Refusal):  # the first has lapsed, twenty others have not
        tried.check("10.0.0.1")


def test_the_token_is_in_the_description(gallery: Gallery, app: FastAPI) -> None:
    locked = make_app(gallery, ServeSettings(token=TOKEN))
    told = call(locked, "GET", "/openapi.json", {"authorization": f"Bearer {TOKEN}"}).json
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    asks = {path: bool(verb["security"]) for path, verbs in told["paths"].items() for verb in verbs.values()}
    answers = {path: call(locked, "GET", path.replace("{row}", "0")).status == 401 for path in asks}
    assert asks == answers and any(asks.values()) and not all(asks.values())
    assert "security" not in str(call(app, "GET", "/openapi.json").json)


@pytest.mark.parametrize(("host", "own"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
def test_others_are_told_an_address_that_they_can_open(gallery: Gallery, monkeypatch: pytest.MonkeyPatch, host: str, own: str) -> None:
    settings = ServeSettings(host=host, token=TOKEN)
    monkeypatch.setattr(socket, "gethostname", lambda: "Desk-7")
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, port: [name])
    assert address_of(settings, 80) == f"http://desk-7:80/#token={TOKEN}"
    assert call(make_app(gallery, settings), "GET", "/", {"host": "desk-7:80"}).status == 200
    assert call(make_app(gallery), "GET", "/", {"host": "desk-7:80"}).status == 400

    def unknown(name: str, port: None) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert address_of(settings, 80).startswith(f"http://{own}:80/")


# ------------------------------------------------------------------------------------------------------------------ headers
@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/api/info", "/api/items/0/thumbnail", "/nowhere"])
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_every_answer_is_guarded(app: FastAPI, path: str, host: str) -> None:
    headers = call(app, "GET", path, {"host": host}).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert "cache-control" in headers and "access-control-allow-origin" not in headers


def test_an_error_of_the_program_shows_nothing_of_its_inside(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(gallery)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/place is broken")

    monkeypatch.setattr(gallery, "search", broken)
    answer = call(app, *SEARCH, FORM, ITEM)
    assert answer.status == 500 and set(answer.json) == {"error", "remedy"}
    assert b"secret" not in answer.body and b"Traceback" not in answer.body


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("/home/me/store/index/a.faiss: digest mismatch.", "a.faiss: digest mismatch."),
        ("No file '/etc/passwd', or other.", "No file 'passwd', or other."),
        (r"C:\data\me\a.jpg is gone.", "a.jpg is gone."),
        ("people/03.png and 1/2 of it, at http://127.0.0.1:1/x/y", "people/03.png and 1/2 of it, at http://127.0.0.1:1/x/y"),
        ("/home/me/My data, old/b/a.jpg: cut off.", "a.jpg: cut off."),
        (r"C:\My data, old\a.jpg is gone.", "a.jpg is gone."),
        ("1 / 2 of a/b", "1 / 2 of a/b"),
        ("My pictures/here/a.jpg and /my pictures/b.jpg", "My pictures/here/a.jpg and b.jpg"),
    ],
)
def test_folders_are_cut_out_of_sentences(told: str, wanted: str) -> None:
    assert without_folders(told, ("/my pictures",)) == wanted


def test_scripts_make_no_markup_of_texts(app: FastAPI) -> None:
    for name in ("page.js", "cards.js", "filters.js", "api.js", "docs.js"):
        script = call(app, "GET", f"/assets/{name}").body.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", script)
