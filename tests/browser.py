"""A real browser for tests of pages: the system's Chromium, headless, driven through Playwright.

Without one such tests are skipped, and say why; with ``REIDCLIP_BROWSER=required`` in the environment they fail instead.
The fixtures `chromium` and `visit` are known to all tests through ``tests/conftest.py``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)  # width and height of the viewport, in CSS pixels
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_INLINE = ("data:", "blob:", "about:", "file:")


@dataclass
class Visit:
    """A page that is open, and what went on in it since.

    Attributes:
        page: Playwright's page.
        errors: what the console said as an error, and exceptions that nobody caught.
        requests: addresses that were asked for over a network (whether or not anybody answered).
        failed: addresses that did not answer, or with a status of 400 and above.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def scrolls_sideways(self) -> bool:
        """Whether the page itself, not a box in it, is wider than the window."""
        return bool(self.page.evaluate("document.scrollingElement.scrollWidth > window.innerWidth"))

    @property
    def focused(self) -> str:
        """The element that has the focus, as "button#more", or its accessible name behind its tag where it has no id."""
        script = "(e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : ' ' + (e.getAttribute('aria-label') || e.textContent.trim())))"
        return str(self.page.evaluate(f"{script}(document.activeElement)"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, started once per module."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        _without(f"there is no browser on this machine ({', '.join(NAMES)})")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("playwright is not installed (pip install 'reidclip[dev]')")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """``visit(address, (width, height))`` opens a page of its own, of a file or an address; further words go to Playwright's context."""
    opened = []

    def go(address: str | Path, viewport: tuple[int, int] = DESKTOP, **options: Any) -> Visit:
        context = chromium.new_context(viewport={"width": viewport[0], "height": viewport[1]}, **options)
        opened.append(context)
        context.set_default_timeout(10_000)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url) if not request.url.startswith(_INLINE) else None)
        seen.page.on("requestfailed", lambda request: seen.failed.append(request.url))
        seen.page.on("response", lambda response: seen.failed.append(response.url) if response.status >= 400 else None)
        seen.page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return seen

    yield go
    for context in opened:
        context.close()


def _without(why: str) -> NoReturn:
    if os.environ.get("REIDCLIP_BROWSER") == "required":
        pytest.fail(f"REIDCLIP_BROWSER=required, but {why}", pytrace=False)
    pytest.skip(f"needs a browser: {why}")
