"""Vectors that an index keeps in a database come and go with it: none is left behind by what failed, was killed or was removed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from reidclip.artifacts import draft
from reidclip.artifacts.store import Store
from reidclip.artifacts.sweep import temporary_name
from reidclip.errors import WorkError
from reidclip.gallery import milvus_index
from reidclip.gallery.items import Item
from reidclip.stages import index_build
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.cli.test_index import people, write_set

DATABASE = Path("artifacts/milvus/g.db")
BUILD = ("index", "build", "a", "--backend", "milvus", "--name", "g")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    found = beside_a_tiny_clip(monkeypatch, capsys, tmp_path)
    write_set("a", people(4))
    return found


def collections() -> list[str]:
    with closing(MilvusClient(str(DATABASE))) as client:
        return sorted(client.list_collections())


def versions() -> list[str]:
    return [a.ref for a in Store(Path("artifacts")).list("index")]


def test_a_full_disk_after_the_vectors_were_stored(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, items: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(index_build, "write_items", full)
        line(*BUILD, code=1)
    assert collections() == [] and versions() == []


def test_an_interrupt_while_the_artifact_is_finished(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line(*BUILD)
    before = collections()
    write_set("b", (Item("new.jpg"),), seed=1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(draft, "sync_tree", interrupted)
        line("index", "add", "b", "--index", "g", code=130)
    assert collections() == before and len(before) == 1 and versions() == ["g@v1"]


def test_what_a_killed_build_left_goes_with_its_draft(line: CommandLine) -> None:
    line(*BUILD)
    gone = temporary_name().replace(f"-{os.getpid()}-", "-99999999-")  # no process has this number
    for command, versions_then in ((("artifacts", "gc"), 1), (BUILD, 2)):
        left = Path(shutil.copytree("artifacts/index/g/v0001", Path("artifacts/index/g", gone)))
        told = json.loads((left / "backend/milvus.json").read_text())
        (left / "backend/milvus.json").write_text(json.dumps(told | {"collection": "reidclip_left", "count": 0}))
        with closing(MilvusClient(str(DATABASE))) as client:
            client.create_collection("reidclip_left", dimension=4)
        line(*command)
        assert "reidclip_left" not in collections() and not left.exists()
        assert len(collections()) == len(versions()) == versions_then


def test_a_version_that_is_removed_takes_its_vectors_along(line: CommandLine) -> None:
    line(*BUILD)
    line("index", "remove", "--item", "00.jpg", "--index", "g")
    assert len(collections()) == 2
    line("artifacts", "rm", "index/g@v2")
    assert len(collections()) == 1
    assert line("search", "--item", "00.jpg", "--index", "g@v1", "--json").json["queries"][0]["hits"]


def test_a_database_that_does_not_answer_keeps_its_index(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(uri: str) -> None:
        raise WorkError(f"Milvus at {uri}: no answer.", "Is it running?")

    line(*BUILD)
    with monkeypatch.context() as patch:
        patch.setattr(milvus_index, "connected", silent)
        run = line("artifacts", "rm", "index/g@v1", code=1)
        assert "no answer" in run.err and "--force" in run.err and versions() == ["g@v1"]
        run = line("artifacts", "rm", "index/g@v1", "--force")
        assert "stay in its database" in run.err and versions() == []
    assert len(collections()) == 1


def test_collections_of_others_are_left_alone(line: CommandLine) -> None:
    line(*BUILD)
    place = Path("artifacts/index/g/v0001/backend/milvus.json")
    with closing(MilvusClient(str(DATABASE))) as client:
        client.create_collection("precious", dimension=4)
    place.write_text(json.dumps(json.loads(place.read_text()) | {"collection": "precious"}))
    line("artifacts", "rm", "index/g@v1")
    assert "precious" in collections()
