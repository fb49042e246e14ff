"""What a manifest records, what is refused, and how old ones are read."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip import __version__
from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.artifacts.upgrade import upgrade
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Sample
from reidclip.settings import Settings

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "artifact-v1"


class Colour(Enum):
    RED = "red"


class Nested(Settings):
    lr: float = 0.5
    colour: Colour = Colour.RED


def small_dataset(root: Path, pids: tuple[int, ...] = (1, 1, 2)) -> Dataset:
    root.mkdir(exist_ok=True)
    splits = ("train", "train", "query")
    samples = tuple(Sample(f"{i}.jpg", pid, 0, pid, splits[i]) for i, pid in enumerate(pids))
    for sample in samples:
        (root / sample.path).write_bytes(b"x" * (sample.pid + 1))
    return Dataset("folder", root, samples)


# ------------------------------------------------------------------------------------------------------------- what is recorded
def test_manifest_records_what_was_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/reidclip", "prompt-learn", "--seed", "3"])
    dataset = small_dataset(tmp_path / "pictures")
    store = Store(tmp_path / "store")
    before = datetime.now(timezone.utc)
    with store.create("prompts", "ccaf-prcc") as draft:
        draft.write("prompts.safetensors", b"12345")
        draft.write("log.csv", b"abc")
        draft.describe(config=Nested(), seed=3, method="ccaf", plugin_version="7", dataset=DatasetRef.of(dataset), device="cpu")
        draft.describe(metrics={"loss": np.float32(0.25)}, notes=["one"])
        draft.describe(metrics={"steps": np.int64(4), "worst": math.nan}, notes=["two"])
    m = store.open("ccaf-prcc").manifest
    assert (m.kind, m.name, m.version, m.toolkit_version) == ("prompts", "ccaf-prcc", 1, __version__)
    assert m.command == ("reidclip", "prompt-learn", "--seed", "3")
    assert m.config == {"lr": 0.5, "colour": "red"}
    assert (m.seed, m.method, m.plugin_version) == (3, "ccaf", "7")
    assert m.dataset is not None
    assert (m.dataset.layout, m.dataset.samples, m.dataset.splits) == ("folder", 3, {"train": 2, "query": 1})
    assert (m.dataset.fingerprint, m.dataset.root) == (dataset.fingerprint, str(dataset.root))
    assert m.metrics == {"loss": 0.25, "steps": 4, "worst": None}  # JSON has no NaN
    assert m.notes == ("one", "two")
    assert m.environment.python == ".".join(map(str, sys.version_info[:3]))
    assert m.environment.device == "cpu"
    assert m.environment.torch is not None
    assert m.environment.platform
    assert before <= m.created <= datetime.now(timezone.utc)
    assert m.created.utcoffset() == timedelta(0)
    assert 0 <= m.wall_seconds < 60
    assert (m.payload.files, m.payload.bytes) == (2, 8)


def test_payload_sizes_and_digests_are_recorded(tmp_path: Path) -> None:
    with Store(tmp_path).create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"abc")
    entry = draft.artifact.files["prompts.safetensors"]
    assert entry.size == 3
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_values_that_json_cannot_hold_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ndarray with more than one element"), Store(tmp_path).create("prompts", "p") as draft:
        draft.describe(metrics={"ranks": np.arange(3)})
    assert Store(tmp_path).list() == []


# ------------------------------------------------------------------------------------------------------------ data sets
def test_equal_data_elsewhere_has_no_differences(tmp_path: Path) -> None:
    here = DatasetRef.of(small_dataset(tmp_path / "a"))
    there = DatasetRef.of(small_dataset(tmp_path / "b"))
    assert here.root != there.root
    assert here.differences(there) == []


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda d: Dataset("prcc", d.root, d.samples[:2]), "layout folder / prcc"),
        (lambda d: Dataset("folder", d.root, d.samples[:2]), "1 / 0 pictures in split query"),
        (lambda d: Dataset("folder", d.root, (*d.samples[:2], Sample("2.jpg", 9, 0, 9, "query"))), "other paths, file sizes or labels"),
    ],
)
def test_differences_say_what_differs(tmp_path: Path, change: Callable[[Dataset], Dataset], phrase: str) -> None:
    dataset = small_dataset(tmp_path / "a")
    assert phrase in "; ".join(DatasetRef.of(dataset).differences(DatasetRef.of(change(dataset))))


# ------------------------------------------------------------------------------------------------------------ schemas
def test_schema_1_is_upgraded_on_read_and_left_alone_on_disk(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "store")
    path = tmp_path / "store/prompts/ccaf-prcc/v0001/manifest.json"
    before = path.read_bytes()
    artifact = Store(tmp_path / "store").open("ccaf-prcc", kind="prompts")
    raw = json.loads(before)
    assert artifact.manifest.schema_version == 3
    assert artifact.manifest.environment.platform == "unknown"
    assert [i.role for i in artifact.manifest.inputs] == ["masks"]
    assert artifact.manifest.inputs[0].digest == raw["inputs"][0]["digest"]
    untouched = set(raw) - {"schema_version", "environment", "inputs", "created", "dataset"}
    assert {key: artifact.manifest.model_dump(mode="json")[key] for key in untouched} == {key: raw[key] for key in untouched}
    assert artifact.manifest.model_dump(mode="json")["dataset"] == {**raw["dataset"], "sources": {}}
    assert artifact.manifest.created == datetime(2026, 1, 15, 9, 30, tzinfo=timezone.utc)
    assert artifact.file("prompts.safetensors").read_bytes() == b"golden payload of a schema-1 artifact\n"
    assert Store(tmp_path / "store").verify(artifact) == []
    assert path.read_bytes() == before
    # An input's digest stays valid through an upgrade: it is of the file as it lies there.
    assert artifact.digest == "e6d0a16f2b0f2983a83f4a880a4dede5d736790293acf57e2b521a5f608250fe"


@pytest.mark.parametrize("made", [None, {"layout": "prcc", "root": "/data/prcc", "fingerprint": "f", "samples": 2, "splits": {"train": 2}}])
def test_data_of_schema_2_was_one_set(made: dict[str, Any] | None) -> None:
    raw = {"schema_version": 2, "kind": "masks", "dataset": made}
    now = upgrade(raw, "manifest.json")
    assert now["schema_version"] == 3 and now["kind"] == "masks"
    assert now["dataset"] == (None if made is None else {**made, "sources": {}})
    assert made is None or DatasetRef.model_validate(now["dataset"]).parts[0].root == "/data/prcc"
    assert raw["schema_version"] == 2, "what was read is not changed"


def damaged(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Store:
    shutil.copytree(GOLDEN, tmp_path / "store")
    path = tmp_path / "store/prompts/ccaf-prcc/v0001/manifest.json"
    raw = json.loads(path.read_bytes())
    change(raw)
    path.write_text(json.dumps(raw))
    return Store(tmp_path / "store")


def test_manifest_from_the_future_is_refused_with_the_version_it_needs(tmp_path: Path) -> None:
    store = damaged(tmp_path, lambda raw: raw.update(schema_version=99, toolkit_version="4.2.0", surprise=1))
    with pytest.raises(UserError) as caught:
        store.open("ccaf-prcc")
    assert "manifest.json has schema 99, written by reidclip 4.2.0" in caught.value.what
    assert "pip install 'reidclip>=4.2.0'" in caught.value.remedy
    assert store.list() == []  # and does not hide the others, see test_store


@pytest.mark.parametrize("writer", [__version__, "0.0.1", "unknown", None])
def test_the_running_version_is_no_remedy_for_a_newer_manifest(tmp_path: Path, writer: object) -> None:
    store = damaged(tmp_path, lambda raw: raw.update(schema_version=99, toolkit_version=writer))
    with pytest.raises(UserError) as caught:
        store.open("ccaf-prcc")
    assert caught.value.remedy == "Use a reidclip that reads schema 99."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda raw: raw.pop("schema_version"), "no usable schema_version"),
        (lambda raw: raw.update(schema_version=True), "no usable schema_version"),
        (lambda raw: raw.update(schema_version="1"), "no usable schema_version"),
        (lambda raw: raw.update(schema_version=0), "no usable schema_version"),
        (lambda raw: raw.pop("kind"), "key 'kind'"),
        (lambda raw: raw.update(version="three"), "key 'version'"),
        (lambda raw: raw.update(surprise=1), "key 'surprise'"),
        (lambda raw: raw.update(inputs=3), "damaged"),
        (lambda raw: raw.update(environment=None), "damaged"),
        (lambda raw: raw.update(inputs=["masks"]), "damaged"),
    ],
)
def test_damaged_manifest_names_file_and_key(tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str) -> None:
    store = damaged(tmp_path, change)
    with pytest.raises(WorkError) as caught:
        store.open("ccaf-prcc")
    assert sentence in caught.value.what
    assert "manifest.json" in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_manifest_that_is_no_json_object(tmp_path: Path, content: bytes) -> None:
    shutil.copytree(GOLDEN, tmp_path / "store")
    (tmp_path / "store/prompts/ccaf-prcc/v0001/manifest.json").write_bytes(content)
    with pytest.raises(WorkError, match=r"manifest\.json is not"):
        Store(tmp_path / "store").open("ccaf-prcc")
