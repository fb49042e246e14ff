"""What becomes of decoded pictures changes no result; broken training pictures are left out on request, and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.cache import CACHE_KINDS
from reidclip.data.images import read_picture, read_resized, resize
from reidclip.errors import UserError, WorkError
from reidclip.stages.evaluate import evaluate, plan_evaluate
from reidclip.stages.finetune import finetune, plan_finetune
from reidclip.stages.prompt_learn import plan_prompt_learn
from tests.fakes import SMALL, write_prcc, write_tiny_clip

SETTINGS = [f"{key}={SMALL[key]}" for key in ("height", "width", "epochs", "identities", "images_per_identity", "pad")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_tiny_clip(tmp_path / "tiny.safetensors")
    return write_prcc(tmp_path / "data")


def trained(data: Path, store: str = "store", say: list[str] | None = None, decode: str = "exact", **options: Any) -> Artifact:
    assignments = [*SETTINGS, f"decode={decode}", f'clip="{data.parent / "tiny.safetensors"}"']
    job = plan_finetune(
        data,
        Store(data.parent / store),
        method="baseline",
        assignments=assignments,
        say=(say if say is not None else []).append,
        device="cpu",
        **options,
    )
    artifact = finetune(job)
    assert artifact is not None
    return artifact


def history(artifact: Artifact) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads(artifact.file("history.json").read_text())["stage-0"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_every_cache_trains_the_same_model(data: Path) -> None:
    digests = {trained(data, cache=kind).file("encoder.safetensors").read_bytes() for kind in CACHE_KINDS}
    assert len(digests) == 1
    packed = list((data.parent / "store" / ".cache").iterdir())
    assert [path.name[:11] for path in packed] == ["data-32x16-"]


def test_packed_pictures_are_told_of_once(data: Path) -> None:
    told: list[str] = []
    trained(data, cache="disk", say=told)
    trained(data, cache="disk", say=told)
    assert sum("packing" in line for line in told) == 1
    (path,) = (data.parent / "store" / ".cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    trained(data, cache="disk", say=told)
    assert sum("packing" in line for line in told) == 2 and "cut off" in told[-1]


@pytest.mark.parametrize("kind", ["ram", "disk", "none"])
def test_evaluate_with_every_cache(data: Path, kind: Any) -> None:
    store = Store(data.parent / "store")
    checkpoint = trained(data)
    results = [
        evaluate(plan_evaluate(data, store, checkpoint=checkpoint.ref, device="cpu", cache=cache))[0].file("features.safetensors")
        for cache in ("auto", kind)
    ]
    assert results[0].read_bytes() == results[1].read_bytes()


def break_picture(data: Path, name: str = "rgb/train/005/A_cropped_rgb002.jpg") -> Path:
    path = data / name
    path.write_bytes(path.read_bytes()[:150])
    return path


@pytest.mark.parametrize("cache", ["auto", "disk"])
def test_a_broken_training_picture_is_named(data: Path, cache: Any) -> None:
    path = break_picture(data)
    with pytest.raises(WorkError, match=path.name):
        trained(data, cache=cache)
    assert not list(Store(data.parent / "store").scan().artifacts)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_training_pictures_are_left_out(data: Path, workers: int) -> None:
    """The training is that of a data set that never had the picture."""
    break_picture(data)
    told: list[str] = []
    artifact = trained(data, on_error="skip", say=told, workers=workers)
    (note,) = artifact.manifest.notes
    assert note.startswith("1 broken training picture was left out") and "005/A_cropped_rgb002.jpg" in note.replace("\\", "/")
    assert f"note: {note}" in told
    (data / "rgb/train/005/A_cropped_rgb002.jpg").unlink()
    assert history(trained(data, "other")) == history(artifact)
    assert not trained(data, "other", on_error="skip").manifest.notes


def test_an_identity_without_an_intact_picture_is_an_error(data: Path) -> None:
    for path in (data / "rgb/train/005").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"All training pictures of 1 identities are broken; the first is 5 \("):
        trained(data, on_error="skip")


def test_a_run_goes_on_with_the_pictures_that_it_began_with(data: Path) -> None:
    """A picture that breaks later must not shift the indices of the others: the run stops there."""
    whole = history(trained(data, "other", on_error="skip"))

    class StopError(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what != "checking pictures" and done == 2:
            raise StopError

    assignments = [*SETTINGS, f'clip="{data.parent / "tiny.safetensors"}"']
    job = plan_finetune(data, Store(data.parent / "store"), method="baseline", assignments=assignments, device="cpu", on_error="skip")
    with pytest.raises(StopError):
        finetune(job, stop)
    path = data / "rgb/train/005/A_cropped_rgb002.jpg"
    content = path.read_bytes()
    path.write_bytes(content[:150].ljust(len(content), b"\0"))  # of the same size: the same data as far as the fingerprint tells
    with pytest.raises(WorkError, match=path.name):
        finetune(job)
    path.write_bytes(content)
    artifact = finetune(job)
    assert artifact is not None and history(artifact) == whole


def test_the_cache_is_no_part_of_a_run_and_skipping_is(data: Path) -> None:
    store, assignments = Store(data.parent / "store"), [f'clip="{data.parent / "tiny.safetensors"}"']

    def key(**options: Any) -> str:
        return plan_prompt_learn(data, store, method="clipreid", assignments=assignments, device="cpu", **options).key

    assert key() == key(cache="disk") == key(cache="none")
    assert key() != key(on_error="skip")


# ------------------------------------------------------------------------------------------------------------------ decode = "fast"
def photo(path: Path, height: int, width: int, orientation: int | None = None) -> Path:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (9, 6, 3), dtype=np.uint8))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    small.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=92, exif=exif)
    return path


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("orientation", [None, 6, 3])
def test_exact_decoding_is_decoding_then_resizing(tmp_path: Path, method: Any, orientation: int | None) -> None:
    path = photo(tmp_path / "a.jpg", 300, 170, orientation)
    upright = read_picture(path)
    image, size = read_resized(path, 64, 32, method)
    np.testing.assert_array_equal(image, resize(upright, 64, 32, method))
    assert size == upright.shape[:2]


@pytest.mark.parametrize("orientation", [None, 6])
def test_fast_decoding_is_a_few_grey_levels_off(tmp_path: Path, orientation: int | None) -> None:
    path = photo(tmp_path / "a.jpg", 600, 300, orientation)
    exact, size = read_resized(path, 128, 64, "bicubic")
    fast, same_size = read_resized(path, 128, 64, "bicubic", "fast")
    assert size == same_size and fast.shape == exact.shape
    difference = np.abs(exact.astype(int) - fast)
    assert 0 < difference.mean() < 2


@pytest.mark.parametrize(("height", "width"), [(255, 300), (600, 127), (100, 50)])
def test_fast_decoding_leaves_pictures_below_twice_the_size_alone(tmp_path: Path, height: int, width: int) -> None:
    path = photo(tmp_path / "a.jpg", height, width)
    np.testing.assert_array_equal(read_resized(path, 128, 64, "bilinear", "fast")[0], read_resized(path, 128, 64, "bilinear")[0])
    Image.open(path).resize((600, 1200)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_resized(tmp_path / "a.png", 128, 64, "bilinear", "fast")[0], read_resized(tmp_path / "a.png", 128, 64, "bilinear")[0]
    )


def test_the_setting_reaches_the_pictures(data: Path) -> None:
    for path in (data / "rgb/train").rglob("*.jpg"):
        with Image.open(path) as image:
            big = image.resize((80, 160), Image.Resampling.BICUBIC)
        big.save(path, quality=92)
    exact = history(trained(data, "exact"))
    fast = history(trained(data, "fast", decode="fast"))
    assert exact != fast
    np.testing.assert_allclose([row["main/total"] for row in exact], [row["main/total"] for row in fast], rtol=0.05)
