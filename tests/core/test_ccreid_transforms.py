"""Simple-CCReID's random geometry: enlarge and crop, and erasing with one colour; CLIP-ReID's is in test_transforms.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reidclip.data.geometry import COLOUR, NO_BOX, NOISE, Geometry, Transform, apply, draw, enlarged_size
from reidclip.data.transforms import NORMALISATIONS, finish, paint_boxes
from tests.trees import picture

CROP = Transform(64, 32, flip=0.5, crop="enlarge", enlarge=0.5)
ERASE = Transform(64, 32, erase=1.0, erasing=COLOUR)


@given(flip=st.booleans(), top=st.integers(0, 3), left=st.integers(0, 2), width=st.sampled_from([16, 17]))
@settings(deadline=None)
def test_geometry_is_enlarge_then_crop_then_flip(flip: bool, top: int, left: int, width: int) -> None:
    """By Pillow's own calls; the mask goes the same way without new values."""
    image, keep = picture(1, 24, width), np.random.default_rng(0).integers(0, 2, (24, width), dtype=np.uint8)
    transform = Transform(24, width, crop="enlarge")
    high, wide = 27, round(1.125 * width)
    assert enlarged_size(transform) == (high, wide)
    geometry = Geometry(flip, top, left, NO_BOX, 0, enlarged=True)
    result, mask = np.empty((3, 24, width), np.uint8), np.empty((1, 24, width), np.uint8)
    apply(transform, geometry, np.ascontiguousarray(image.transpose(2, 0, 1)), result, fill=0)
    apply(transform, geometry, keep[None], mask, fill=1)
    box = (left, top, left + width, top + 24)
    wanted = Image.fromarray(image).resize((wide, high), Image.Resampling.BILINEAR).crop(box)
    wanted_keep = Image.fromarray(keep).resize((wide, high), Image.Resampling.NEAREST).crop(box)
    if flip:
        wanted, wanted_keep = (i.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for i in (wanted, wanted_keep))
    np.testing.assert_array_equal(result.transpose(1, 2, 0), np.array(wanted))
    np.testing.assert_array_equal(mask[0], np.array(wanted_keep))


@settings(deadline=None)
@given(flip=st.booleans(), top=st.integers(0, 8), left=st.integers(0, 4), edge=st.integers(10, 50))
def test_picture_and_mask_stay_together(flip: bool, top: int, left: int, edge: int) -> None:
    """A picture that is white above a line, and a mask of what is white, agree afterwards but for the blurred line itself."""
    keep = np.zeros((1, 64, 32), np.uint8)
    keep[:, :edge] = 1
    image = np.repeat(keep * 255, 3, axis=0)
    geometry = Geometry(flip, top, left, NO_BOX, 0, enlarged=True)
    result, mask = np.empty_like(image), np.empty_like(keep)
    apply(CROP, geometry, image, result, fill=0)
    apply(CROP, geometry, keep, mask, fill=1)
    clear = (result[0] == 0) | (result[0] == 255)
    np.testing.assert_array_equal((result[0] == 255)[clear], (mask[0] == 1)[clear])
    assert clear.mean() > 0.9


def test_what_is_not_enlarged_is_left_alone() -> None:
    image = np.ascontiguousarray(picture(2, 64, 32).transpose(2, 0, 1))
    result = np.empty_like(image)
    apply(CROP, Geometry(False, 0, 0, NO_BOX, 0), image, result, fill=0)
    np.testing.assert_array_equal(result, image)


def test_enlarging_as_often_and_where_it_should() -> None:
    drawn = [draw(CROP, np.random.default_rng(seed)) for seed in range(4000)]
    enlarged = [g for g in drawn if g.enlarged]
    assert abs(len(enlarged) / 4000 - 0.5) < 0.04  # 5 standard deviations
    assert abs(np.mean([g.flip for g in drawn]) - 0.5) < 0.04
    tops, lefts = np.bincount([g.top for g in enlarged]), np.bincount([g.left for g in enlarged])
    assert (len(tops), len(lefts)) == (9, 5)  # 72 - 64 and 36 - 32, ends included
    for places in (tops, lefts):
        inner = places[1:-1].mean()
        np.testing.assert_allclose(places[1:-1], inner, rtol=0.35)
        np.testing.assert_allclose(places[[0, -1]], inner / 2, rtol=0.35)  # a uniform number, rounded: the ends have half a share
    assert {(g.top, g.left) for g in drawn if not g.enlarged} == {(0, 0)}
    assert not any(draw(replace(CROP, enlarge=0.0), np.random.default_rng(seed)).enlarged for seed in range(50))


@settings(deadline=None)
@given(seed=st.integers(0, 2000))
def test_boxes_have_the_published_sizes(seed: int) -> None:
    top, left, h, w = draw(ERASE, np.random.default_rng(seed)).erase
    assert 0 < h < 64 and 0 < w < 32 and 0 <= top <= 64 - h and 0 <= left <= 32 - w
    assert 0.012 <= h * w / (64 * 32) <= 0.42  # 0.02..0.4, sides rounded
    assert 0.2 <= h / w <= 4.3  # 0.3..1/0.3, sides rounded


def test_ratios_are_uniform_and_not_log_uniform() -> None:
    """On a picture whose height and width refuse no box, ratios above 1 are 0.77 of all; of CLIP-ReID's family half."""
    for erasing, share in ((COLOUR, (1 / 0.3 - 1) / (1 / 0.3 - 0.3)), (NOISE, 0.5)):
        transform = Transform(900, 900, erase=1.0, erasing=replace(erasing, area=(0.02, 0.05)))
        boxes = np.array([draw(transform, np.random.default_rng(seed)).erase for seed in range(1500)])
        assert abs((boxes[:, 2] > boxes[:, 3]).mean() - share) < 0.06


def test_a_box_that_fits_is_looked_for_a_hundred_times() -> None:
    """In a narrow picture hardly a tenth of the boxes fits: ten tries often find none, a hundred do."""
    narrow = Transform(64, 9, erase=1.0, erasing=replace(COLOUR, area=(0.3, 0.4), ratio=(0.3, 3.3)))
    ten = replace(narrow, erasing=replace(narrow.erasing, tries=10))
    missed = [np.mean([draw(t, np.random.default_rng(seed)).erase == NO_BOX for seed in range(300)]) for t in (narrow, ten)]
    assert missed[0] < missed[1] - 0.05


@pytest.mark.parametrize("normalisation", ["imagenet", "half"])
def test_the_colour_is_written_after_normalisation(normalisation: str) -> None:
    image = torch.from_numpy(np.stack([picture(s, 40, 30).transpose(2, 0, 1) for s in (3, 4)]))
    keep = torch.zeros(2, 40, 30, dtype=torch.uint8)
    batch = {"image": image, "keep": keep, "erase": torch.tensor([[5, 3, 20, 22], [0, 0, 0, 0]]), "erase_seed": torch.tensor([1, 2])}
    norm, none = NORMALISATIONS[normalisation], {**batch, "erase": torch.zeros(2, 4, dtype=torch.int64)}
    plain = finish(none, norm, derived=("shield", "clothes"), erase_fill=COLOUR.fill)
    erased = finish(batch, norm, derived=("shield", "clothes"), erase_fill=COLOUR.fill)
    inside = torch.zeros(2, 1, 40, 30, dtype=torch.bool)
    inside[0, :, 5:25, 3:25] = True
    colour = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1).expand(2, 3, 40, 30)
    for key in ("x", "x_s", "x_c"):
        assert torch.equal(erased[key], torch.where(inside, colour, plain[key]))


def test_painting_reaches_every_picture_given() -> None:
    one, two = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    paint_boxes([one, two], torch.tensor([[1, 1, 2, 3]]), (7.0, 8.0, 9.0))
    for image in (one, two):
        assert image[0, :, 1:3, 1:4].flatten(1).unique(dim=1).flatten().tolist() == [7.0, 8.0, 9.0]
        assert (image > 6).sum() == 18
