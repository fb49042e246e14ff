"""index and search as a user runs them: what is found, what a version keeps, and what is told."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.store import Store
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.items import Item
from reidclip.gallery.model import VectorModel
from reidclip.gallery.query import Filter
from reidclip.gallery.result_sheet import SheetRow, result_sheet
from reidclip.gallery.vectors import VectorSet, read_vectors, write_vectors
from reidclip.stages import search as search_stage
from reidclip.stages import search_sheet
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.fakes import write_prcc
from tests.trees import write_picture

BY_CLIP = ("--checkpoint", "zero-shot:tiny.safetensors")
WIDTH = 8


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def store() -> Store:
    return Store(Path("artifacts"))


def write_set(name: str, items: tuple[Item, ...], seed: int = 0, root: str = "hall", clothes: bool = False, model: str = "m") -> VectorSet:
    """An artifact ``vectors/NAME`` of unit vectors at random."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((len(items), WIDTH)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    described = np.eye(4, dtype=np.float32)[[i % 4 for i in range(len(items))]] if clothes else None
    found = VectorSet(drawn, items, VectorModel("c@v1", model, "config", WIDTH, "similarity"), Path(root), described)
    with store().create("vectors", name) as draft:
        write_vectors(draft.path, found)
    return found


def people(count: int = 12, **known: Any) -> tuple[Item, ...]:
    """Item i under camera i % 3, in clothes i % 4, at i minutes."""
    return tuple(Item(f"{i:02d}.jpg", camid=i % 3, clothes_id=i % 4, pid=i // 4, time=60.0 * i, **known) for i in range(count))


def keys(told: Any, query: int = 0) -> list[str]:
    return [hit["key"] for hit in told["queries"][query]["hits"]]


def test_from_pictures_to_answers(line: CommandLine) -> None:
    write_prcc(Path("prcc"))
    built = line("index", "build", "prcc", *BY_CLIP, "--json").json
    vectors = read_vectors(store().open(store().list("vectors")[0].ref, kind="vectors"))
    assert built["metrics"]["items"] == len(vectors.items)
    row = 5
    told = line("search", vectors.root / vectors.items[row].path, "--top", "4", "--json").json
    far = 1 - vectors.vectors.astype(float) @ vectors.vectors[row].astype(float)
    order = np.argsort(far, kind="stable")[:4]
    assert keys(told) == [vectors.items[i].key for i in order]
    assert [hit["distance"] for hit in told["queries"][0]["hits"]] == pytest.approx(far[order], abs=1e-5)
    assert told["model"]["digest"] == vectors.model.digest
    by_item = line("search", "--item", vectors.items[row].key, "--top", "3", "--json").json
    assert keys(by_item) == [vectors.items[i].key for i in order[1:]]  # it does not answer itself


def test_data_is_added_by_the_index_own_model(line: CommandLine) -> None:
    write_prcc(Path("prcc"))
    line("index", "build", "prcc", *BY_CLIP)
    write_picture(Path("new/door/1.png"), seed=3)
    assert "@v2" in line("index", "add", "new", "--json").json["ref"]
    with Gallery.open(store()) as gallery:
        assert gallery.items[-1].path == "new/door/1.png" and gallery.items[-1].domain == "new"
        assert gallery.items[0].path.startswith("prcc/") and gallery.items[0].domain == "prcc"
    told = line("search", "new/door/1.png", "--top", "1", "--domain", "new", "--json").json
    assert keys(told) == ["new/door/1.png"] and told["queries"][0]["hits"][0]["distance"] < 1e-5


def test_a_version_answers_as_before(line: CommandLine) -> None:
    first = write_set("a", people())
    write_set("b", tuple(Item(f"new{i}.jpg") for i in range(3)), seed=1)
    line("index", "build", "a", "--name", "gate")
    before = line("search", "--item", "03.jpg", "--index", "gate@v1", "--json").json
    line("index", "add", "b")
    line("index", "remove", "--item", "00.jpg", "--item", "new1.jpg")
    assert line("search", "--item", "03.jpg", "--index", "gate@v1", "--json").json == before
    with Gallery.open(store(), "gate@v3") as gallery:
        assert [i.key for i in gallery.items] == [i.key for i in first.items[1:]] + ["new0.jpg", "new2.jpg"]
        assert np.array_equal(gallery.vectors([0]), first.vectors[1:2])
    info = line("index", "info", "gate@v3", "--json").json
    assert info["items"] == 13 and info["sources"] == ["a@v1", "b@v1"]
    assert [i.kind for i in store().open("gate@v3", "index").manifest.inputs] == ["index"]
    assert "13 items" in line("index", "info").out


def test_items_that_are_there_are_left_out(line: CommandLine) -> None:
    write_set("a", people(4))
    write_set("b", (*people(4)[2:], Item("new.jpg")), seed=1)
    line("index", "build", "a", "--name", "gate")
    assert "nothing was written" in line("index", "add", "a").err
    assert [a.ref for a in store().list("index")] == ["gate@v1"]
    assert "2 items are in the index already" in line("index", "add", "b").err
    with Gallery.open(store()) as gallery:
        assert [i.key for i in gallery.items] == ["00.jpg", "01.jpg", "02.jpg", "03.jpg", "new.jpg"]
    assert "2 items are there twice" in line("index", "build", "a", "b").err


FILTERS: dict[str, tuple[tuple[str, ...], Callable[[int], bool]]] = {
    "camera": (("--camera", "0", "--camera", "2"), lambda i: i % 3 != 1),
    "not-camera": (("--not-camera", "1"), lambda i: i % 3 != 1),
    "clothes": (("--clothes", "3"), lambda i: i % 4 == 3),
    "other-clothes": (("--other-clothes",), lambda i: i % 4 != 1),
    "query-clothes": (("--other-clothes", "--query-clothes", "0"), lambda i: i % 4 != 0),
    "after": (("--after", "120"), lambda i: i >= 2),
    "before": (("--before", "1970-01-01T00:04"), lambda i: i <= 4),
    "zone": (("--before", "1970-01-01T02:04:00+02:00"), lambda i: i <= 4),
    "together": (("--camera", "2", "--after", "180", "--before", "500"), lambda i: i % 3 == 2 and 3 <= i <= 8),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(line: CommandLine, name: str) -> None:
    words, passes = FILTERS[name]
    write_set("a", people())
    line("index", "build")
    told = line("search", "--item", "05.jpg", "--top", "20", *words, "--json").json
    assert sorted(keys(told)) == [f"{i:02d}.jpg" for i in range(12) if passes(i) and i != 5]


def test_what_nothing_is_known_of(line: CommandLine) -> None:
    write_set("a", (*people(4), Item("bare.jpg")))
    line("index", "build")
    assert "bare.jpg" not in keys(line("search", "--item", "00.jpg", "--other-clothes", "--json").json)
    assert "bare.jpg" in keys(line("search", "--item", "00.jpg", "--other-clothes", "--unknown-clothes", "--json").json)
    assert "bare.jpg" not in keys(line("search", "--item", "00.jpg", "--after", "-1000000", "--json").json)
    assert "nobody knows what bare.jpg wears" in line("search", "--item", "bare.jpg", "--other-clothes").err


def test_a_filter_that_lets_nothing_through_is_told(line: CommandLine) -> None:
    write_set("a", people())
    line("index", "build")
    run = line("search", "--item", "05.jpg", "--camera", "9", "--json")
    assert run.json["queries"][0]["hits"] == []
    assert "has no camera 9; it has 0, 1, 2" in run.err and "nothing answers to 05.jpg" in run.err


def test_groups_of_clothes(line: CommandLine) -> None:
    write_set("a", people(), clothes=True)
    line("index", "build", "--clothes", "clusters:4", "--name", "gate")
    with Gallery.open(store()) as gallery:
        worn = [i.clothes_id for i in gallery.items]
        assert worn[:4] == worn[4:8] == worn[8:] and sorted(worn[:4]) == [0, 1, 2, 3]
        match = gallery.about.clothes.match
        assert match is not None and match["nmi"] == pytest.approx(1)
    told = keys(line("search", "--item", "05.jpg", "--other-clothes", "--top", "20", "--json").json)
    assert sorted(told) == [f"{i:02d}.jpg" for i in range(12) if i % 4 != 1]
    write_set("b", tuple(Item(f"new{i}.jpg") for i in range(3)), seed=1, clothes=True)
    line("index", "add", "b")
    with Gallery.open(store()) as gallery:
        assert [i.clothes_id for i in gallery.items[12:]] == worn[:3]  # by the centroids there are


def test_groups_are_compared_with_people_of_each_data_set_apart(line: CommandLine) -> None:
    """Of the two people called 0 each wears one outfit: there is no pair of one person in two outfits."""
    for number, name in enumerate(("hall", "gate")):
        write_set(name, tuple(Item(f"{i}.jpg", pid=0, clothes_id=0) for i in range(3)), seed=number, root=name, clothes=True)
    line("index", "build", "hall", "gate", "--clothes", "clusters:2")
    with Gallery.open(store()) as gallery:
        match = gallery.about.clothes.match
        assert match is not None and "same_left_out" in match and "other_kept" not in match


def test_clothes_of_two_data_sets_are_not_the_same(line: CommandLine) -> None:
    write_set("a", people(4), root="hall")
    write_set("b", people(4), root="gate", seed=1)
    line("index", "build", "a", "b")
    with Gallery.open(store()) as gallery:
        assert [i.key for i in gallery.items[3:5]] == ["hall/03.jpg", "gate/00.jpg"]
        assert [i.clothes_id for i in gallery.items] == list(range(8))
        assert {i.domain for i in gallery.items} == {"hall", "gate"}


def outfits(*numbers: int, known: int = 0) -> tuple[Item, ...]:
    return tuple(Item(f"{known + i}.jpg", clothes_id=number) for i, number in enumerate(numbers))


def worn() -> dict[str, int]:
    with Gallery.open(store(), "g") as gallery:
        return {i.key: i.clothes_id for i in gallery.items}


def test_clothes_of_a_data_set_that_grows_are_still_its_own(line: CommandLine) -> None:
    write_set("a1", outfits(0, 1, 2), root="hall")
    write_set("b", outfits(3, 4, 5), root="gate", seed=1)
    write_set("a2", outfits(2, 3, 4, 5, known=3), root="hall", seed=2)
    line("index", "build", "a1", "--name", "g")
    line("index", "add", "b")
    line("index", "add", "a2")
    found = worn()
    assert found["hall/3.jpg"] == found["hall/2.jpg"] == 2  # the outfit that it was before
    assert len(set(found.values())) == 9 and len({n for key, n in found.items() if key.startswith("gate")}) == 3


def test_clothes_that_were_removed_come_again_under_their_number(line: CommandLine) -> None:
    write_set("a", outfits(0, 1, 2), root="hall")
    write_set("b", outfits(0, 1, 2), root="gate", seed=1)
    line("index", "build", "a", "--name", "g")
    line("index", "remove", "--item", "2.jpg", "--item", "1.jpg")
    line("index", "add", "b")
    before = worn()
    line("index", "add", "a")
    assert worn() == before | {"hall/1.jpg": 1, "hall/2.jpg": 2} and len(set(worn().values())) == 6


def test_removal_by_what_is_known(line: CommandLine) -> None:
    write_set("a", people())
    line("index", "build")
    planned = line("index", "remove", "--camera", "2", "--before", "200", "--item", "11.jpg", "--dry-run").json
    assert planned["removes"] == 2 and planned["first"] == ["02.jpg", "11.jpg"] and len(store().list("index")) == 1
    assert "removed 2 of 12 items" in line("index", "remove", "--camera", "2", "--before", "200", "--item", "11.jpg").err


def test_reranked_and_expanded(line: CommandLine) -> None:
    found = write_set("a", people(40))
    line("index", "build")
    plain = line("search", "--item", "05.jpg", "--top", "39", "--json").json
    same = line("search", "--item", "05.jpg", "--top", "39", "--rerank", "--set", "lambda_=1", "--json").json
    assert keys(same) == keys(plain)  # all of the original distance: the order stays
    assert keys(line("search", "--item", "05.jpg", "--top", "39", "--rerank", "--json").json) != keys(plain)
    expanded = keys(line("search", "--item", "05.jpg", "--top", "3", "--expand", "2", "--json").json)
    order = [int(k[:2]) for k in keys(plain)[:2]]
    weights = (found.vectors[order] @ found.vectors[5]).clip(min=0) ** 3
    mixed = found.vectors[5] + weights @ found.vectors[order]
    far = -(found.vectors @ mixed)
    far[5] = np.inf
    assert expanded == [found.items[i].key for i in np.argsort(far)[:3]]


def test_approximate_indexes_tell_their_recall(line: CommandLine) -> None:
    write_set("a", people(200))
    run = line("index", "build", "--set", "kind=hnsw", "--json")
    assert "recall@10 against exact search: 1.000 (200 queries of its own vectors; lower for new pictures" in run.err
    assert run.json["metrics"]["recall"] == 1
    assert line("index", "info", "--json").json["recall"]["at"] == 10


def test_a_sheet(line: CommandLine) -> None:
    write_set("a", people(4))
    for i in range(3):  # the fourth is gone
        write_picture(Path(f"hall/{i:02d}.jpg"), i)
    line("index", "build")
    assert "1 pictures cannot be shown" in line("search", "--item", "00.jpg", "--sheet", "s.png").err
    with Image.open("s.png") as sheet:
        assert sheet.width > 4 * 128 and sheet.height > 192


def test_the_table_names_what_was_seen(line: CommandLine) -> None:
    write_set("a", (Item("a.mp4", 12, (3, 4, 50, 90), 7, 1_714_560_000.0, camid=2), Item("a.mp4", 13, (3, 4, 50, 90), 8)))
    line("index", "build")
    out = line("search", "--item", "a.mp4#13:8:3,4,50,90").out
    assert "a.mp4#12:7:3,4,50,90" in out and "2024-05-01 10:40:00" in out


def test_gallery_filters_per_query(line: CommandLine) -> None:
    found = write_set("a", people())
    line("index", "build")
    with Gallery.open(store()) as gallery:
        hits = gallery.search(found.vectors[:2], 20, [Filter(cameras=(1,)), Filter(not_items=("01.jpg",))])
    assert {hit.item.camid for hit in hits[0]} == {1}
    assert len(hits[1]) == 11 and all(hit.item.key != "01.jpg" for hit in hits[1])
    assert [hit.rank for hit in hits[0]] == [1, 2, 3, 4]


def test_tables_are_read_by_others(line: CommandLine) -> None:
    write_set("a", people(3))
    line("index", "build", "--name", "gate")
    with (store().open("gate", "index").path / "items.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["00.jpg", "01.jpg", "02.jpg"]


def test_no_answers_are_a_sentence_and_no_table(line: CommandLine) -> None:
    write_set("a", people())
    line("index", "build")
    run = line("search", "--item", "05.jpg", "--after", "9000")
    assert "nothing answers to 05.jpg" in run.err and run.out == ""


def test_a_sheet_tells_folders_files_crops_and_times(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of many folders are called alike, and a cell has room for twenty letters."""
    drawn: list[SheetRow] = []
    monkeypatch.setattr(search_sheet, "result_sheet", lambda rows, headline: (drawn.extend(rows), result_sheet(rows, headline))[1])
    write_set("a", (Item("rgb/test/A/001/rgb002.jpg", camid=1, time=1_714_560_000.0), Item("a.mp4", 12, (3, 4, 50, 90), 7, 90.5)))
    line("index", "build")
    line("search", "--item", "rgb/test/A/001/rgb002.jpg", "--sheet", "s.png")
    assert drawn[0].query.lines == ("query", ".../A/001/", "rgb002.jpg", "cam 1", "2024-05-01 10:40:00")
    assert drawn[0].answers[0].lines[1:] == ("a.mp4", "#12:7:3,4,50,90", "90.5 s")


def test_old_keys_are_found_after_the_root_rose(line: CommandLine) -> None:
    write_set("a", people(4), root="data/hall")
    write_set("b", (Item("00.jpg"), Item("new.jpg")), root="data/gate", seed=1)
    line("index", "build", "a", "--name", "g")
    assert "03.jpg is called" not in (err := line("index", "add", "b").err) and "00.jpg is called hall/00.jpg" in err
    told = line("search", "--item", "03.jpg", "--json").json
    assert told["queries"][0]["item"] == "hall/03.jpg" and "hall/03.jpg" not in keys(told)
    assert "hall/00.jpg or gate/00.jpg" in line("search", "--item", "00.jpg", code=2).err
    assert "holds no item '3.jpg'" in line("search", "--item", "3.jpg", code=2).err  # no folder ends there
    line("index", "remove", "--item", "03.jpg")
    with Gallery.open(store()) as gallery:
        assert [i.key for i in gallery.items] == ["hall/00.jpg", "hall/01.jpg", "hall/02.jpg", "gate/00.jpg", "gate/new.jpg"]
    assert "is called" not in line("index", "add", "a").err  # the root stays


def test_what_is_there_already_is_not_said_to_be_written(line: CommandLine) -> None:
    write_set("a", people(4))
    line("index", "build")
    run = line("index", "add", "a")
    assert "nothing was written" in run.err and "wrote" not in run.out + run.err.replace("nothing was written", "")
    assert line("index", "add", "a", "--json").json["ref"] == "a@v1"


@pytest.mark.parametrize(("backend", "module"), [("faiss", "faiss"), ("milvus", "pymilvus")])
def test_a_missing_backend_is_told_before_the_work(line: CommandLine, monkeypatch: pytest.MonkeyPatch, backend: str, module: str) -> None:
    write_prcc(Path("prcc"))
    monkeypatch.setitem(sys.modules, module, None)
    run = line("index", "build", "prcc", *BY_CLIP, "--backend", backend, code=1)
    assert f"{module} is not installed" in run.err and "pip install 'reidclip[" in run.err
    assert store().list("vectors") == []


def test_a_missing_backend_is_told_before_pictures_are_embedded(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_prcc(Path("prcc"))
    line("index", "build", "prcc", *BY_CLIP)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(search_stage, "embed_pictures", lambda *given: pytest.fail("embedded"))
    assert "faiss is not installed" in line("search", next(Path("prcc").rglob("*.jpg")), code=1).err
