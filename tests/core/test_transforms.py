"""Geometry of pictures and masks, random erasing, and the derived images of CCAF."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.transforms import (
    NORMALISATIONS,
    Geometry,
    Transform,
    apply,
    draw,
    fill_boxes_at_once,
    fill_boxes_one_by_one,
    finish,
    noise_of,
    training,
)
from tests.trees import picture

NO_ERASE = (0, 0, 0, 0)
HALF = NORMALISATIONS["half"]


def batch_of(image: np.ndarray, keep: np.ndarray | None = None, erase: tuple[int, int, int, int] = NO_ERASE) -> dict[str, torch.Tensor]:
    batch = {
        "image": torch.from_numpy(image.transpose(2, 0, 1).copy())[None],
        "erase": torch.tensor([erase]),
        "erase_seed": torch.tensor([5]),
    }
    return batch if keep is None else {**batch, "keep": torch.from_numpy(keep)[None]}


@given(flip=st.booleans(), top=st.integers(0, 6), left=st.integers(0, 6), width=st.sampled_from([5, 8, 16]))
def test_geometry_is_flip_then_pad_then_crop(flip: bool, top: int, left: int, width: int) -> None:
    image, keep = picture(1, 8, width), np.random.default_rng(0).integers(0, 2, (8, width), dtype=np.uint8)
    transform, geometry = Transform(8, width, pad=3), Geometry(flip, top, left, NO_ERASE, 0)
    result, mask = np.empty((3, 8, width), np.uint8), np.empty((1, 8, width), np.uint8)
    apply(transform, geometry, np.ascontiguousarray(image.transpose(2, 0, 1)), result, fill=0)
    apply(transform, geometry, keep[None], mask, fill=1)
    mirrored, mirrored_keep = (image[:, ::-1], keep[:, ::-1]) if flip else (image, keep)
    black = np.pad(mirrored, ((3, 3), (3, 3), (0, 0)))[top : top + 8, left : left + width]
    np.testing.assert_array_equal(result, black.transpose(2, 0, 1))
    np.testing.assert_array_equal(mask[0], np.pad(mirrored_keep, 3, constant_values=1)[top : top + 8, left : left + width])


@given(seed=st.integers(0, 500))
def test_drawn_geometry_is_within_bounds(seed: int) -> None:
    transform = training(64, 32)
    g = draw(transform, np.random.default_rng(seed))
    assert 0 <= g.top <= 20 and 0 <= g.left <= 20
    top, left, h, w = g.erase
    if h:
        assert 0 <= top <= 64 - h and 0 <= left <= 32 - w and h < 64 and w < 32
        assert 0.015 <= h * w / (64 * 32) <= 0.35  # 0.02..1/3, sides rounded
        assert 0.25 <= h / w <= 4
    assert g == draw(transform, np.random.default_rng(seed))


def test_frequencies() -> None:
    drawn = [draw(training(), np.random.default_rng(seed)) for seed in range(2000)]
    for share in (np.mean([g.flip for g in drawn]), np.mean([g.erase[2] > 0 for g in drawn])):
        assert abs(share - 0.5) < 0.05  # 4.5 standard deviations
    assert {g.top for g in drawn} == {g.left for g in drawn} == set(range(21))
    boxes = np.array([g.erase for g in drawn if g.erase[2]])
    # uniform over 0.02..1/3 but for the wide boxes that do not fit in half as wide a picture
    assert 0.13 < (boxes[:, 2] * boxes[:, 3] / (256 * 128)).mean() < 0.1767
    assert len({g.erase_seed for g in drawn}) == len(drawn)


def test_testing_changes_nothing() -> None:
    image = picture(2, 16, 8)
    geometry = draw(Transform(16, 8), np.random.default_rng(3))
    assert not geometry.flip and geometry.erase == NO_ERASE
    result = np.empty((3, 16, 8), np.uint8)
    apply(Transform(16, 8), geometry, image.transpose(2, 0, 1), result, fill=0)
    np.testing.assert_array_equal(result.transpose(1, 2, 0), image)


def test_normalisation_by_hand() -> None:
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = 255
    x = finish(batch_of(image), HALF)["x"]
    assert x[0, :, 0].tolist() == [[-1.0, 1.0]] * 3
    x = finish(batch_of(image), NORMALISATIONS["imagenet"])["x"]
    np.testing.assert_allclose(x[0, :, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_ccaf_eq_4_and_11() -> None:
    """x_s = M x + (1 - M) 255, x_c = (1 - M) x + M 255, on 0..255 values; 255 is 1.0 after this normalisation."""
    image, keep = picture(3, 6, 4), np.random.default_rng(1).integers(0, 2, (6, 4), dtype=np.uint8)
    views = finish(batch_of(image, keep), HALF, derived=("shield", "clothes"))
    m, x = keep[:, :, None].astype(float), image.astype(float)
    for key, pixels in (("x", x), ("x_s", m * x + (1 - m) * 255), ("x_c", (1 - m) * x + m * 255)):
        np.testing.assert_allclose(views[key][0].permute(1, 2, 0), pixels / 127.5 - 1, atol=1e-6)
    assert set(finish(batch_of(image, keep), HALF, derived=("clothes",))) == {"x", "x_c"}


def test_another_shielding_colour() -> None:
    """Channel by channel, in the place of 255."""
    image, keep, colour = picture(3, 6, 4), np.random.default_rng(1).integers(0, 2, (6, 4), dtype=np.uint8), (9, 130, 200)
    views = finish(batch_of(image, keep), HALF, derived=("shield", "clothes"), shielding=colour)
    for key, kept in (("x_s", 1), ("x_c", 0)):
        for y, x in np.ndindex(6, 4):
            wanted = image[y, x] if keep[y, x] == kept else np.array(colour)
            np.testing.assert_allclose(views[key][0, :, y, x], wanted / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("shielding", [(255, 255, 255), (128, 3, 77)])
def test_derived_pictures_are_normalised_to_the_last_bit(shielding: tuple[int, int, int]) -> None:
    """As if pixels had been replaced on the uint8 picture, as published."""
    image, keep = picture(3, 64, 48), np.random.default_rng(1).integers(0, 2, (64, 48), dtype=np.uint8)
    for normalisation in NORMALISATIONS.values():
        views = finish(batch_of(image, keep), normalisation, derived=("shield", "clothes"), shielding=shielding)
        for key, stays in (("x_s", keep == 1), ("x_c", keep == 0)):
            replaced = np.where(stays[:, :, None], image, np.array(shielding, np.uint8))
            assert torch.equal(views[key], finish(batch_of(replaced), normalisation)["x"])


def test_erasing_fills_the_same_noise_in_all_images() -> None:
    image, keep = picture(4, 40, 30), np.zeros((40, 30), np.uint8)
    plain = finish(batch_of(image, keep), HALF, derived=("shield", "clothes"))
    erased = finish(batch_of(image, keep, (5, 3, 20, 22)), HALF, derived=("shield", "clothes"))
    box = erased["x"][0, :, 5:25, 3:25]
    assert abs(float(box.mean())) < 0.15 and abs(float(box.std()) - 1) < 0.1  # N(0, 1) per pixel and channel
    assert len(box.unique()) > 1000
    for key in ("x", "x_s", "x_c"):
        assert torch.equal(erased[key][0, :, 5:25, 3:25], box)
        outside = torch.ones(40, 30, dtype=torch.bool)
        outside[5:25, 3:25] = False
        assert torch.equal(erased[key][0][:, outside], plain[key][0][:, outside])


def test_boxes_of_several_samples_do_not_mix() -> None:
    one = {**batch_of(picture(5, 9, 9), erase=(1, 2, 3, 4)), "erase_seed": torch.tensor([11])}
    two = {**batch_of(picture(6, 9, 9), erase=(0, 0, 8, 8)), "erase_seed": torch.tensor([12])}
    none = batch_of(picture(7, 9, 9))
    together = {key: torch.cat([one[key], none[key], two[key]]) for key in one}
    x = finish(together, HALF)["x"]
    assert torch.equal(x, torch.cat([finish(b, HALF)["x"] for b in (one, none, two)]))


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=5))
def test_boxes_are_filled_alike_with_and_without_looking_at_them(drawn: list[tuple[int, int, int, int]]) -> None:
    """What runs on a GPU, tried on the CPU: boxes anywhere within 9 x 9, some of them empty."""
    boxes = [(t % (10 - h), w_left % (10 - w), h, w) if h and w else NO_ERASE for t, w_left, h, w in drawn]
    noise = noise_of(boxes, range(len(boxes)))
    assert noise.numel() == 3 * sum(h * w for _, _, h, w in boxes)
    images = [torch.rand(len(boxes), 3, 9, 9) for _ in range(2)]
    filled = [image.clone() for image in images]
    fill_boxes_one_by_one(filled, torch.tensor(boxes), noise)
    if noise.numel():
        fill_boxes_at_once(images, torch.tensor(boxes), noise)
    assert all(torch.equal(a, b) for a, b in zip(images, filled, strict=True))


def test_noise_from_the_loader_is_the_noise_of_the_seeds() -> None:
    batch = batch_of(picture(4, 40, 30), erase=(5, 3, 20, 22))
    given = {**batch, "noise": noise_of(batch["erase"].tolist(), batch["erase_seed"].tolist())}
    assert torch.equal(finish(batch, HALF)["x"], finish(given, HALF)["x"])
    assert not torch.equal(finish({**given, "noise": given["noise"] + 1}, HALF)["x"], finish(given, HALF)["x"])


def test_derived_images_need_masks() -> None:
    with pytest.raises(ValueError, match="keep"):
        finish(batch_of(picture(0)), HALF, derived=("shield",))
    with pytest.raises(ValueError, match="no derived image 'face'"):
        finish(batch_of(picture(0), np.ones((32, 16), np.uint8)), HALF, derived=("face",))  # type: ignore[arg-type]
