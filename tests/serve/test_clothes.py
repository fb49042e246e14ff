"""A gallery whose clothes are clusters: what an uploaded picture wears is told from the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from reidclip.data.images import write_picture_png
from reidclip.data.lip import LIP_LABELS
from reidclip.gallery import clothes
from reidclip.gallery.about import BACKEND, CENTROIDS_FILE, ClothesGroups, IndexAbout
from reidclip.gallery.clusters import save_centroids
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.items import ITEMS_FILE, write_items
from reidclip.gallery.worn import WORN_FILE, save_worn
from reidclip.stages.serve import make_app
from tests.serve.running import running
from tests.serve.small_gallery import items, write_gallery

COLOURS = ((200, 30, 30), (30, 30, 200), (230, 230, 230), (30, 160, 30))  # one group each


class Cloth:
    """In place of the parser: what is not black is an upper garment."""

    name, version, labels = "cloth", "1", tuple(LIP_LABELS)

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [(image.any(axis=2) * LIP_LABELS.index("Upper-clothes")).astype(np.uint8) for image in images]


LOOKS = [0 if row == 1 else row % 4 for row in range(20)]
"""Items' clothes as their own descriptors tell them: one lies in another group."""


def wearing(colour: tuple[int, int, int], height: int = 48) -> np.ndarray:
    return np.full((height, height // 2, 3), colour, np.uint8)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clothes, "clothes_parser", lambda name="cloth", device="cpu": Cloth())
        store, plain = write_gallery(tmp_path_factory.mktemp("grouped"))
        about = replace(IndexAbout.read(plain), clothes=ClothesGroups("clusters", len(COLOURS)))
        with store.create("index", "grouped") as index:
            (index.path / BACKEND).mkdir()
            for file in (plain.path / BACKEND).iterdir():
                (index.path / BACKEND / file.name).write_bytes(file.read_bytes())
            write_items(index.path / ITEMS_FILE, tuple(replace(item, clothes_id=row % 4) for row, item in enumerate(items())))
            save_centroids(index.path / CENTROIDS_FILE, clothes.clothes_descriptors([wearing(c) for c in COLOURS], Cloth()))
            save_worn(index.path / WORN_FILE, clothes.clothes_descriptors([wearing(COLOURS[c]) for c in LOOKS], Cloth()))
            about.write(index.path)
        with Gallery.open(store, index.artifact) as gallery, running(make_app(gallery)) as address:
            yield address


def ask(address: str, tmp_path: Path, picture: np.ndarray, **fields: str) -> httpx.Response:
    write_picture_png(tmp_path / "a.png", picture)
    return httpx.post(
        f"{address}/api/search", files={"picture": (tmp_path / "a.png").read_bytes()}, data={"top": "50", **fields}, timeout=30
    )


@pytest.mark.parametrize("height", [48, 1600])
@pytest.mark.parametrize("group", range(len(COLOURS)))
def test_what_a_picture_wears_is_left_out(grouped: str, tmp_path: Path, group: int, height: int) -> None:
    found = ask(grouped, tmp_path, wearing(COLOURS[group], height), other_clothes="true").json()
    assert found["query"]["clothes"] == group
    assert {hit["row"] for hit in found["hits"]} == {row for row in range(20) if group not in (row % 4, LOOKS[row])}
    assert found["allowed"] == len(found["hits"]) and "may err" in found["note"]


def test_who_asks_knows_better(grouped: str, tmp_path: Path) -> None:
    assert ask(grouped, tmp_path, wearing(COLOURS[2]), other_clothes="true", query_clothes="1").json()["query"]["clothes"] == 1


def test_what_an_item_wears_is_left_out(grouped: str) -> None:
    found = httpx.post(
        f"{grouped}/api/search", files={"item": (None, "00.png"), "other_clothes": (None, "true"), "top": (None, "50")}, timeout=30
    ).json()
    assert found["query"]["item"]["key"] == "people/00.png"  # by the end of its key
    assert {hit["row"] for hit in found["hits"]} == {row for row in range(20) if 0 not in (row % 4, LOOKS[row])}


def test_a_picture_that_shows_no_clothes(grouped: str, tmp_path: Path) -> None:
    answer = ask(grouped, tmp_path, wearing((0, 0, 0)), other_clothes="true")
    assert answer.status_code == 400 and "which clothes the query wears" in answer.json()["error"]
    assert len(ask(grouped, tmp_path, wearing((0, 0, 0))).json()["hits"]) == 20


def test_the_page_is_told_that_it_need_not_ask(grouped: str) -> None:
    assert httpx.get(f"{grouped}/api/info").json()["clothes"] == {"mode": "clusters", "count": 4, "of_pictures": True}
