"""The page of `reidclip serve` in a real browser: what somebody who uses it does and sees."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from reidclip.gallery.gallery import Gallery
from reidclip.serve.settings import ServeSettings
from reidclip.stages.serve import make_app
from tests.browser import DESKTOP, PHONE, Visit
from tests.serve.running import running
from tests.serve.small_gallery import NASTY

if TYPE_CHECKING:
    from playwright.sync_api import Page

Go = Callable[..., Visit]
TOKEN = "a-token-of-thirty-two-characters"


def ready(page: Page) -> Page:
    page.wait_for_selector("#facts dd")
    return page


def until(page: Page, script: str, arg: Any = None) -> None:
    """Playwright's own waiting evaluates texts within the page, which its policy forbids."""
    for _ in range(1000):
        if page.evaluate(script, arg):
            return
        page.wait_for_timeout(10)
    pytest.fail(f"never came true: {script}; the page says: {page.inner_text('body')}")


def drop(page: Page, file: Path | dict[str, Any]) -> None:
    """Choose a file, and wait until the search has ended."""
    page.set_input_files("#file", file)
    settled(page)


def settled(page: Page) -> None:
    until(page, "!document.querySelector('#results').hasAttribute('aria-busy') && document.querySelector('#empty').hidden")


def paths(page: Page) -> list[str]:
    return [str(text) for text in page.locator(".card:not(.bone) .path").all_inner_texts()]


def errors(seen: Visit) -> list[str]:
    """All but the browser's own word that a request was refused, which the page tells in its own."""
    return [error for error in seen.errors if "Failed to load resource" not in error]


def test_a_picture_is_dropped_and_answers_are_ranked(address: str, query: Path, visit: Go) -> None:
    seen = visit(address)
    page = ready(seen.page)
    assert "gate@v1" in page.inner_text("#facts") and "tiny@v1" in page.inner_text("#facts")
    drop(page, query)
    assert paths(page)[0] == "people/03.png" and len(paths(page)) == 20
    distances = [float(text) for text in page.locator(".card .distance b").all_inner_texts()]
    assert distances == sorted(distances) and distances[0] < 0.001 < distances[1]
    assert "20 nearest of 20 items" in page.inner_text("#status")
    first = page.locator(".card").first
    assert all(told in first.inner_text() for told in ("camera\n4", "clothes\n3", "data\nhall", "2024-05-01 10:43:00"))
    until(page, "document.querySelector('.card img').naturalWidth === 24 && document.querySelector('#preview').naturalWidth === 24")
    assert seen.errors == [] and seen.failed == []
    assert all(request.startswith(address) for request in seen.requests)


def test_a_file_is_dropped_and_one_is_pasted(address: str, query: Path, visit: Go) -> None:
    page = ready(visit(address).page)
    content = list(query.read_bytes())
    for event, field in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate(
            """([content, event, field]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(content)], `${event}ped.png`, { type: "image/png" }));
                const kind = event === "drop" ? DragEvent : ClipboardEvent;
                document.body.dispatchEvent(new kind(event, { [field]: data, bubbles: true, cancelable: true }));
            }""",
            [content, event, field],
        )
        until(page, f"document.querySelector('#query').textContent === '{event}ped.png'")
        settled(page)
        assert paths(page)[0] == "people/03.png"


def test_filters_are_kept_in_the_address(address: str, query: Path, visit: Go) -> None:
    page = ready(visit(address).page)
    drop(page, query)
    page.get_by_text("Data sets").wait_for()
    with page.expect_response("**/api/search"):
        page.check("#cameras input[value='2']", force=True)
    settled(page)
    until(page, "document.querySelectorAll('.card').length === 5")
    assert sorted(paths(page)) == [f"people/{i:02d}.png" for i in (1, 5, 9, 13, 17)]
    assert page.evaluate("location.hash") == "#camera=2" and page.inner_text("#active") == "1"
    with page.expect_response("**/api/search"):
        page.fill("#after", "2024-05-01T10:49:00")
        page.dispatch_event("#after", "change")
    until(page, "document.querySelectorAll('.card').length === 3")
    page.click("#reset")
    until(page, "document.querySelectorAll('.card').length === 20")
    assert page.evaluate("location.hash") == ""

    again = ready(visit(f"{address}/#not_camera=1&not_camera=2&top=3&item=people%2F04.png").page)
    settled(again)
    assert len(paths(again)) == 3 and again.input_value("#top") == "3"
    assert again.is_checked("#cameras input[value='1']") and again.is_checked("input[value=not_camera]")
    assert set(paths(again)) <= {f"people/{i:02d}.png" for i in range(19) if i % 4 in (2, 3)} | {NASTY}


def test_search_with_this_one_and_back(address: str, query: Path, visit: Go) -> None:
    seen = visit(f"{address}/#item=people%2F03.png")
    page = ready(seen.page)
    settled(page)
    second = paths(page)[1]
    page.locator(".card button").nth(1).click()
    until(page, "p => document.querySelector('#query').textContent === p", arg=second)
    settled(page)
    assert second not in paths(page) and len(paths(page)) == 19
    page.go_back()
    until(page, "document.querySelector('#query').textContent === 'people/03.png'")
    settled(page)
    until(page, "p => document.querySelectorAll('.card .path')[1].textContent === p", arg=second)
    assert seen.errors == []


def test_names_are_texts(address: str, visit: Go) -> None:
    seen = visit(f"{address}/#item=people%2F03.png")
    page = ready(seen.page)
    settled(page)
    assert NASTY in paths(page)
    assert page.locator("[onerror]").count() == 0 and seen.errors == []


BAD = {
    "The file is a text, not a picture.": b"this is no picture",
    "The file is empty.": b"",
    "The file is a zip archive, not a picture.": b"PK\x03\x04 and more",
    "The picture is damaged or cut off.": b"\xff\xd8\xff\xe0 cut",
}


def choose(page: Page, content: bytes) -> str:
    """A file that is refused -> what the page says of it."""
    page.set_input_files("#file", {"name": "person.jpg", "mimeType": "image/jpeg", "buffer": content})
    page.wait_for_selector("#problem:not([hidden])")
    return page.inner_text("#problem")


def test_bad_files_are_told_in_place(address: str, query: Path, visit: Go) -> None:
    seen = visit(address)
    page = ready(seen.page)
    for says, content in BAD.items():
        drop(page, query)  # and on it goes after each
        assert page.is_hidden("#problem") and paths(page)[0] == "people/03.png"
        assert says in choose(page, content)
        assert paths(page) == [] and page.get_attribute("#problem", "role") == "alert"
    assert errors(seen) == []


def test_a_filter_that_lets_nothing_through(address: str, visit: Go) -> None:
    page = ready(visit(f"{address}/#camera=2&after=2024-05-01T10:40:30&before=2024-05-01T10:40:40&item=people%2F03.png").page)
    settled(page)
    assert paths(page) == [] and "Nothing passes these filters of 0 items" in page.inner_text("#status")


def test_the_keyboard_reaches_everything(address: str, query: Path, visit: Go) -> None:
    seen = visit(f"{address}/#top=2&item=people%2F03.png")
    page = ready(seen.page)
    settled(page)
    reached = []
    for _ in range(50):  # the fields of a date are many
        page.keyboard.press("Tab")
        reached.append(seen.focused)
    wanted = ["a Skip to the results", "input#file", "summary", "input#other-clothes", "input#top", "button#go", "button#reset"]
    places = [next(i for i, got in enumerate(reached) if got.startswith(want)) for want in wanted]
    assert places == sorted(places)
    assert sum("Search with rank" in got for got in reached) == 2
    page.focus("#top")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.card').length === 4")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["1280-light", "390-dark"])
def test_nothing_is_wider_than_the_window(address: str, query: Path, visit: Go, size: tuple[int, int], scheme: str) -> None:
    seen = visit(address, size, color_scheme=scheme)
    page = ready(seen.page)
    assert not seen.scrolls_sideways
    drop(page, query)
    if size == PHONE:
        page.click("#filters summary")
    assert page.is_visible("#cameras") and not seen.scrolls_sideways
    ground, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (brightness(ground) < brightness(ink)) == (scheme == "dark")
    shot = Image.open(io.BytesIO(page.locator(".card").first.screenshot()))
    assert shot.width >= 150


def brightness(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_the_api_is_described(address: str, visit: Go) -> None:
    seen = visit(f"{address}/docs", PHONE)
    seen.page.wait_for_selector("#operations section")
    assert "/api/search" in seen.page.inner_text("#operations") and not seen.scrolls_sideways
    assert seen.errors == [] and all(request.startswith(address) for request in seen.requests)


# ------------------------------------------------------------------------------------------------------------------- token
@pytest.fixture(scope="module")
def locked(gallery: Gallery) -> Iterator[str]:
    with running(make_app(gallery, ServeSettings(token=TOKEN, max_upload=50_000))) as found:
        yield found


def test_the_token_is_asked_for(locked: str, query: Path, visit: Go) -> None:
    seen = visit(locked)
    page = seen.page
    page.wait_for_selector("#login:not([hidden])")
    assert page.is_hidden("#main")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#login-problem:not([hidden])")
    assert "That is not the token." in page.inner_text("#login-problem")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    drop(ready(page), query)
    assert paths(page)[0] == "people/03.png" and errors(seen) == []
    until(page, "document.querySelector('.card img').naturalWidth === 24")  # with the cookie
    assert page.evaluate("document.cookie") == ""
    assert "larger than 0.05 MB" in choose(page, b"\0" * 50_001)  # told before it is sent


def test_the_token_behind_the_address_leaves_it_at_once(locked: str, visit: Go) -> None:
    seen = visit(f"{locked}/#token={TOKEN}")
    page = ready(seen.page)
    assert TOKEN not in page.evaluate("location.href") and page.is_hidden("#login")
    assert seen.errors == []
