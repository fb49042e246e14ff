"""A hundred requests at once, slow ones and stuck ones: everybody is told something, and no more is held than allowed."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from reidclip.gallery.gallery import Gallery
from reidclip.serve.gate import Workers
from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import ServeSettings
from reidclip.serve.thumbnails import Thumbnails
from reidclip.stages.serve import make_app
from tests.serve.directly import call
from tests.serve.running import running

FORM = {"content-type": "multipart/form-data; boundary=b"}
ITEM = b'--b\r\nContent-Disposition: form-data; name="item"\r\n\r\npeople/03.png\r\n--b--\r\n'


class Stuck:
    """In place of a gallery's search: waits until it is let go, and knows how many are in it."""

    def __init__(self, search: Callable[..., Any]) -> None:
        self.search, self.go, self.lock, self.inside, self.most = search, threading.Event(), threading.Lock(), 0, 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            assert self.go.wait(60)
            return self.search(*given, **named)
        finally:
            with self.lock:
                self.inside -= 1


@pytest.fixture
def stuck(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    found = Stuck(gallery.search)
    monkeypatch.setattr(gallery, "search", found)
    yield found
    found.go.set()


def test_a_hundred_at_once_are_answered_or_told_to_come_back(gallery: Gallery, stuck: Stuck) -> None:
    content = (gallery.root / gallery.items[3].path).read_bytes()
    told: Counter[int] = Counter()

    async def one(client: httpx.AsyncClient) -> httpx.Response:
        answer = await client.post("/api/search", files={"picture": content})
        told[answer.status_code] += 1
        if told[503] == 90:  # all that find no place
            stuck.go.set()
        return answer

    async def hundred(address: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=address, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            return await asyncio.gather(*(one(client) for _ in range(100)))

    with running(make_app(gallery, ServeSettings(max_waiting=10, max_reading=3, threads=2))) as address:
        answers = asyncio.run(hundred(address))
        assert httpx.post(f"{address}/api/search", files={"picture": content}).status_code == 200  # and all is as before
    assert told == {200: 10, 503: 90}
    assert all(a.json()["hits"][0]["row"] == 3 for a in answers if a.status_code == 200)
    assert all(int(a.headers["retry-after"]) > 0 and "waiting" in a.json()["error"] for a in answers if a.status_code == 503)
    assert stuck.most <= 2


def test_the_page_answers_while_searches_are_stuck(gallery: Gallery, stuck: Stuck) -> None:
    with running(make_app(gallery)) as address, httpx.Client(base_url=address, timeout=30) as client:
        waiting = [
            threading.Thread(target=httpx.post, args=(f"{address}/api/search",), kwargs={"files": {"item": (None, "people/03.png")}})
            for _ in range(3)
        ]
        for thread in waiting:
            thread.start()
        while not stuck.inside:
            time.sleep(0.01)
        assert client.get("/").status_code == client.get("/api/info").status_code == client.get("/api/items/4/thumbnail").status_code == 200
        stuck.go.set()
        for thread in waiting:
            thread.join(30)
            assert not thread.is_alive()


def test_a_search_that_takes_too_long_is_told_and_its_thread_stays_taken(gallery: Gallery, stuck: Stuck) -> None:
    app = make_app(gallery, ServeSettings(timeout=0.2))
    for _ in range(3):  # the first is stuck, the others are never begun
        answer = call(app, "POST", "/api/search", FORM, [ITEM])
        assert answer.status == 503 and "took longer than 0.2 s" in answer.json["error"] and "retry-after" in answer.headers
    assert stuck.most == 1
    stuck.go.set()


def test_a_picture_that_never_arrives(gallery: Gallery) -> None:
    """Its place is free again: five such do not fill four places."""

    async def slow(app: Any) -> list[int]:
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError("the server waited a minute")

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [(b"host", b"localhost"), (b"content-type", FORM["content-type"].encode())]
        scope = {"type": "http", "method": "POST", "path": "/api/search", "headers": headers, "query_string": b"", "scheme": "http"}
        for _ in range(5):
            await app(dict(scope), receive, send)
        return statuses

    assert asyncio.run(slow(make_app(gallery, ServeSettings(timeout=0.05)))) == [408] * 5


def test_who_leaves_in_the_middle_leaves_a_place(gallery: Gallery) -> None:
    with running(make_app(gallery, ServeSettings(max_reading=1))) as address:
        host, port = address.removeprefix("http://").split(":")

        async def leave() -> None:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n"
                + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        for _ in range(3):
            asyncio.run(leave())
        assert httpx.post(f"{address}/api/search", files={"item": (None, "people/03.png")}, timeout=20).status_code == 200


# --------------------------------------------------------------------------------------------------------------------- bounds
class Upload:
    """Work that holds a picture."""

    def __init__(self, go: threading.Event) -> None:
        self.go = go

    def __call__(self) -> str:
        assert self.go.wait(60)
        return "done"


def test_nothing_is_kept_of_searches_that_were_given_up() -> None:
    workers, go, kept = Workers(1, "search"), threading.Event(), list[weakref.ref[Upload]]()

    async def give_up() -> None:
        work = Upload(go)
        kept.append(weakref.ref(work))
        with pytest.raises(Refusal):
            await workers.run(work, 0.01)

    for _ in range(5):  # each in a loop of its own, as a place outlives the loop that it was given to
        asyncio.run(give_up())
    gc.collect()
    assert [found() is None for found in kept] == [False, True, True, True, True]  # the first one runs
    go.set()
    assert asyncio.run(workers.run(lambda: "next", 30)) == "next"
    workers.close()


def test_work_waits_for_a_place_and_every_place_comes_back() -> None:
    workers, go, inside = Workers(2, "search"), threading.Event(), list[int]()

    def work(number: int) -> int:
        inside.append(number)
        assert go.wait(60)
        return number

    async def all_of_them() -> list[int]:
        go.clear()
        inside.clear()
        asked = [asyncio.ensure_future(workers.run(lambda n=n: work(n), 60)) for n in range(12)]  # type: ignore[misc]
        while len(inside) < 2:
            await asyncio.sleep(0.001)
        for one in asked[2:7]:  # their clients went away
            one.cancel()
        await asyncio.sleep(0)
        assert len(inside) == 2
        go.set()
        return await asyncio.gather(*asked[:2], *asked[7:])

    assert asyncio.run(all_of_them()) == [0, 1, 7, 8, 9, 10, 11]
    assert asyncio.run(all_of_them()) == [0, 1, 7, 8, 9, 10, 11]
    workers.close()


async def at_once(
    app: Any, count: int, method: str, path: str, body: bytes, until: Callable[[Counter[int]], bool], go: Callable[[], None]
) -> Counter[int]:
    """Statuses of ``count`` equal requests; ``go`` is called when ``until`` the statuses so far is true."""
    told: Counter[int] = Counter()
    headers = [(b"host", b"localhost"), (b"content-type", FORM["content-type"].encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "scheme": "http"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told[message["status"]] += 1

    asked = [asyncio.ensure_future(app(dict(scope), receive, send)) for _ in range(count)]
    for _ in range(10_000):  # what never comes true fails by its statuses
        if until(told):
            break
        await asyncio.sleep(0.001)
    go()
    await asyncio.gather(*asked)
    return told


@pytest.mark.parametrize("threads", [1, 6, 40])
def test_as_many_searches_run_beside_each_other_as_there_are_threads(gallery: Gallery, stuck: Stuck, threads: int) -> None:
    app = make_app(gallery, ServeSettings(threads=threads))
    told = asyncio.run(at_once(app, threads, "POST", "/api/search", ITEM, lambda _: stuck.inside == threads, stuck.go.set))
    assert told == {200: threads} and stuck.most == threads


@pytest.mark.parametrize(("settings", "most"), [(ServeSettings(max_reading=2), 2), (ServeSettings(), 4), (ServeSettings(threads=5), 7)])
def test_no_more_pictures_are_received_at_one_time_than_may_be(gallery: Gallery, settings: ServeSettings, most: int) -> None:
    begun: list[int] = []

    async def many() -> Counter[int]:
        go, statuses = asyncio.Event(), Counter[int]()

        async def one(app: Any, number: int) -> None:
            async def receive() -> dict[str, Any]:
                begun.append(number)
                await go.wait()
                return {"type": "http.request", "body": ITEM, "more_body": False}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses[message["status"]] += 1

            headers = [(b"host", b"localhost"), (b"content-type", FORM["content-type"].encode())]
            await app(
                {"type": "http", "method": "POST", "path": "/api/search", "headers": headers, "query_string": b"", "scheme": "http"},
                receive,
                send,
            )

        app = make_app(gallery, settings)
        asked = [asyncio.ensure_future(one(app, number)) for number in range(most + 5)]
        for _ in range(100):  # turns of the loop: nobody who may begin has not
            await asyncio.sleep(0)
        assert len(begun) == most
        go.set()
        await asyncio.gather(*asked)
        return statuses

    assert asyncio.run(many()) == {200: most + 5}


def test_thumbnails_too_are_told_to_come_back(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(Thumbnails, "of", lambda self, row: b"jpeg" if go.wait(60) else b"")
    told = asyncio.run(at_once(make_app(gallery), 520, "GET", "/api/items/1/thumbnail", b"", lambda told: told[503] == 8, go.set))
    assert told == {200: 512, 503: 8}


def test_nobodys_searches_are_written_down(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running(make_app(gallery)) as address:
        assert httpx.post(f"{address}/api/search", files={"item": (None, "people/03.png")}).status_code == 200
    told = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]  # the client's own loggers
    assert not any("/api/search" in text or "people/03" in text for text in told), told
