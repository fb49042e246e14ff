"""The small gallery, open and served, once for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reidclip.gallery.gallery import Gallery
from reidclip.stages.serve import make_app
from tests.serve.running import running
from tests.serve.small_gallery import write_gallery


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    store, index = write_gallery(tmp_path_factory.mktemp("gallery"))
    with Gallery.open(store, index) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(gallery: Gallery) -> Iterator[str]:
    with running(make_app(gallery)) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=30) as one:
        yield one


@pytest.fixture
def query(gallery: Gallery) -> Path:
    """The file of item 3."""
    return gallery.root / gallery.items[3].path
