"""Resizing inside an export is Pillow's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reidclip.export.resample import resampled, weights

METHODS: tuple[Literal["bilinear", "bicubic"], ...] = ("bilinear", "bicubic")
SIDES = st.integers(1, 90)


def by_pillow(picture: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling[method.upper()]))


def here(picture: np.ndarray, height: int, width: int, method: Literal["bilinear", "bicubic"]) -> np.ndarray:
    x = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32))
    found: np.ndarray = resampled(x, height, width, method)[0].permute(1, 2, 0).numpy()
    return found


@settings(max_examples=60, deadline=None)
@given(before=st.tuples(SIDES, SIDES), after=st.tuples(SIDES, SIDES), method=st.sampled_from(METHODS), seed=st.integers(0, 999))
def test_the_same_pixels(before: tuple[int, int], after: tuple[int, int], method: Literal["bilinear", "bicubic"], seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (*before, 3), dtype=np.uint8)
    assert np.array_equal(here(picture, *after, method), by_pillow(picture, *after, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(480, 211), (97, 60), (1900, 40)])
def test_the_same_pixels_of_larger_pictures(method: Literal["bilinear", "bicubic"], size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.array_equal(here(picture, 256, 128, method), by_pillow(picture, 256, 128, method))


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_the_right_size_stays_as_it_is(method: Literal["bilinear", "bicubic"]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    assert np.array_equal(here(picture, 32, 16, method), picture)


def test_weights_by_hand() -> None:
    """Four pixels to two, bilinear: the triangle is two pixels wide on each side, so that 1/4, 3/4 of distance weigh 3/4, 1/4 at most."""
    left = np.array([0.75, 0.75, 0.25, 0]) / 1.75  # centre 1.0; distances 0.5, 0.5, 1.5, 2.5, divided by the scale 2
    np.testing.assert_allclose(weights(4, 2, "bilinear").numpy(), [left, left[::-1]], atol=2**-22)
