"""Pictures as an `ImageSource` gives them when faces are blurred: every kind of cache and decoding, masks, tracklets, wrong maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidclip.data.cache import Cache
from reidclip.data.face_blur import FaceBlur, blur_faces
from reidclip.data.images import read_picture, resize, write_indexed_png, write_mask_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.data.source import ImageSource
from reidclip.data.transforms import Transform
from reidclip.errors import WorkError
from reidclip.records import Dataset, Sample

HEIGHT, WIDTH = 128, 64
FACES = (13, 4)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three pictures of smooth noise; the last shows no face."""
    rng = np.random.default_rng(0)
    for number in range(3):
        small = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
        (tmp_path / "data").mkdir(exist_ok=True)
        small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(tmp_path / f"data/{number}.jpg", quality=95)
    return Dataset("folder", tmp_path / "data", tuple(Sample(f"{n}.jpg", 1, 0, -1, "train") for n in range(3)))


@pytest.fixture
def maps(tmp_path: Path) -> dict[str, Path]:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[8:28, 20:40] = 13
    for number in range(2):
        write_indexed_png(tmp_path / f"{number}.png", labels, LIP_PALETTE)
    return {f"{number}.jpg": tmp_path / f"{number}.png" for number in range(2)}


def expected(dataset: Dataset, number: int) -> np.ndarray:
    picture = read_picture(dataset.root / f"{number}.jpg")
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[8:28, 20:40] = 13
    return picture if number == 2 else blur_faces(picture, labels, FACES)


@pytest.mark.parametrize("decoding", ["exact", "fast"])
@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_faces_are_blurred_before_anything_is_resized(
    kind: str, decoding: str, dataset: Dataset, maps: dict[str, Path], tmp_path: Path
) -> None:
    cache = Cache(kind, tmp_path / "cache")
    source = ImageSource.of(dataset, dataset.samples, cache=cache, decoding=decoding, blur=FaceBlur(FACES, maps, "one"))
    plain = ImageSource.of(dataset, dataset.samples, cache=cache, decoding=decoding)
    given, untouched = (s.pictures(Transform(32, 16)) for s in (source, plain))
    for number in range(2):
        wanted = resize(expected(dataset, number), 32, 16, Transform(32, 16).resize).transpose(2, 0, 1)
        assert np.array_equal(given[number], wanted)
        assert not np.array_equal(given[number][:, :9], untouched[number][:, :9])
    assert np.array_equal(given[2], untouched[2])


def test_at_its_own_size_the_rest_is_the_same_to_the_last_bit(dataset: Dataset, maps: dict[str, Path]) -> None:
    source = ImageSource.of(dataset, dataset.samples, blur=FaceBlur(FACES, maps))
    for number in range(3):
        was, now = read_picture(dataset.root / f"{number}.jpg"), source.decode(number)
        assert np.array_equal(now, expected(dataset, number)) and np.array_equal(now[33:], was[33:])
        assert np.array_equal(now, was) is (number == 2)


def test_another_parsing_is_another_packed_file(dataset: Dataset, maps: dict[str, Path], tmp_path: Path) -> None:
    for blur in (
        None,
        FaceBlur(FACES, maps, "one"),
        FaceBlur(FACES, maps, "two"),
        FaceBlur((13,), maps, "two"),
        FaceBlur(FACES, {}, "one"),
    ):
        ImageSource.of(dataset, dataset.samples, cache=Cache("disk", tmp_path / "cache"), blur=blur).pictures(Transform(32, 16))
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 5


def test_masks_and_tracklets_stay_what_they_are(dataset: Dataset, maps: dict[str, Path], tmp_path: Path) -> None:
    keep = np.ones((HEIGHT, WIDTH), np.uint8)
    keep[40:90] = 0
    (tmp_path / "keep").mkdir()
    for number in range(3):
        write_mask_png(tmp_path / f"keep/{number}.png", keep)
    blur = FaceBlur(FACES, maps)
    source = ImageSource.of(dataset, dataset.samples, masks=tmp_path / "keep", blur=blur)
    assert np.array_equal(source.pictures(Transform(HEIGHT, WIDTH))[0][3], keep)
    tracklet = Sample("t", 1, 0, -1, "train", frames=("0.jpg", "2.jpg", "1.jpg"))
    frames = ImageSource.of(dataset, [tracklet], blur=blur).regrouped([range(2, 3)]).pictures(Transform(HEIGHT, WIDTH))
    assert np.array_equal(frames[2], expected(dataset, 1).transpose(2, 0, 1))


def test_a_map_of_another_size_is_named(dataset: Dataset, maps: dict[str, Path]) -> None:
    write_indexed_png(maps["1.jpg"], np.full((8, 8), 13, np.uint8), LIP_PALETTE)
    source = ImageSource.of(dataset, dataset.samples, blur=FaceBlur(FACES, maps), cache=Cache("none"))
    with pytest.raises(WorkError, match=r"Label map .*1.png is 8 x 8 pixels, its picture .*1.jpg 64 x 128"):
        source.pictures(Transform(32, 16))[1]
