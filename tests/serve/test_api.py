"""What the API of `reidclip serve` answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from reidclip.gallery.gallery import Gallery
from tests.serve.small_gallery import CLOCK, NASTY, picture


def ask(client: httpx.Client, content: bytes | None = None, status: int = 200, **fields: Any) -> Any:
    files = {"picture": ("person.jpg", content)} if content is not None else {name: (None, str(v)) for name, v in fields.items()}
    told = {name: value if isinstance(value, list) else str(value) for name, value in fields.items()} if content is not None else {}
    answer = client.post("/api/search", files=files, data=told)
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(client: httpx.Client, content: bytes | None = None, *, status: int, **fields: Any) -> str:
    """The error and its remedy."""
    told = ask(client, content, status, **fields)
    assert set(told) == {"error", "remedy"}
    return f"{told['error']} {told['remedy']}"


def saved(image: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format=kind, **options)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------------------------- searching
def test_a_picture_of_the_gallery_is_its_own_nearest(client: httpx.Client, query: Path, gallery: Gallery) -> None:
    found = ask(client, query.read_bytes(), top=20)
    assert [hit["rank"] for hit in found["hits"]] == list(range(1, 21))
    assert found["hits"][0]["row"] == 3
    assert found["hits"][0]["distance"] == pytest.approx(0, abs=1e-5)
    distances = [hit["distance"] for hit in found["hits"]]
    assert distances == sorted(distances)
    vectors = gallery.vectors(list(range(20)))
    np.testing.assert_allclose(distances, sorted(1 - vectors @ vectors[3]), atol=1e-5)
    assert found["query"] == {"kind": "picture", "width": 24, "height": 48, "item": None, "clothes": None}


def test_provenance(client: httpx.Client, query: Path, gallery: Gallery) -> None:
    found = ask(client, query.read_bytes(), top=1)
    hit = found["hits"][0]
    known = {"path": "people/03.png", "key": "people/03.png", "camera": 4, "clothes": 3, "pid": 1, "domain": "hall", "time": CLOCK + 180}
    assert {name: hit[name] for name in known} == known
    assert (hit["frame"], hit["track"], hit["box"]) == (None, None, None)
    assert found["model"]["digest"] == gallery.model.digest and found["model"]["ref"] == "tiny@v1"
    assert found["index"]["ref"] == "gate@v1" and found["index"]["digest"] == gallery.artifact.digest


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_formats_without_loss_give_the_same_answer(client: httpx.Client, query: Path, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    found = ask(client, saved(picture(3), kind, **options), top=5)
    assert [h["row"] for h in found["hits"]] == [h["row"] for h in ask(client, query.read_bytes(), top=5)["hits"]]
    assert found["hits"][0]["distance"] == pytest.approx(0, abs=1e-5)


def test_a_picture_lying_on_its_side_is_turned_upright(client: httpx.Client) -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    found = ask(client, saved(np.rot90(picture(3)).copy(), "PNG", exif=exif), top=1)
    assert found["hits"][0]["row"] == 3 and found["hits"][0]["distance"] == pytest.approx(0, abs=1e-5)


def test_an_item_finds_others_not_itself(client: httpx.Client) -> None:
    found = ask(client, item="people/03.png", top=50)
    assert sorted(h["row"] for h in found["hits"]) == [r for r in range(20) if r != 3]
    assert found["allowed"] == 19
    assert found["query"]["item"]["row"] == 3


def test_filters(client: httpx.Client, query: Path) -> None:
    content = query.read_bytes()

    def rows(**fields: Any) -> set[int]:
        found = ask(client, content, top=20, **fields)
        assert found["allowed"] == len(found["hits"])
        return {h["row"] for h in found["hits"]}

    known = set(range(19))
    assert rows(camera=2) == {r for r in known if 1 + r % 4 == 2}
    assert rows(camera=["1", "2"]) == {r for r in known if 1 + r % 4 in (1, 2)}
    assert rows(not_camera=["1", "2"]) == {r for r in known if 1 + r % 4 not in (1, 2)} | {19}
    assert rows(domain="hall") == {r for r in known if r % 2}
    assert rows(clothes=3) == {r for r in known if r % 5 == 3}
    assert rows(after=CLOCK + 60, before="2024-05-01T10:43:00") == {1, 2, 3}
    assert rows(domain="hall", camera=2, before=CLOCK + 600) == {1, 5, 9}


def test_other_clothes_only(client: httpx.Client, query: Path) -> None:
    found = ask(client, item="people/03.png", other_clothes="true", top=50)
    assert {h["row"] for h in found["hits"]} == {r for r in range(19) if r % 5 != 3}
    assert found["query"]["clothes"] == 3
    told = ask(client, query.read_bytes(), other_clothes="true", query_clothes=1, top=50)
    assert {h["row"] for h in told["hits"]} == {r for r in range(19) if r % 5 != 1}
    better = ask(client, item="people/03.png", other_clothes="true", query_clothes=1, top=50)  # somebody knows better than the labels
    assert {h["row"] for h in better["hits"]} == {r for r in range(19) if r % 5 != 1 and r != 3} and better["query"]["clothes"] == 1
    assert "which clothes the query wears" in refused(client, query.read_bytes(), status=400, other_clothes="true")


def test_reranking_and_expansion_answer(client: httpx.Client) -> None:
    plain, again = ask(client, item="people/03.png", top=19), ask(client, item="people/03.png", top=19, rerank="true", expand=2)
    assert again["reranked"] and not plain["reranked"]
    assert {h["row"] for h in again["hits"]} == {h["row"] for h in plain["hits"]}
    assert [h["distance"] for h in again["hits"]] != [h["distance"] for h in plain["hits"]]


def test_a_filter_that_lets_nothing_through_is_an_empty_answer(client: httpx.Client, query: Path) -> None:
    found = ask(client, query.read_bytes(), camera=77)
    assert found["hits"] == [] and found["allowed"] == 0


# ------------------------------------------------------------------------------------------------------------- what there is
def test_info(client: httpx.Client, gallery: Gallery) -> None:
    info = client.get("/api/info").json()
    assert info["cameras"] == [{"value": 1, "count": 5}, {"value": 2, "count": 5}, {"value": 3, "count": 5}, {"value": 4, "count": 4}]
    assert info["domains"] == [{"value": "gate", "count": 10}, {"value": "hall", "count": 9}]
    assert info["time"] == {"earliest": CLOCK, "latest": CLOCK + 18 * 60, "clock": True}
    assert info["clothes"] == {"mode": "labels", "count": 5, "of_pictures": False}
    assert info["limits"]["upload_bytes"] == 10_000_000
    assert str(gallery.root) not in str(info)


def test_thumbnails_are_jpegs_of_the_pictures(client: httpx.Client) -> None:
    for row in (0, 19):
        answer = client.get(f"/api/items/{row}/thumbnail")
        assert answer.headers["content-type"] == "image/jpeg"
        shown = np.asarray(Image.open(io.BytesIO(answer.content)), dtype=int)
        assert shown.shape == (48, 24, 3)
        middles = (slice(4, None, 8), slice(4, None, 8))  # of the squares: JPEG blurs their edges
        assert np.abs(shown[middles].mean(2) - picture(row)[middles].mean(2)).max() < 12


def test_openapi_describes_what_there_is(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    assert set(told["paths"]) == {"/api/health", "/api/info", "/api/search", "/api/login", "/api/items/{row}/thumbnail"}
    search = told["paths"]["/api/search"]["post"]
    fields = search["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"picture", "item", "camera", "top", "rerank"} <= set(fields)
    assert all(field["description"] for field in fields.values())
    assert {"200", "400", "401", "408", "413", "415", "503"} <= set(search["responses"])


def test_the_pages_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    for page in ("/", "/docs"):
        answer = client.get(page)
        assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
        assert "http:" not in answer.text and "https:" not in answer.text and "//" not in answer.text.replace("<!--", "")


def test_a_name_that_is_markup_travels_as_it_is(client: httpx.Client) -> None:
    assert ask(client, item=NASTY, top=1)["query"]["item"]["path"] == NASTY


# -------------------------------------------------------------------------------------------------------------- wrong requests
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"top": "0"}, "'top' is no whole number from 1 to 200"),
        ({"top": "9999999999999999999"}, "'top' is no whole number"),
        ({"camera": "one"}, "'camera' is no whole number"),
        ({"camera": "١"}, "'camera' is no whole number"),
        ({"after": "yesterday"}, "after yesterday"),
        ({"after": "2024-05-01" + " " * 50 + "T10:00:00"}, "'after' is longer than any time"),
        ({"query_clothes": "1"}, "'query_clothes' belongs to 'other_clothes'"),
        ({"query_clothes": "1", "other_clothes": "false"}, "'query_clothes' belongs to 'other_clothes'"),
        ({"after": "5", "before": "4"}, "lies after"),
        ({"rerank": "maybe"}, "neither true nor false"),
        ({"folder": "/etc"}, "no field 'folder'"),
        ({"expand": "51"}, "from 0 to 50"),
    ],
)
def test_wrong_fields_are_named(client: httpx.Client, fields: dict[str, str], says: str) -> None:
    assert says in refused(client, status=400, item="people/03.png", **fields)


def test_neither_a_picture_nor_an_item_or_both(client: httpx.Client, query: Path) -> None:
    assert "either a picture or an item" in refused(client, status=400, top=3)
    assert "either a picture or an item" in refused(client, query.read_bytes(), status=400, item="people/03.png")


def test_an_unknown_item_is_told_without_folders(client: httpx.Client, gallery: Gallery) -> None:
    told = refused(client, status=400, item="people/3.png")
    assert "no item 'people/3.png'" in told and str(gallery.root) not in told


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", ""), (b"{}", "application/json"), (b"a=1", "application/x-www-form-urlencoded"), (b"x", "multipart/form-data")],
)
def test_what_is_no_form(client: httpx.Client, content: bytes, kind: str) -> None:
    answer = client.post("/api/search", content=content, headers={"content-type": kind})
    assert answer.status_code == 415 and "no form" in answer.json()["error"]


def test_a_form_that_is_cut_off(client: httpx.Client, query: Path) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n' + query.read_bytes()
    answer = client.post("/api/search", content=form, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400 and "cut off" in answer.json()["error"]


def test_pages_that_are_not_there(client: httpx.Client) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/api/search", 405), ("DELETE", "/", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status and set(answer.json()) == {"error", "remedy"}
        assert (status == 405) == ("allow" in answer.headers)
    assert client.get("/api/search").headers["allow"] == "POST"
