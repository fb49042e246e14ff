"""Packed pictures on disk: what is read is what was decoded, and a file that does not fit is never used."""

import errno
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from reidclip.artifacts.lock import exclusive
from reidclip.artifacts.store import Store
from reidclip.data.cache import Cache
from reidclip.data.images import UInt8, write_mask_png
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.packed import UnfitPackError, open_packed, write_packed
from reidclip.data.source import ImageSource
from reidclip.data.transforms import Transform, training
from reidclip.errors import UserError, WorkError
from tests.trees import prcc, write_picture

SMALL = training(32, 16)
SHAPE = (5, 4, 8, 6)


def planes(seed: int = 0, shape: tuple[int, int, int, int] = SHAPE) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(5):
        write_picture(tmp_path / f"{i}.png", i, 40, 24)
        write_mask_png(tmp_path / f"m{i}.png", np.random.default_rng(i).integers(0, 2, (40, 24), dtype=np.uint8))
    return tmp_path


class Told:
    """What a cache said, and the files that were decoded."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def cache(self, folder: Path, identity: str = "") -> Cache:
        def progress(what: str, done: int, total: int) -> None:
            self.progress.append((done, total))

        return Cache("disk", folder, identity, "prcc", self.lines.append, progress)


def read(folder: Path, cache: Cache | None, transform: Transform = SMALL, masks: bool = True) -> UInt8:
    paths = [folder / f"{i}.png" for i in range(5)]
    keep = [folder / f"m{i}.png" for i in range(5)] if masks else None
    pictures = ImageSource(paths, keep, cache=cache or Cache("none")).pictures(transform)
    return np.stack([pictures[i] for i in range(5)])


# -------------------------------------------------------------------------------------------------------------------- file format
@given(
    count=st.integers(0, 4), channels=st.sampled_from([3, 4]), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99)
)
@settings(max_examples=25, deadline=None)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, count: int, channels: int, height: int, width: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("pack") / "a.safetensors"
    shape = (count, channels, height, width)
    written = planes(seed, shape)
    write_packed(path, "key", shape, written)
    np.testing.assert_array_equal(open_packed(path, "key", shape), written)
    np.testing.assert_array_equal(load_file(path)["pictures"], written)  # other programs read it, too
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_no_bit_may_change(tmp_path_factory: pytest.TempPathFactory, where: float, bit: int) -> None:
    path = tmp_path_factory.mktemp("pack") / "a.safetensors"
    write_packed(path, "key", SHAPE, planes())
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(UnfitPackError):
        open_packed(path, "key", SHAPE)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, deadline=None)
def test_a_file_that_is_cut_off_is_refused(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("pack") / "a.safetensors"
    write_packed(path, "key", SHAPE, planes())
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(UnfitPackError):
        open_packed(path, "key", SHAPE)


def test_why_a_file_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_packed(path, "key", SHAPE, planes())
    with pytest.raises(UnfitPackError, match="another version of the data"):
        open_packed(path, "other", SHAPE)
    with pytest.raises(UnfitPackError, match="another size"):
        open_packed(path, "key", (5, 4, 8, 7))
    path.write_bytes(path.read_bytes().replace(b'"schema_version":"1"', b'"schema_version":"9"'))
    with pytest.raises(UnfitPackError, match="another version of the toolkit"):
        open_packed(path, "key", SHAPE)
    path.write_bytes(b"something else entirely")
    with pytest.raises(UnfitPackError, match="header is damaged"):
        open_packed(path, "key", SHAPE)
    with pytest.raises(FileNotFoundError):
        open_packed(tmp_path / "none", "key", SHAPE)


@pytest.mark.parametrize("wrong", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_writing_that_fails_leaves_what_was_there(tmp_path: Path, wrong: BaseException) -> None:
    def failing() -> Iterator[UInt8]:
        yield from planes(1)[:3]
        raise wrong

    path = tmp_path / "a.safetensors"
    write_packed(path, "key", SHAPE, planes())
    with pytest.raises(type(wrong)):
        write_packed(path, "key", SHAPE, failing())
    with pytest.raises(ValueError, match="3 pictures, not 5"):
        write_packed(path, "key", SHAPE, planes(1)[:3])
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    np.testing.assert_array_equal(open_packed(path, "key", SHAPE), planes())


# ------------------------------------------------------------------------------------------------------------------------ as a cache
def test_pictures_are_packed_once(folder: Path) -> None:
    told = Told()
    plain = read(folder, None)
    np.testing.assert_array_equal(read(folder, told.cache(folder / "cache")), plain)
    assert len(told.lines) == 1 and "packing 5 pictures of 32 x 16" in told.lines[0]
    assert told.progress[-1] == (5, 5)
    (path,) = (folder / "cache").iterdir()
    written = path.stat().st_ino
    np.testing.assert_array_equal(read(folder, told.cache(folder / "cache")), plain)
    assert len(told.lines) == 1 and path.stat().st_ino == written  # nothing was made anew
    with pytest.raises(ValueError, match="read-only"):
        ImageSource([folder / "0.png"], cache=told.cache(folder / "cache")).pictures(SMALL)[0][:] = 0


@pytest.mark.parametrize("change", ["picture", "mask", "identity", "size", "filter", "no masks"])
def test_what_pixels_depend_on_makes_another_file(folder: Path, change: str) -> None:
    told, transform, identity = Told(), SMALL, ""
    read(folder, told.cache(folder / "cache"))
    if change in ("picture", "mask"):
        path = folder / ("3.png" if change == "picture" else "m3.png")
        content, before = path.read_bytes(), path.stat()
        path.write_bytes(content)  # the size is the same: only the time tells
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif change == "identity":
        identity = "other labels"
    else:
        transform = {"size": training(16, 16), "filter": training(32, 16, "bilinear")}.get(change, SMALL)
    masks = change != "no masks"
    result = read(folder, told.cache(folder / "cache", identity), transform, masks)
    np.testing.assert_array_equal(result, read(folder, None, transform, masks))
    assert len(told.lines) == 2 and len(list((folder / "cache").iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut off", "damaged", "another version of the data"])
def test_a_file_that_does_not_fit_is_made_again(folder: Path, damage: str) -> None:
    told = Told()
    read(folder, told.cache(folder / "cache"))
    (path,) = (folder / "cache").iterdir()
    if damage == "cut off":
        os.truncate(path, path.stat().st_size - 10)
    elif damage == "damaged":
        data = bytearray(path.read_bytes())
        data[-1000] ^= 4
        path.write_bytes(data)
    else:
        other = read(folder, Told().cache(folder / "other", "old labels"))
        assert other.shape[0] == 5
        shutil.copy(next((folder / "other").iterdir()), path)
    np.testing.assert_array_equal(read(folder, told.cache(folder / "cache")), read(folder, None))
    assert len(told.lines) == 2 and "packing pictures again" in told.lines[1] and damage in told.lines[1] and str(path) in told.lines[1]


@pytest.mark.parametrize("below", [".", "below"])
def test_a_file_where_the_folder_should_be(folder: Path, below: str) -> None:
    (folder / "cache").write_text("a file")
    with pytest.raises(UserError) as caught:
        read(folder, Told().cache(folder / "cache" / below))
    assert caught.value.what.startswith(f"{folder / 'cache'} is a file") and "Move it away" in caught.value.remedy
    assert "--cache ram" in caught.value.remedy and "--store" in caught.value.remedy


def test_a_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError) as caught:
        read(folder, Told().cache(folder / "cache"))
    assert str(folder / "cache") in caught.value.what and "cannot be written" in caught.value.what
    assert "--cache ram" in caught.value.remedy and "--store" in caught.value.remedy


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    if when == "before":
        usage = shutil.disk_usage(folder)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError) as caught:
        read(folder, Told().cache(folder / "cache"))
    assert "The disk is too full" in caught.value.what and str(folder / "cache") in caught.value.what
    assert "artifacts gc" in caught.value.remedy and "--cache none" in caught.value.remedy
    assert not list((folder / "cache").iterdir())


def test_a_broken_picture_is_named_and_nothing_is_kept(folder: Path) -> None:
    path = folder / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(WorkError, match=r"3\.png"):
        read(folder, Told().cache(folder / "cache"))
    assert not list((folder / "cache").iterdir())


def test_of_several_one_packs_and_the_others_wait(folder: Path) -> None:
    told = Told()
    results: list[UInt8] = []
    read(folder, told.cache(folder / "cache"))
    (path,) = (folder / "cache").iterdir()
    kept, lock = path.read_bytes(), path.with_suffix(".lock")
    path.unlink()
    with exclusive(lock):
        other = threading.Thread(target=lambda: results.append(read(folder, told.cache(folder / "cache"))))
        other.start()
        other.join(0.5)
        assert other.is_alive() and "waiting for another process" in told.lines[-1]
        path.write_bytes(kept)  # what the holder of the lock does
        other.join(10)
    assert not other.is_alive()
    np.testing.assert_array_equal(results[0], read(folder, None))
    assert len(told.lines) == 2  # it was not made twice


def test_two_that_write_at_once_do_not_hurt_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where locks do not work (some network disks): each writes its own file, the last name wins."""
    monkeypatch.setattr("reidclip.artifacts.lock._lock", lambda descriptor: None)
    results: list[UInt8] = []

    def work(told: Told) -> Callable[[], None]:
        return lambda: results.append(read(folder, told.cache(folder / "cache")))

    threads = [threading.Thread(target=work(Told())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, read(folder, None))
    assert [p.suffix for p in (folder / "cache").iterdir()] == [".safetensors"]


def test_of_a_data_set(tmp_path: Path) -> None:
    """Another choice of samples, and other masks, are other files; the same ones are found again from another place."""
    root = prcc(tmp_path / "prcc")
    told = Told()
    dataset = LAYOUT.load(root)
    train = dataset.split("train")
    for samples in (train, train, train[1:]):
        source = ImageSource.of(dataset, samples, cache=told.cache(tmp_path / "cache"))
        np.testing.assert_array_equal(source.pictures(Transform(32, 16))[0].transpose(1, 2, 0), source.decode(0))
    assert len(told.lines) == 2
    (tmp_path / "elsewhere").mkdir()
    moved = LAYOUT.load(root.rename(tmp_path / "elsewhere" / "prcc"))
    ImageSource.of(moved, moved.split("train"), cache=told.cache(tmp_path / "cache")).pictures(Transform(32, 16))
    assert len(told.lines) == 2


def test_another_process_maps_the_file_anew(folder: Path) -> None:
    """What is sent to a worker where processes do not share memory: the file's name, not its pictures."""
    pictures = ImageSource([folder / f"{i}.png" for i in range(5)], cache=Told().cache(folder / "cache")).pictures(SMALL)
    sent = pickle.dumps(pictures)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[4], pictures[4])


def test_gc_removes_files_that_were_not_used_for_long(folder: Path) -> None:
    store = Store(folder / "store")
    cache = Told().cache(store.cache_dir)
    read(folder, cache)
    (path,) = store.cache_dir.iterdir()
    assert store.gc(older_than_days=1) == []
    os.utime(path, (1, 1))
    read(folder, Told().cache(store.cache_dir))  # used again
    assert store.gc(older_than_days=1) == []
    os.utime(path, (1, 1))
    left = path.with_name(".tmp-99999999-nobody")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    assert store.gc(older_than_days=1, dry_run=True) == [left, path] and path.exists()
    assert store.gc(older_than_days=1) == [left, path]
    assert not list(store.cache_dir.iterdir())
