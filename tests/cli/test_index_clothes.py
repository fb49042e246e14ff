"""Searches for other clothes in indexes of groups: one outfit in two groups, indexes of before, and what is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidclip.artifacts.store import Store
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.items import Item
from reidclip.gallery.model import VectorModel
from reidclip.gallery.query import Filter
from reidclip.gallery.vectors import VectorSet, write_vectors
from reidclip.stages import index_build, search_clothes
from tests.cli.in_process import CommandLine
from tests.trees import write_picture

WORN = np.array([0.06, 0.12, 0.18, 0.96, 1.2, 1.98, 2.04, 2.1, 0.0], np.float32)
"""Descriptors of clothes along one axis: two groups meet between items 3 and 4, which are nearly alike; of the last nothing was seen."""


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REIDCLIP_STORE")
    return CommandLine(monkeypatch, capsys)


def write_set(name: str, worn: np.ndarray | None, count: int, root: str = "hall", label: int = -1) -> None:
    vectors = np.eye(16, dtype=np.float32)[:count]
    described = None if worn is None else np.stack([worn, np.zeros(count)], axis=1).astype(np.float32)
    items = tuple(Item(f"{name}{i}.jpg", clothes_id=label) for i in range(count))
    with Store(Path("artifacts")).create("vectors", name) as draft:
        write_vectors(draft.path, VectorSet(vectors, items, VectorModel("c@v1", "m", "config", 16, "similarity"), Path(root), described))


def answers(line: CommandLine, item: str, *words: str) -> list[str]:
    told = line("search", "--item", item, "--other-clothes", "--top", "20", *words, "--json").json
    return sorted(hit["key"] for hit in told["queries"][0]["hits"])


def test_an_outfit_in_two_groups_is_left_out_whole(line: CommandLine) -> None:
    write_set("a", WORN, 9)
    line("index", "build", "--clothes", "clusters:2")
    with Gallery.open(Store(Path("artifacts"))) as gallery:
        groups = [i.clothes_id for i in gallery.items]
    assert len(set(groups[:4])) == len(set(groups[4:8])) == 1 and groups[3] != groups[4] and groups[8] == -1
    assert answers(line, "a3.jpg") == ["a5.jpg", "a6.jpg", "a7.jpg"]
    assert answers(line, "a3.jpg", "--unknown-clothes") == ["a5.jpg", "a6.jpg", "a7.jpg", "a8.jpg"]
    assert "which may err" in line("search", "--item", "a3.jpg", "--other-clothes").err


def test_descriptors_follow_what_is_added_and_removed(line: CommandLine) -> None:
    write_set("a", WORN, 9)
    write_set("b", WORN[3:6], 3)
    line("index", "build", "a", "--clothes", "clusters:2")
    line("index", "add", "b")
    line("index", "remove", "--item", "a0.jpg", "--item", "a6.jpg")
    assert answers(line, "b0.jpg") == ["a5.jpg", "a7.jpg", "b2.jpg"]
    with Gallery.open(Store(Path("artifacts"))) as gallery:
        assert gallery.worn is not None
        assert gallery.worn[:, 0] == pytest.approx([*WORN[[1, 2, 3, 4, 5, 7, 8]], *WORN[3:6]], abs=1e-3)


def test_an_index_without_descriptors_goes_by_groups(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier releases wrote them."""
    write_set("a", WORN, 9)
    write_set("b", WORN[3:6], 3)
    monkeypatch.setattr(index_build, "save_worn", lambda path, rows: None)
    line("index", "build", "a", "--clothes", "clusters:2")
    line("index", "add", "b")
    assert answers(line, "a3.jpg") == ["a4.jpg", "a5.jpg", "a6.jpg", "a7.jpg", "b1.jpg", "b2.jpg"]


def test_a_picture_is_compared_by_its_own_descriptor(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set("a", WORN, 9)
    line("index", "build", "--clothes", "clusters:2")
    monkeypatch.setattr(search_clothes, "clothes_parser", lambda *given: None)
    monkeypatch.setattr(search_clothes, "clothes_descriptors", lambda pictures, parser: np.array([[0.4, 0], [0, 0]], np.float32))
    with Gallery.open(Store(Path("artifacts"))) as gallery:
        seen, unseen = search_clothes.clothes_of(gallery, [np.zeros((2, 2, 3), np.uint8)] * 2)
        allowed = gallery.allowed(seen.left_out(Filter()))
        assert allowed is not None and np.flatnonzero(allowed).tolist() == [5, 6, 7]
        assert unseen.left_out(Filter()).empty


def test_labels_and_a_picture_name_the_commands(line: CommandLine) -> None:
    write_set("a", None, 3, root="my hall", label=1)
    line("index", "build")
    write_picture(Path("who.png"), 1)
    run = line("search", "who.png", "--other-clothes", code=2)
    assert "reidclip extract 'my hall' --clothes --checkpoint c@v1 && reidclip index build --clothes clusters" in run.err.splitlines()


@pytest.mark.parametrize(("label", "said"), [(1, "vectors b@v1 have no labels of clothes"), (-1, "vectors b@v1 do not describe them")])
def test_clothes_that_one_of_two_has(line: CommandLine, label: int, said: str) -> None:
    write_set("a", WORN, 9, label=label)
    write_set("b", None, 3)
    assert said in line("index", "build", "a", "b").err
    assert said not in line("index", "build", "a").err
