"""Whatever goes into an artifact comes out of it, and whatever is changed in it is noticed."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from reidclip.artifacts.manifest import DatasetRef, InputRef, parse_manifest
from reidclip.artifacts.names import check_name, parse_reference, safe_name
from reidclip.artifacts.store import Store
from reidclip.errors import ReidclipError, UserError, WorkError

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys
values = st.recursive(scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=3), max_leaves=8)
documents = st.dictionaries(keys, values, max_size=4)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
inputs = st.builds(InputRef, kind=names, ref=names, digest=digests, role=keys)
counts = st.dictionaries(keys, st.integers(0, 10**6), max_size=3)
datasets = st.builds(DatasetRef, layout=keys, root=keys, fingerprint=digests, samples=st.integers(0, 10**6), splits=counts)
# Two files whose paths differ in case only, or a file where another has a folder, cannot lie in one tree everywhere.
parts = st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True)
paths = st.lists(parts, min_size=1, max_size=3).map(lambda p: "/".join(p) + ".png")
payloads = st.dictionaries(paths, st.binary(max_size=200), min_size=1, max_size=6)


@contextmanager
def empty_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder) / "artifacts")


@QUICK
@given(
    name=names, config=documents, metrics=documents, notes=st.lists(keys, max_size=3), dataset=datasets, used=st.lists(inputs, max_size=3)
)
def test_manifest_round_trip(
    name: str, config: dict[str, Any], metrics: dict[str, Any], notes: list[str], dataset: DatasetRef, used: list[InputRef]
) -> None:
    with empty_store() as store:
        with store.create("masks", name) as draft:
            draft.write("1.png", b"x")
            draft.describe(config=config, metrics=metrics, notes=notes, dataset=dataset, inputs=used, seed=5)
        read = store.open(name, kind="masks")
        assert read == draft.artifact
        m = read.manifest
        assert (m.name, m.config, m.metrics, list(m.notes), m.dataset, list(m.inputs), m.seed) == (
            name,
            config,
            metrics,
            notes,
            dataset,
            used,
            5,
        )


@QUICK
@given(payload=payloads)
def test_payload_round_trip(payload: dict[str, bytes]) -> None:
    with empty_store() as store:
        with store.create("masks", "m") as draft:
            for path, content in payload.items():
                draft.write(path, content)
        artifact = store.open("m")
        assert {path: artifact.file(path).read_bytes() for path in artifact.files} == payload
        assert artifact.manifest.payload.bytes == sum(map(len, payload.values()))
        assert store.verify(artifact) == []


@QUICK
@given(payload=payloads, data=st.data())
def test_any_changed_byte_is_noticed(payload: dict[str, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(payload)))
    assume(payload[path])
    position = data.draw(st.integers(0, len(payload[path]) - 1))
    flip = data.draw(st.integers(1, 255))
    with empty_store() as store:
        with store.create("masks", "m") as draft:
            for each, content in payload.items():
                draft.write(each, content)
        changed = bytearray(payload[path])
        changed[position] ^= flip
        (draft.artifact.path / path).write_bytes(changed)
        assert [problem.split(":")[0] for problem in store.verify(draft.artifact)] == [path]
        with pytest.raises(WorkError, match="digest mismatch"):
            draft.artifact.file(path)


@QUICK
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_content_of_a_manifest_gives_anything_but_a_sentence(content: bytes) -> None:
    with pytest.raises(ReidclipError, match=r"manifest\.json"):
        parse_manifest(content, "x/manifest.json")


@QUICK
@given(raw=st.dictionaries(st.sampled_from(["schema_version", "kind", "inputs", "environment", "payload", "created"]), values))
def test_no_json_object_gives_anything_but_a_sentence(raw: dict[str, Any]) -> None:
    import json

    with pytest.raises(ReidclipError, match=r"manifest\.json"):
        parse_manifest(json.dumps(raw).encode(), "x/manifest.json")


@QUICK
@given(number=st.sampled_from([math.nan, math.inf, -math.inf]), key=keys)
def test_non_finite_numbers_become_null(number: float, key: str) -> None:
    with empty_store() as store:
        with store.create("masks", "m") as draft:
            draft.write("1.png", b"x")
            draft.describe(metrics={key: [number, 1.5]})
        assert store.open("m").manifest.metrics == {key: [None, 1.5]}


@given(text=st.text(max_size=30))
def test_safe_name_is_valid_and_keeps_valid_names(text: str) -> None:
    assert check_name(safe_name(text)) == safe_name(text)


@given(kind=st.none() | names, name=names, version=st.none() | st.integers(1, 10**6), prefix=st.sampled_from(["v", "", "v0"]))
def test_references_are_read_as_written(kind: str | None, name: str, version: int | None, prefix: str) -> None:
    text = (f"{kind}/" if kind else "") + name + (f"@{prefix}{version}" if version else "")
    found = parse_reference(text)
    assert found is not None
    assert (found.kind, found.name, found.version) == (kind, name, version)


@QUICK
@given(text=st.text(max_size=30))
def test_no_reference_gives_anything_but_a_sentence(text: str) -> None:
    with empty_store() as store, pytest.raises(UserError):
        store.open(text)


@QUICK
@given(removed=st.lists(st.integers(0, 3), max_size=6))
def test_version_numbers_only_grow(removed: list[int]) -> None:
    with empty_store() as store:
        seen: list[int] = []
        for index in [*removed, 0]:
            with store.create("prompts", "p") as draft:
                draft.write("prompts.safetensors", b"x")
            seen.append(draft.artifact.version)
            existing = store.list()
            if index < len(existing):
                store.remove(existing[-1 - index])
        assert seen == list(range(1, len(seen) + 1))
