"""Drafts that fail, disks that are full or read-only, files that are damaged."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from reidclip.artifacts.store import Store
from reidclip.errors import UserError, WorkError
from tests.core.store_fixtures import PAYLOADS, SurpriseError, make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


# ------------------------------------------------------------------------------------------------------- drafts that fail
@pytest.mark.parametrize("error", [SurpriseError, KeyboardInterrupt, SystemExit])
def test_any_exception_discards_the_draft(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"half")
        raise error
    assert not list(store.root.iterdir())
    with pytest.raises(RuntimeError, match="after the with block"):
        _ = draft.artifact


def test_failed_draft_leaves_older_versions_alone(store: Store) -> None:
    first = make(store, "prompts", "p")
    with pytest.raises(SurpriseError), store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"half")
        raise SurpriseError
    assert store.list() == [first]
    assert os.listdir(first.path.parent) == ["v0001"]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_payload_without_a_required_file_is_refused(store: Store, kind: str) -> None:
    with pytest.raises(WorkError, match=f"A {kind} artifact must hold"), store.create(kind, "p") as draft:
        draft.write("other.txt", b"x")
    assert not list(store.root.iterdir())


@pytest.mark.parametrize("name", ["manifest.json", "files.json"])
def test_payload_cannot_take_the_stores_own_names(store: Store, name: str) -> None:
    with pytest.raises(WorkError, match=re.escape(name)), store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"x")
        draft.write(name, b"{}")
    assert store.list() == []


def test_payload_cannot_be_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    with pytest.raises(WorkError, match="not a plain file"), store.create("prompts", "p") as draft:
        (draft.path / "prompts.safetensors").symlink_to(tmp_path / "real")
    assert store.list() == []


def test_full_disk_in_the_block(store: Store) -> None:
    with pytest.raises(WorkError) as caught, store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert re.search(r"disk is full: writing to \S+prompts/p failed with [\d.]+ MB free", caught.value.what)
    assert caught.value.exit_code == 1
    assert not list(store.root.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_really_full_device(store: Store) -> None:
    with pytest.raises(WorkError, match="disk is full"), store.create("prompts", "p"):
        Path("/dev/full").write_bytes(b"x")


def test_full_disk_told_by_a_library(store: Store) -> None:
    with pytest.raises(WorkError, match="disk is full"), store.create("prompts", "p"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_while_committing(store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def full(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(WorkError, match="disk is full"), store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"x")
        monkeypatch.setattr(os, call, full)
    monkeypatch.undo()
    assert not list(store.root.iterdir())


def test_full_disk_when_the_draft_is_opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(WorkError, match="disk is full"), store.create("prompts", "p"):
        pass


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_read_only_store(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    old = make(store, "prompts", "p")

    def refuse(path: object, *arguments: object, **keywords: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=f"cannot be written: {os.strerror(number)}") as caught, store.create("prompts", "p"):
        pass
    assert "--store" in caught.value.remedy
    with pytest.raises(UserError, match="cannot be written"):
        store.resume_dir("prompts", "p", "k")
    assert store.open("p") == old


def test_store_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("oops")
    store = Store(tmp_path / "artifacts")
    for call in (store.list, lambda: store.open("x"), lambda: store.newest("masks"), lambda: store.resume_dir("masks", "m", "k")):
        with pytest.raises(UserError, match="artifacts"):
            call()
    with pytest.raises(UserError, match="artifacts"), store.create("masks", "m"):
        pass
    assert (tmp_path / "artifacts").read_text() == "oops"


def test_store_that_does_not_exist_is_empty(store: Store) -> None:
    assert store.list() == []
    assert store.newest("masks") is None
    assert store.gc() == []
    assert not store.root.exists()


# ---------------------------------------------------------------------------------------------------------------- digests
def test_corrupted_file_is_refused_with_a_remedy(store: Store) -> None:
    artifact = make(store, "prompts", "p", content=b"right")
    (artifact.path / "prompts.safetensors").write_bytes(b"wrong")
    with pytest.raises(WorkError, match=r"prompts\.safetensors: digest mismatch") as caught:
        store.open("p").file("prompts.safetensors")
    assert "artifacts rm --force prompts/p@v1" in caught.value.remedy
    assert [p.split(": ")[:2] for p in store.verify(artifact)] == [["prompts.safetensors", "digest mismatch"]]


def test_file_that_changes_after_its_first_use_is_noticed(store: Store) -> None:
    artifact = make(store, "prompts", "p", content=b"right")
    path = artifact.file("prompts.safetensors")
    path.write_bytes(b"wrong")
    os.utime(path, ns=(0, 0))
    with pytest.raises(WorkError, match="digest mismatch"):
        artifact.file("prompts.safetensors")


def test_a_file_is_hashed_once_per_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store, "prompts", "p")
    store.open("p").file("prompts.safetensors")

    def never(path: Path) -> None:
        raise AssertionError(f"hashed again: {path}")

    monkeypatch.setattr("reidclip.artifacts.artifact.hash_file", never)
    assert store.open("p").file("prompts.safetensors").exists()


def test_asking_for_a_file_that_is_not_there(store: Store) -> None:
    artifact = make(store, "prompts", "p")
    with pytest.raises(WorkError, match=r"Did you mean 'prompts\.safetensors'"):
        artifact.file("prompt.safetensors")
    with pytest.raises(WorkError, match="has no file"):
        artifact.file("../v0001/manifest.json")
    (artifact.path / "prompts.safetensors").unlink()
    with pytest.raises(WorkError, match="cannot be read: No such file"):
        artifact.file("prompts.safetensors")


def test_verify_finds_every_kind_of_damage(store: Store) -> None:
    masks = make(store, "masks", "m")
    prompts = make(store, "prompts", "p", masks)
    (masks.path / "masks/a/1.png").unlink()
    (masks.path / "extra.txt").write_text("x")
    assert store.verify(masks) == ["masks/a/1.png: missing", "extra.txt: not in the manifest"]
    (prompts.path / "files.json").write_text("{}")
    assert "files.json: digest mismatch" in store.verify(store.open("p"))[0]
    (prompts.path / "files.json").unlink()
    assert "cannot be read" in store.verify(store.open("p"))[0]


def test_verify_notices_a_renamed_folder_and_an_edited_manifest(store: Store) -> None:
    masks = make(store, "masks", "m")
    make(store, "prompts", "p", masks)
    path = masks.path / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": null', b'"seed": 5'))
    assert store.verify(store.open("m")) == ["manifest.json: not the one that prompts/p@v1 was made from"]
    shutil.move(store.root / "prompts/p", store.root / "prompts/q")
    assert store.verify(store.open("q")) == ["manifest.json says prompts/p@v1, the folder is prompts/q/v0001"]


def test_listing_does_not_read_payload_tables(store: Store) -> None:
    artifact = make(store, "masks", "m")
    (artifact.path / "files.json").unlink()
    assert store.list() == [artifact]
