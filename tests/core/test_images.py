"""Picture files, label maps and masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from reidclip.data.files import is_picture
from reidclip.data.images import (
    MAX_PIXELS,
    read_indexed_png,
    read_mask_png,
    read_picture,
    read_reduced,
    resize,
    resize_nearest,
    write_indexed_png,
    write_mask_png,
)
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE
from reidclip.errors import WorkError
from tests.trees import picture, write_picture

RED, GREEN = (255, 0, 0), (0, 255, 0)


def planes(top: int) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, 12), st.integers(1, 12))
    return hnp.arrays(np.uint8, shape, elements=st.integers(0, top))


in_one_folder = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_lossless_picture_is_read_as_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_picture(write_picture(tmp_path / "a.png", 3)), picture(3))


@pytest.mark.parametrize(
    ("orientation", "expected"),
    # one red and one green pixel, side by side, stored; as EXIF says they are seen
    [(1, [[RED, GREEN]]), (2, [[GREEN, RED]]), (3, [[GREEN, RED]]), (6, [[RED], [GREEN]]), (8, [[GREEN], [RED]])],
)
def test_exif_orientation(tmp_path: Path, orientation: int, expected: list[list[tuple[int, int, int]]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.array([[RED, GREEN]], np.uint8)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.array(expected, np.uint8))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 1), 77), (77, 77, 77)),
        (Image.new("1", (2, 1), 1), (255, 255, 255)),
        (Image.new("LA", (2, 1), (10, 255)), (10, 10, 10)),
        (Image.new("RGBA", (2, 1), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (2, 1), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("I;16", (2, 1), 0x4000), (64, 64, 64)),
        (Image.new("P", (2, 1)), (0, 0, 0)),
    ],
)
def test_other_modes_become_rgb(tmp_path: Path, image: Image.Image, expected: tuple[int, int, int]) -> None:
    image.save(tmp_path / "a.png")
    result = read_picture(tmp_path / "a.png")
    assert result.shape == (1, 2, 3) and result.dtype == np.uint8
    assert (result == np.array(expected)).all()


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert (read_picture(tmp_path / "a.jpg") > 250).all()


@pytest.mark.parametrize("keep", [0, 3, 200, -200])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_broken_files_are_named(tmp_path: Path, keep: int, suffix: str) -> None:
    path = write_picture(tmp_path / f"a{suffix}", height=64, width=64)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WorkError) as caught:
        read_picture(path)
    assert str(path) in caught.value.what and caught.value.remedy and caught.value.exit_code == 1
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("read", [read_indexed_png, read_mask_png])
@pytest.mark.parametrize("keep", [None, 0, 3, 200])
def test_missing_and_broken_maps_are_to_be_made_again(tmp_path: Path, read: Callable[[Path], object], keep: int | None) -> None:
    path = tmp_path / "m.png"
    if keep is not None:
        write_mask_png(path, np.random.default_rng(0).integers(0, 2, (64, 64), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WorkError) as caught:
        read(path)
    assert str(path) in caught.value.what and caught.value.remedy == "Make the masks or label maps again."


def test_no_picture_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    with pytest.raises(WorkError, match=r"a\.jpg is not a readable picture"):
        read_picture(tmp_path / "a.jpg")
    with pytest.raises(WorkError, match=r"no picture at .*gone\.jpg"):
        read_picture(tmp_path / "gone.jpg")


def test_absurd_size_is_refused_before_decoding(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with pytest.raises(WorkError, match="64 million"):
        read_picture(tmp_path / "a.png")


@in_one_folder
@given(labels=planes(19))
def test_label_map_round_trip(tmp_path: Path, labels: np.ndarray) -> None:
    write_indexed_png(tmp_path / "l.png", labels, LIP_PALETTE)
    read, palette = read_indexed_png(tmp_path / "l.png")
    np.testing.assert_array_equal(read, labels)
    assert palette[:20] == LIP_PALETTE


def test_label_map_is_an_8_bit_indexed_png_in_the_colours_of_lip(tmp_path: Path) -> None:
    write_indexed_png(tmp_path / "l.png", np.array([[0, 5, 9, 13]], np.uint8), LIP_PALETTE)
    with Image.open(tmp_path / "l.png") as image:
        assert image.mode == "P"
        colours = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(colours, [[(0, 0, 0), (128, 0, 128), (192, 0, 0), (192, 0, 128)]])


@in_one_folder
@given(mask=planes(1))
def test_mask_round_trip(tmp_path: Path, mask: np.ndarray) -> None:
    write_mask_png(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_mask_png(tmp_path / "m.png"), mask)
    write_mask_png(tmp_path / "b.png", mask.astype(bool))
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "m.png").read_bytes()
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "1"


@pytest.mark.parametrize("labels", [np.zeros((2, 2), np.int64), np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 20, np.uint8)])
def test_label_maps_that_cannot_be_written(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(ValueError):
        write_indexed_png(tmp_path / "l.png", labels, LIP_PALETTE)
    assert not (tmp_path / "l.png").exists()


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 1), np.uint8), np.full((2, 2), 255, np.uint8)])
def test_masks_that_cannot_be_written(tmp_path: Path, mask: np.ndarray) -> None:
    with pytest.raises(ValueError):
        write_mask_png(tmp_path / "m.png", mask)
    assert not (tmp_path / "m.png").exists()


def test_pictures_are_neither_label_maps_nor_masks(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    with pytest.raises(WorkError, match=r"a\.png is no label map"):
        read_indexed_png(path)
    with pytest.raises(WorkError, match=r"a\.png is no mask"):
        read_mask_png(path)
    Image.new("L", (2, 2), 100).save(tmp_path / "grey.png")
    with pytest.raises(WorkError, match=r"grey\.png is no mask"):
        read_mask_png(tmp_path / "grey.png")
    labels, palette = read_indexed_png(tmp_path / "grey.png")
    assert (labels == 100).all() and palette == ()


def test_resize() -> None:
    flat = np.full((30, 20, 3), 9, np.uint8)
    assert (resize(flat, 64, 32, "bicubic") == 9).all() and resize(flat, 64, 32, "bilinear").shape == (64, 32, 3)
    # antialiased: a fine chequerboard, halved, is grey and not black or white
    chequers = np.repeat((np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    inner = resize(chequers, 8, 8, "bilinear")[1:-1, 1:-1]
    assert np.abs(inner.astype(int) - 127).max() <= 2


@given(labels=planes(19), height=st.integers(1, 30), width=st.integers(1, 30))
def test_resizing_labels_makes_no_new_ones(labels: np.ndarray, height: int, width: int) -> None:
    result = resize_nearest(labels, height, width)
    assert result.shape == (height, width) and set(result.flat) <= set(labels.flat)


def test_nearest_by_hand() -> None:
    np.testing.assert_array_equal(resize_nearest(np.array([[1, 2], [3, 4]], np.uint8), 4, 2), [[1, 2], [1, 2], [3, 4], [3, 4]])


@pytest.mark.parametrize(
    ("name", "yes"), [("a.JPG", True), ("a.webp", True), ("Thumbs.db", False), ("._a.jpg", False), ("a.jpg.txt", False)]
)
def test_names_of_pictures(name: str, yes: bool) -> None:
    assert is_picture(name) is yes


def test_lip() -> None:
    assert len(LIP_LABELS) == len(set(LIP_LABELS)) == len(LIP_PALETTE) == 20
    assert [LIP_LABELS.index(name) for name in ("Background", "Upper-clothes", "Skirt", "Face", "Right-shoe")] == [0, 5, 12, 13, 19]
    # the PASCAL VOC rule: bit k of a channel, from the top, is bit 3k + channel of the label
    for label, colour in enumerate(LIP_PALETTE):
        assert colour == tuple(sum(((label >> (3 * k + c)) & 1) << (7 - k) for k in range(3)) for c in range(3))


@pytest.mark.parametrize("turned", [False, True])
def test_large_jpegs_are_reduced_while_they_are_decoded_and_look_the_same(tmp_path: Path, turned: bool) -> None:
    """2048 pixels high: an eighth is 256, no lower than 200; a quarter is no lower than 300. Other formats stay as they are."""
    rows, columns = np.mgrid[0:2048, 0:512]
    whole = np.stack([rows // 8 % 256, columns // 2, 128 + 100 * np.sin(rows / 90) * np.cos(columns / 70)], axis=-1).astype(np.uint8)
    image = Image.fromarray(np.rot90(whole) if turned else whole)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1  # 6: is to be turned clockwise
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    Image.fromarray(whole).save(tmp_path / "a.png")
    exact = read_picture(tmp_path / "a.jpg")
    assert exact.shape == (2048, 512, 3)
    for height, shape in ((200, (256, 64)), (300, (512, 128)), (1500, (2048, 512))):
        seen = read_reduced(tmp_path / "a.jpg", height)
        assert seen.shape[:2] == shape
        assert np.abs(seen.astype(float) - resize(exact, *shape, "bicubic")).mean() < 2
    assert read_reduced(tmp_path / "a.png", 200).shape == (2048, 512, 3)
