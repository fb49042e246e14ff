"""Frozen features are computed once: a run that was cut goes on, what depends on something else is not taken, large ones are mapped."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from reidclip.artifacts.lock import exclusive
from reidclip.data.transforms import Derived
from reidclip.errors import WorkError
from reidclip.interfaces import StageContext
from reidclip.parallel.processes import joined
from reidclip.train import feature_files
from reidclip.train.feature_files import FeatureFiles
from reidclip.train.features import frozen_features
from tests.fakes import tiny_clip, write_prcc
from tests.method_bench import Bench

BOTH: Sequence[Derived] = ("shield", "clothes")
CPU = torch.device("cpu")


class CutError(Exception):
    """Stands for whatever ends a process in the middle."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("prcc")
    return Bench("ccaf", write_prcc(folder / "data", folder / "keep"), folder / "keep")


@pytest.fixture
def context(bench: Bench, tmp_path: Path) -> StageContext:
    return replace(bench.context("prompt-learn"), cache=tmp_path / "run")


def features(context: StageContext, **changes: Any) -> dict[str, Tensor]:
    context = replace(context, **changes)
    return frozen_features(context, context.settings, BOTH, batch_size=5)


def batches_done(context: StageContext, **changes: Any) -> tuple[dict[str, Tensor], list[int]]:
    told: list[int] = []
    return features(context, progress=lambda what, done, total: told.append(done), **changes), told


def cut_after(batches: int) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        if done > batches:
            raise CutError

    return progress


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys() == {"x_s", "x_c"}
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_kept_features_are_the_computed_ones_and_serve_the_next_run(context: StageContext) -> None:
    plain, told = batches_done(context, cache=None)
    assert told == [1, 2, 3, 4, 5]
    kept, told = batches_done(context)
    assert told == [1, 2, 3, 4, 5]
    again, told = batches_done(context)
    assert told == []
    assert_equal(plain, kept)
    assert_equal(plain, again)
    assert context.cache is not None
    for key, table in plain.items():
        np.testing.assert_array_equal(np.load(context.cache / "features" / f"{key}.npy"), table.numpy())


@pytest.mark.parametrize("batches", range(5))
def test_a_run_that_was_cut_goes_on_behind_the_last_whole_batch(context: StageContext, batches: int) -> None:
    with pytest.raises(CutError):
        features(context, progress=cut_after(batches))
    whole, told = batches_done(context)
    assert told == list(range(batches + 1, 6))
    assert_equal(whole, features(context, cache=None))


def test_rows_behind_the_safe_ones_are_written_anew(context: StageContext) -> None:
    """A kill leaves rows that may never have reached the disk."""
    with pytest.raises(CutError):
        features(context, progress=cut_after(3))
    assert context.cache is not None
    for name in ("x_s", "x_c"):
        with (context.cache / "features" / f"{name}.npy").open("ab") as file:
            file.write(b"\xff" * 100)
    assert_equal(features(context), features(context, cache=None))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "features.json").write_text("{"),
        lambda folder: (folder / "features.json").write_text("[]"),
        lambda folder: (folder / "x_s.npy").unlink(),
        lambda folder: (folder / "x_c.npy").write_bytes(b"short"),
        lambda folder: (folder / "x_c.npy").write_bytes((folder / "x_c.npy").read_bytes()[:-1]),
    ],
    ids=["json-broken", "json-other", "table-gone", "table-other", "table-short"],
)
def test_damaged_files_are_not_used(context: StageContext, harm: Callable[[Path], None]) -> None:
    features(context)
    assert context.cache is not None
    harm(context.cache / "features")
    whole, told = batches_done(context)
    assert told == [1, 2, 3, 4, 5]
    assert_equal(whole, features(context, cache=None))


def test_features_of_something_else_are_not_used(context: StageContext, bench: Bench) -> None:
    features(context)
    others: list[dict[str, Any]] = [
        {"clip": tiny_clip(seed=9)},
        {"precision": "bf16"},
        {"settings": context.settings.model_copy(update={"normalisation": "imagenet"})},
        {"train": tuple(reversed(context.train)), "source": bench.context("prompt-learn").source},
    ]
    for changes in others:
        found, told = batches_done(context, **changes)
        assert told == [1, 2, 3, 4, 5]
        assert_equal(found, features(context, cache=None, **changes))


def test_large_tables_are_mapped_and_small_ones_read(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    read = features(context)
    monkeypatch.setattr(feature_files, "MAPPED_BYTES", 100)
    mapped = features(context)
    assert_equal(read, mapped)
    rows = torch.tensor([3, 0, 23])
    assert torch.equal(mapped["x_s"][rows], read["x_s"][rows])
    assert context.cache is not None
    path = context.cache / "features" / "x_s.npy"
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(123.0).tobytes()
    with path.open("r+b") as file:
        file.write(data)
    assert float(mapped["x_s"][-1, -1]) == 123.0, "a mapped table shows what is in the file"
    assert float(read["x_s"][-1, -1]) != 123.0


def test_one_process_writes_at_a_time(context: StageContext) -> None:
    assert context.cache is not None
    (context.cache / "features").mkdir(parents=True)
    with exclusive(context.cache / "features" / "lock"), pytest.raises(WorkError, match="Another process is at this very run"):
        features(context)


def one_of_two(number: int, port: int, folder: Path) -> None:
    """A process of a distributed run: what it computed goes into a file, with the number of batches that it took."""
    meeting = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in meeting.items()})
    context = Bench("ccaf", folder / "data", folder / "keep").context("prompt-learn")
    with joined(CPU):
        tables, told = batches_done(replace(context, cache=folder / "run"))
    save_file({**tables, "batches": torch.tensor(len(told))}, folder / f"{number}.safetensors")


def test_two_processes_share_the_work_and_the_first_keeps_it(bench: Bench, tmp_path: Path) -> None:
    for name, path in (("data", bench.root), ("keep", bench.masks)):
        (tmp_path / name).symlink_to(path)
    expected = features(bench.context("prompt-learn"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    torch.multiprocessing.spawn(one_of_two, (port, tmp_path), nprocs=2)
    both = [load_file(tmp_path / f"{number}.safetensors") for number in range(2)]
    assert [int(found.pop("batches")) for found in both] == [3, 3], "each took half of the 24 pictures, 5 at a time"
    assert_equal(*both)
    for key, table in expected.items():
        torch.testing.assert_close(both[0][key], table, atol=1e-6, rtol=1e-5)
    kept, told = batches_done(replace(bench.context("prompt-learn"), cache=tmp_path / "run"))
    assert told == []
    assert_equal(kept, both[0])


def test_a_full_disk_is_told_and_what_is_safe_stays(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    append = FeatureFiles.append

    def full(self: FeatureFiles, tables: dict[str, Tensor]) -> None:
        calls.append(1)
        if len(calls) == 3:
            monkeypatch.setattr(feature_files.np, "ascontiguousarray", lambda *a, **k: _no_space())
        append(self, tables)

    def _no_space() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FeatureFiles, "append", full)
    with pytest.raises(WorkError, match="disk is full"):
        features(context)
    monkeypatch.undo()
    whole, told = batches_done(context)
    assert told == [3, 4, 5]
    assert_equal(whole, features(context, cache=None))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(0, 8))
def test_tables_are_what_was_appended(tmp_path_factory: pytest.TempPathFactory, pieces: list[int], stop: int) -> None:
    folder = tmp_path_factory.mktemp("tables")
    rows = sum(pieces)
    wanted = {"a": torch.randn(rows, 3), "b": torch.randn(rows, 3)}
    parts = {name: table.split(pieces) for name, table in wanted.items()}
    for first, last in ((0, stop), (stop, len(pieces))):
        files = FeatureFiles(folder, {"what": "test"}, ["a", "b"], rows, 3)
        assert files.done == sum(pieces[:first])
        with files:
            for i in range(first, min(last, len(pieces))):
                files.append({name: parts[name][i] for name in wanted})
    files = FeatureFiles(folder, {"what": "test"}, ["a", "b"], rows, 3)
    assert files.complete
    assert json.loads((folder / "features.json").read_text())["done"] == rows
    assert all(torch.equal(table, wanted[name]) for name, table in files.read(CPU).items())
