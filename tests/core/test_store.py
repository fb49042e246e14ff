"""Versions, references, listing, lineage and removal."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import pytest

from reidclip.artifacts import kinds
from reidclip.artifacts.store import Store
from reidclip.errors import UserError, WorkError
from tests.core.store_fixtures import PAYLOADS, make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def visible(store: Store) -> list[str]:
    """Everything in the store that is neither a folder nor a tombstone."""
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file() and not p.name.endswith(".removed"))


# ----------------------------------------------------------------------------------------------------------- create, open
@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_kind_is_written_and_read_back(store: Store, kind: str) -> None:
    artifact = make(store, kind, "x", content=b"hello")
    assert artifact.path == store.root / kind / "x" / "v0001"
    again = store.open("x", kind=kind)
    assert again == artifact
    assert again.file(PAYLOADS[kind]).read_bytes() == b"hello"
    assert store.verify(again) == []


def test_a_new_run_makes_the_next_version_and_leaves_the_old_one(store: Store) -> None:
    first = make(store, "prompts", "p", content=b"1")
    second = make(store, "prompts", "p", content=b"2")
    assert (first.ref, second.ref) == ("p@v1", "p@v2")
    assert store.open("p") == second
    assert store.open("p@v1") == store.open("p@1") == store.open("prompts/p@v0001") == first
    assert first.file("prompts.safetensors").read_bytes() == b"1"


def test_version_ten_thousand_comes_after_9999(store: Store) -> None:
    first = make(store, "prompts", "p")
    first.path.rename(first.path.with_name("v9999"))
    assert make(store, "prompts", "p").ref == "p@v10000"
    assert store.open("p").ref == "p@v10000"
    assert make(store, "prompts", "p").ref == "p@v10001"


def test_open_takes_the_path_of_an_artifact(store: Store, tmp_path: Path) -> None:
    artifact = make(store, "prompts", "p")
    shutil.copytree(artifact.path, tmp_path / "elsewhere")
    assert store.open(artifact.path) == artifact
    assert store.open(str(tmp_path / "elsewhere")).digest == artifact.digest


def test_a_damaged_copy_is_not_mistaken_for_what_it_copies(store: Store) -> None:
    artifact = make(store, "prompts", "p")
    copy = artifact.path.parent.with_name("q") / artifact.path.name
    shutil.copytree(artifact.path, copy)
    name = next(iter(artifact.files))
    (copy / name).write_bytes(b"changed")
    with pytest.raises(WorkError) as told:
        store.open(copy).file(name)
    assert str(copy) in str(told.value) and "artifacts rm" not in told.value.remedy and "delete the folder" in told.value.remedy
    assert store.open("p").file(name)


@pytest.mark.parametrize(
    ("ref", "kind", "what", "remedy"),
    [
        ("caf-prcc", None, "no artifact 'caf-prcc'", "Did you mean 'ccaf-prcc'"),
        ("ccaf-prc", "prompts", "no prompts artifact 'ccaf-prc'", "Did you mean 'ccaf-prcc'"),
        ("ccaf-prcc@v9", "prompts", "no version 9", "It has: v1, v2."),
        ("masks/ccaf-prcc", "prompts", "is a masks artifact, not prompts", "Name a prompts artifact"),
        ("ccaf-prcc", "masks", "it holds none", "reidclip mask"),
        ("both", None, "name of several artifacts", "prompts/both, checkpoint/both|checkpoint/both, prompts/both"),
        ("both@v1", None, "name of several artifacts", "prompts/both@v1, checkpoint/both@v1|checkpoint/both@v1, prompts/both@v1"),
        ("no/such/folder", None, "no folder with a manifest.json", "name@v3"),
    ],
)
def test_open_errors_name_the_nearest(store: Store, ref: str, kind: str | None, what: str, remedy: str) -> None:
    for kind_, name in [("prompts", "ccaf-prcc"), ("prompts", "ccaf-prcc"), ("prompts", "both"), ("checkpoint", "both")]:
        make(store, kind_, name)
    with pytest.raises(UserError) as caught:
        store.open(ref, kind=kind)
    assert what in caught.value.what
    assert re.search(remedy, caught.value.remedy)


def test_path_to_an_artifact_of_another_kind_is_refused(store: Store) -> None:
    masks = make(store, "masks", "m")
    with pytest.raises(UserError, match="is a masks artifact, not prompts"):
        store.open(masks.path, kind="prompts")


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "a@v1", "a b", "ä", "..", "x" * 101, "a\n"])
def test_invalid_names_are_refused_before_anything_is_written(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="cannot be an artifact name"):
        store.create("prompts", name)
    assert not store.root.exists()


def test_unknown_kind_names_the_nearest(store: Store) -> None:
    with pytest.raises(UserError, match="Did you mean 'prompts'"):
        store.create("promts", "x")


def test_a_plugin_can_add_a_kind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
    kinds.register(kinds.Kind("sketch", "an HTML page", "reidclip sketch", ("*.html",)))
    with store.create("sketch", "r") as draft:
        draft.write("index.html", b"<p>")
    assert [a.kind for a in store.list()] == ["sketch"]
    with pytest.raises(UserError, match="already is"):
        kinds.register(kinds.Kind("sketch", "another", "x", ()))


# ----------------------------------------------------------------------------------------------------------- list, newest
def test_list_follows_the_pipeline_then_name_and_version(store: Store) -> None:
    for kind, name in [("prompts", "b"), ("masks", "z"), ("prompts", "a"), ("prompts", "b"), ("evaluation", "e")]:
        make(store, kind, name)
    assert [f"{a.kind}/{a.ref}" for a in store.list()] == [
        "masks/z@v1",
        "prompts/a@v1",
        "prompts/b@v1",
        "prompts/b@v2",
        "evaluation/e@v1",
    ]
    assert [a.ref for a in store.list("prompts")] == ["a@v1", "b@v1", "b@v2"]


def test_newest_goes_by_time_of_creation_and_by_condition(store: Store) -> None:
    make(store, "masks", "z")
    newest = make(store, "masks", "a")
    make(store, "prompts", "later")
    assert store.newest("masks") == newest
    found = store.newest("masks", where=lambda m: m.name == "z")
    assert found is not None
    assert found.ref == "z@v1"
    assert store.newest("masks", where=lambda m: False) is None


def test_unreadable_artifacts_are_skipped_with_a_warning(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    good = make(store, "masks", "a")
    bad = make(store, "masks", "b")
    (bad.path / "manifest.json").write_text("{")
    with caplog.at_level(logging.WARNING, logger="reidclip"):
        assert store.newest("masks") == good
    assert "Skipped masks/b@v1" in caplog.text
    assert [b.ref for b in store.scan().unreadable] == ["b@v1"]


def test_foreign_files_in_the_store_are_no_artifacts(store: Store) -> None:
    good = make(store, "masks", "a")
    (store.root / "notes.txt").write_text("x")
    (store.root / "masks/a/notes.txt").write_text("x")
    (store.root / "masks/a/backup").mkdir()
    (store.root / "my folder/x").mkdir(parents=True)
    assert store.list() == [good]
    assert make(store, "masks", "a").ref == "a@v2"


# ------------------------------------------------------------------------------------------------------------ lineage, rm
def test_lineage_is_resolved_by_digest(store: Store) -> None:
    parsing = make(store, "parsing", "s")
    masks = make(store, "masks", "m", parsing)
    prompts = make(store, "prompts", "p", masks)
    checkpoint = make(store, "checkpoint", "c", masks, prompts)
    tree = store.lineage(checkpoint)
    assert [(n.role, n.ref, n.state) for n in tree.inputs] == [("masks", "m@v1", "ok"), ("prompts", "p@v1", "ok")]
    assert tree.inputs[1].inputs[0].inputs[0].artifact == parsing

    store.remove(parsing, force=True)
    path = prompts.path / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": null', b'"seed": 5'))
    tree = store.lineage(checkpoint)
    assert [(n.ref, n.state) for n in tree.inputs] == [("m@v1", "ok"), ("p@v1", "changed")]
    assert [(n.ref, n.state, n.artifact) for n in tree.inputs[0].inputs] == [("s@v1", "missing", None)]
    assert tree.inputs[1].inputs == ()


def test_lineage_finds_an_input_that_was_renamed(store: Store) -> None:
    masks = make(store, "masks", "m")
    prompts = make(store, "prompts", "p", masks)
    shutil.move(store.root / "masks/m", store.root / "masks/other")
    assert [n.state for n in store.lineage(prompts).inputs] == ["ok"]


def test_lineage_of_a_damaged_input_says_changed(store: Store) -> None:
    masks = make(store, "masks", "m")
    prompts = make(store, "prompts", "p", masks)
    (masks.path / "manifest.json").write_text("")
    assert [n.state for n in store.lineage(prompts).inputs] == ["changed"]


def test_remove_refuses_inputs_of_others_unless_forced(store: Store) -> None:
    masks = make(store, "masks", "m")
    prompts = make(store, "prompts", "p", masks)
    with pytest.raises(UserError, match="is an input of prompts/p@v1"):
        store.remove(masks)
    assert masks.path.exists()
    store.remove(masks, force=True)
    assert not masks.path.exists()
    store.remove(prompts)
    assert store.list() == []
    assert visible(store) == []


def test_remove_refuses_a_damaged_input_too(store: Store) -> None:
    masks = make(store, "masks", "m")
    make(store, "prompts", "p", masks)
    (masks.path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"is an input of prompts/p@v1"):
        store.remove(masks.path)
    store.remove(masks.path, force=True)
    assert not masks.path.exists()


def test_a_removed_version_number_is_not_used_again(store: Store) -> None:
    make(store, "prompts", "p")
    store.remove(make(store, "prompts", "p"))
    assert make(store, "prompts", "p").ref == "p@v3"
    assert [a.ref for a in store.list()] == ["p@v1", "p@v3"]


def test_remove_touches_nothing_outside_the_store(store: Store, tmp_path: Path) -> None:
    foreign = make(Store(tmp_path / "other"), "masks", "m")
    with pytest.raises(UserError, match="not an artifact of the store"):
        store.remove(foreign)
    with pytest.raises(UserError, match="not an artifact of the store"):
        store.remove(store.root)
    assert foreign.path.exists()
