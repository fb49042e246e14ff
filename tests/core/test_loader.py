"""Batches from files: content, independence of workers, resume, cache, and broken files met by a worker."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.data import cache as cache_module
from reidclip.data import loader
from reidclip.data.cache import Cache, CacheKind, RamCache
from reidclip.data.images import read_resized, write_mask_png
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.loader import ImageSource, Loader, fetch, iterate_pictures
from reidclip.data.memory import free_memory
from reidclip.data.transforms import Transform, training
from reidclip.errors import UserError, WorkError
from reidclip.records import Sample, training_labels
from tests.trees import picture, prcc, write_picture

PLAN = [[3, 3, 0, 5], [1, 2, 4, 0], [5]]
SMALL = training(32, 16)


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Sample, ...]:
    rng = np.random.default_rng(0)
    for i in range(6):
        write_picture(tmp_path / f"{i}.png", i)
        write_mask_png(tmp_path / f"m{i}.png", rng.integers(0, 2, (32, 16), dtype=np.uint8))
    return tuple(Sample(f"{i}.png", 10 * (i // 2), i % 3, 100 * (i // 2) + i, "train") for i in range(6))


def source_of(root: Path, masks: bool = False, cache: CacheKind = "none") -> ImageSource:
    keep = [root / f"m{i}.png" for i in range(6)] if masks else None
    return ImageSource([root / f"{i}.png" for i in range(6)], keep, cache=Cache(cache, root / "cache"))


def same(a: Sequence[dict[str, Tensor]], b: Sequence[dict[str, Tensor]]) -> bool:
    return len(a) == len(b) and all(x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) for x, y in zip(a, b, strict=True))


def test_batch_without_augmentation_is_what_lies_on_disk(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    first, _, last = fetch(source_of(tmp_path), samples, PLAN, transform=Transform(32, 16), workers=0)
    np.testing.assert_array_equal(first["image"], np.stack([picture(i) for i in PLAN[0]]).transpose(0, 3, 1, 2))
    assert first["image"].dtype == torch.uint8 and "keep" not in first
    assert first["index"].tolist() == PLAN[0] and last["index"].tolist() == [5]
    assert first["pid"].tolist() == [10, 10, 0, 20]
    assert first["clothes"].tolist() == [103, 103, 0, 205]
    assert first["camid"].tolist() == [0, 0, 0, 2]
    assert not first["erase"].any()


def test_training_labels_replace_raw_ids(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    labels = training_labels(samples)
    first = next(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=0, labels=labels))
    assert first["pid"].tolist() == [1, 1, 0, 2]
    assert first["clothes"].tolist() == [3, 3, 0, 5]


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(("cache", "workers"), [("none", 2), ("ram", 0), ("ram", 2), ("disk", 0), ("disk", 2), ("auto", None)])
def test_workers_and_cache_change_nothing(
    tmp_path: Path, samples: tuple[Sample, ...], masks: bool, cache: CacheKind, workers: int | None
) -> None:
    def epochs(cache: CacheKind, workers: int | None) -> list[list[dict[str, Tensor]]]:
        loader = Loader(source_of(tmp_path, masks, cache), samples, transform=SMALL, seed=3, workers=workers)
        return [list(loader.epoch(number, PLAN)) for number in (1, 2)]

    plain = epochs("none", 0)
    assert all(same(a, b) for a, b in zip(plain, epochs(cache, workers), strict=True))
    assert not same(*plain)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=9), min_size=1, max_size=4),
    count=st.integers(1, 4),
    cache=st.sampled_from(["none", "ram", "disk"]),
)
def test_shares_are_consecutive_rows_of_the_whole_batch(
    tmp_path: Path, samples: tuple[Sample, ...], plan: list[list[int]], count: int, cache: CacheKind
) -> None:
    """Processes that share a batch read it as one would, also where a picture comes twice."""
    parts = [
        list(fetch(source_of(tmp_path, True, cache), samples, plan, transform=SMALL, workers=0, part=(number, count)))
        for number in range(count)
    ]
    whole = list(fetch(source_of(tmp_path, True), samples, plan, transform=SMALL, workers=0))
    for batch, *shares in zip(whole, *parts, strict=True):
        for key, value in batch.items():
            assert torch.equal(torch.cat([share[key] for share in shares], dim=2 if key == "noise" else 0), value)


def test_an_epoch_may_be_left_before_its_end(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    """The same processes do the next one, and nothing of the first appears in it; also when the first had fewer batches than workers."""
    plain = [list(fetch(source_of(tmp_path), samples, PLAN * 3, transform=SMALL, epoch=e, workers=0)) for e in range(3)]
    loader = Loader(source_of(tmp_path), samples, transform=SMALL, workers=2)
    assert same(list(loader.epoch(0, PLAN[:1])), plain[0][:1])
    assert len(multiprocessing.active_children()) == 1
    left = loader.epoch(1, PLAN * 3)
    assert same([next(left)], plain[1][:1])
    pids = {child.pid for child in multiprocessing.active_children()}
    assert same(list(loader.epoch(2, PLAN * 3)), plain[2])
    assert {child.pid for child in multiprocessing.active_children()} == pids
    with pytest.raises(RuntimeError, match="another run"):
        next(left)
    left = loader.epoch(0, PLAN * 3)
    next(left)
    loader.close()  # at once, though somebody still holds the epoch
    assert not {child.pid for child in multiprocessing.active_children()} & pids


@pytest.mark.parametrize("cache", ["ram", "auto"])
def test_cached_pictures_are_not_read_again_nor_changed(tmp_path: Path, samples: tuple[Sample, ...], cache: CacheKind) -> None:
    source = source_of(tmp_path, masks=True, cache=cache)
    before = [list(fetch(source, samples, PLAN, transform=SMALL, epoch=e)) for e in (0, 1)]
    for path in tmp_path.iterdir():
        path.unlink()
    assert same(before[0], list(fetch(source, samples, PLAN, transform=SMALL, epoch=0)))
    with pytest.raises(WorkError):  # another size is another cache
        list(fetch(source, samples, PLAN, transform=training(16, 16), epoch=0))


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="memory is shared with forked processes only")
def test_what_a_worker_decoded_is_there_for_all(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    source = source_of(tmp_path, masks=True, cache="ram")
    before = list(fetch(source, samples, PLAN, transform=SMALL, workers=2))
    for path in tmp_path.iterdir():
        path.unlink()
    assert same(before, list(fetch(source, samples, PLAN, transform=SMALL, workers=0)))


def test_memory_is_taken_only_where_there_is_enough(tmp_path: Path, samples: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 6 * 32 * 16 * 4
    monkeypatch.setattr(cache_module, "free_memory", lambda: 2 * needed)
    assert isinstance(source_of(tmp_path, True, "auto").pictures(SMALL), RamCache)
    monkeypatch.setattr(cache_module, "free_memory", lambda: 2 * needed - 1)
    assert not isinstance(source_of(tmp_path, True, "auto").pictures(SMALL), RamCache)
    assert isinstance(source_of(tmp_path, False, "auto").pictures(SMALL), RamCache)  # three planes instead of four
    assert isinstance(source_of(tmp_path, True, "ram").pictures(SMALL), RamCache)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"6 pictures of 32 x 16 take .* of memory are free.") as caught:
        source_of(tmp_path, True, "ram").pictures(SMALL)
    assert "--cache disk" in caught.value.remedy


def test_free_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    2000 kB\n")
    assert free_memory(meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 3\ninactive_file 50000\n")
    assert free_memory(meminfo, tmp_path) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 2000 * 1024
    assert free_memory(tmp_path / "none", tmp_path / "none") > 0


def test_resuming_inside_an_epoch_gives_the_same_batches(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    source = source_of(tmp_path)
    whole = list(fetch(source, samples, PLAN, transform=SMALL, seed=1, epoch=4, workers=0))
    rest = list(fetch(source, samples, PLAN[1:], transform=SMALL, seed=1, epoch=4, workers=0))
    assert same(whole[1:], rest)


def test_a_picture_twice_in_a_batch_is_augmented_twice(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    batches = [next(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, seed=s, workers=0)) for s in range(4)]
    assert any(not torch.equal(b["image"][0], b["image"][1]) for b in batches)
    assert all(b["erase_seed"][0] != b["erase_seed"][1] for b in batches)


def test_mask_follows_its_picture(tmp_path: Path) -> None:
    """A picture that is white exactly where its mask is 1, and black elsewhere, stays so but for the black padding."""
    mask = np.random.default_rng(0).integers(0, 2, (32, 16), dtype=np.uint8)
    write_mask_png(tmp_path / "a.png", mask)
    source = ImageSource([tmp_path / "a.png"], [tmp_path / "a.png"])
    sample = (Sample("a.png", 0, 0, 0, "train"),)
    for epoch in range(20):
        (batch,) = fetch(source, sample, [[0]], transform=SMALL, epoch=epoch, workers=0)
        image, keep = batch["image"][0], batch["keep"][0]
        assert (image[:, keep == 0] == 0).all()
        assert ((image[0] == 255) <= (keep == 1)).all()
        assert int((image[0] == 255).sum()) > 50


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_picture_is_named_whoever_meets_it(tmp_path: Path, samples: tuple[Sample, ...], workers: int) -> None:
    path = write_picture(tmp_path / "4.png", height=64, width=64)
    path.write_bytes(path.read_bytes()[:200])
    batches = fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=workers)
    assert next(batches)["index"].tolist() == PLAN[0]
    with pytest.raises(WorkError) as caught:
        next(batches)
    assert str(path) in caught.value.what and caught.value.remedy and "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_iterate_pictures(tmp_path: Path, workers: int) -> None:
    paths = [write_picture(tmp_path / f"{i}.png", i, 10 + i, 5 + 2 * i) for i in range(5)]
    read = list(iterate_pictures(paths, workers))
    for i, image in enumerate(read):
        np.testing.assert_array_equal(image, picture(i, 10 + i, 5 + 2 * i))
    paths[3].unlink()
    with pytest.raises(WorkError, match=r"3\.png"):
        list(iterate_pictures(paths, workers))


def test_mask_of_another_size_is_refused(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    write_mask_png(tmp_path / "m3.png", np.ones((16, 32), np.uint8))
    with pytest.raises(WorkError, match=r"m3\.png is 32 x 16 pixels.*3\.png 16 x 32"):
        list(fetch(source_of(tmp_path, masks=True), samples, PLAN, transform=SMALL, workers=0))


def test_source_of_a_data_set(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path / "prcc"))
    train = dataset.split("train")
    source = ImageSource.of(dataset, train)
    assert len(source) == len(train) and not source.has_masks
    assert source.decode(1).shape == (32, 16, 3)
    masks = tmp_path / "masks"
    for sample in train[1:]:
        target = (masks / sample.path).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_mask_png(target, np.ones((32, 16), np.uint8))
    with pytest.raises(UserError, match=r"1 of 9 pictures have no mask.*A_cropped_rgb001\.png"):
        ImageSource.of(dataset, train, masks=masks)
    assert ImageSource.of(dataset, train[1:], masks=masks).decode_keep(0).all()


def test_lengths_must_agree(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    with pytest.raises(ValueError, match="6 pictures but 5 samples"):
        fetch(source_of(tmp_path), samples[:5], PLAN, transform=SMALL)
    with pytest.raises(ValueError, match="1 pictures but 0 masks"):
        ImageSource([tmp_path / "a"], [])


def test_what_goes_to_a_worker_is_small(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    source = source_of(tmp_path, cache="ram")
    list(fetch(source, samples, PLAN, transform=SMALL))
    copy = pickle.loads(pickle.dumps(source))
    assert copy.paths == source.paths and len(pickle.dumps(source)) < 5_000
    np.testing.assert_array_equal(copy.decode(2), picture(2))


@pytest.mark.parametrize("device", ["cpu", "cuda:0", None])
def test_batches_are_pinned_for_a_gpu_alone(
    tmp_path: Path, samples: tuple[Sample, ...], device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine has: a run on the CPU of one with a GPU takes no memory of the GPU."""
    asked = []

    class Recorded(torch.utils.data.DataLoader[Any]):
        def __init__(self, *arguments: Any, pin_memory: bool = False, **options: Any) -> None:
            asked.append(pin_memory)
            super().__init__(*arguments, **options)

    monkeypatch.setattr("reidclip.data.workers.DataLoader", Recorded)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    where = None if device is None else torch.device(device)
    list(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=1, device=where))
    list(iterate_pictures([tmp_path / "0.png"], 1))  # they are warped on the CPU
    assert asked == [device == "cuda:0", False]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_batches_are_the_same(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    pinned = list(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=2, device=torch.device("cuda")))
    assert all(value.is_pinned() for batch in pinned for value in batch.values() if value.numel())
    assert same(pinned, list(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=2, device=torch.device("cpu"))))


def test_the_global_generator_is_left_alone(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    state = torch.get_rng_state()
    list(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("cores", "processes", "workers"),
    [(1, "", 0), (2, "1", 0), (3, "1", 2), (8, "1", 7), (64, "1", 8), (16, "4", 3), (64, "2", 8), (4, "2", 0), (2, "8", 0)],
)
def test_default_workers(monkeypatch: pytest.MonkeyPatch, cores: int, processes: str, workers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert loader.default_workers() == workers


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_does_not_stop_the_workers(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    """A terminal sends it to every process; the training still needs the batches that are on their way to stop between two steps."""
    batches = fetch(source_of(tmp_path), samples, PLAN * 4, transform=SMALL, workers=2)
    got = [next(batches), next(batches)]  # one of each worker: both are at work
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
    got += batches
    assert same(got, list(fetch(source_of(tmp_path), samples, PLAN * 4, transform=SMALL, workers=0)))


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="the board is shared with forked processes only")
def test_a_process_that_dies_tells_the_file_it_was_at(tmp_path: Path, samples: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec may crash on a broken file and take its process along."""

    def crash(path: Path, *rest: Any) -> Any:
        if path.name == "4.png":
            os.kill(os.getpid(), signal.SIGSEGV)
        return read_resized(path, *rest)

    monkeypatch.setattr("reidclip.data.source.read_resized", crash)
    with pytest.raises(WorkError) as caught:
        list(fetch(source_of(tmp_path), samples, PLAN, transform=SMALL, workers=2))
    assert str(tmp_path / "4.png") in caught.value.what and "0.png" not in caught.value.what
    assert "--workers" in caught.value.remedy and "replace that file" in caught.value.remedy


def test_batches_tell_the_domain_of_each_picture_by_sorted_name(tmp_path: Path) -> None:
    samples = tuple(Sample(f"{n}.png", n, 0, n, "train", domain="ba"[n % 2]) for n in range(4))
    source = ImageSource([write_picture(tmp_path / s.path, n) for n, s in enumerate(samples)])
    of_training = training_labels(samples)
    other = replace(of_training, domains={"b": 0, "c": 1, "a": 2})
    for labels, told in ((None, [1, 0, 1, 0]), (of_training, [1, 0, 1, 0]), (other, [0, 2, 0, 2])):
        (batch,) = fetch(source, samples, [[0, 1, 2, 3]], transform=Transform(32, 16), workers=0, labels=labels)
        assert batch["domain"].dtype == torch.int64 and batch["domain"].tolist() == told
