"""Blurred faces: nothing else changes, nothing of a face is left at any size, and the numbers are those of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.data.face_blur import FADING, SIGMA, WHOLLY, blur_faces, face_labels
from reidclip.data.label_sets import ATR, LIP, PASCAL, SCNET, LabelSet
from reidclip.errors import UserError

FACE = 13
FACES = (FACE, 4)


def scene(face: int, seed: int = 0, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a square face of stripes in its middle, the picture's sides 4 faces."""
    side = 4 * face
    picture = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    labels = np.zeros((side, side), np.uint8)
    start = side // 2 - face // 2
    labels[start : start + face, start : start + face] = FACE
    stripes = (np.arange(face) // scale % 2 * 255).astype(np.uint8)
    picture[start : start + face, start : start + face] = stripes[None, :, None]
    return picture, labels


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pixel to the nearest one of the mask, by going through all of them."""
    rows, columns = np.nonzero(mask)
    y, x = np.indices(mask.shape)
    return np.sqrt(((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(-1))


@given(st.integers(2, 14), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_pixels_far_from_a_face_keep_their_values(face: int, seed: int) -> None:
    picture, labels = scene(face, seed)
    before = picture.copy()
    blurred = blur_faces(picture, labels, FACES)
    far = distance_to(labels == FACE) > max((WHOLLY + FADING) * face, 1)
    assert np.array_equal(blurred[far], before[far]) and np.array_equal(picture, before)
    assert not np.array_equal(blurred[~far], before[~far])


@pytest.mark.parametrize("face", [8, 16, 40, 80])
def test_as_little_is_left_of_a_small_face_as_of_a_large_one(face: int) -> None:
    """Eyes and mouth, an eighth to a quarter of a face wide, keep less than a tenth of their contrast."""
    for stripe in (face // 8, face // 4):
        picture, labels = scene(face, scale=stripe)
        inside = labels == FACE
        core = blur_faces(picture, labels, FACES)[inside].reshape(face, face, 3)[face // 4 : -(face // 4), face // 4 : -(face // 4)]
        columns = core.mean(axis=(0, 2))
        slope = np.polyval(np.polyfit(np.arange(len(columns)), columns, 1), np.arange(len(columns)))  # of the surroundings' light
        assert np.ptp(columns - slope) < 25.5


def test_the_middle_is_the_gaussian_of_the_picture() -> None:
    face = 24
    picture, labels = scene(face, scale=3)
    sigma = SIGMA * face
    offsets = np.arange(4 * face) - (2 * face)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    expected = np.einsum("y,yxc,x->c", kernel / kernel.sum(), picture.astype(float), kernel / kernel.sum())
    assert blur_faces(picture, labels, FACES)[2 * face, 2 * face] == pytest.approx(expected, abs=1.5)


def test_sunglasses_are_face_and_hair_is_not() -> None:
    picture, labels = scene(12)
    glasses = np.where(labels == FACE, 4, 0).astype(np.uint8)
    assert np.array_equal(blur_faces(picture, glasses, FACES), blur_faces(picture, labels, FACES))
    assert blur_faces(picture, np.where(labels == FACE, 2, 0).astype(np.uint8), FACES) is picture


def test_specks_beside_a_face_are_blurred_as_strongly() -> None:
    picture, labels = scene(16, scale=2)
    speck = labels.copy()
    speck[4, 4] = FACE
    blurred = blur_faces(picture, speck, FACES)
    weak = blur_faces(picture, np.where(np.arange(64)[:, None] < 8, speck, 0).astype(np.uint8), FACES)
    assert not np.array_equal(blurred[4, 4], picture[4, 4])
    assert not np.array_equal(blurred[4, 4], weak[4, 4])
    assert np.array_equal(blurred[24:40, 24:40], blur_faces(picture, labels, FACES)[24:40, 24:40])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_faces_may_fill_the_picture_or_touch_its_edges(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert blur_faces(picture, np.full((height, width), FACE, np.uint8), FACES).shape == picture.shape


def test_which_labels_are_face() -> None:
    assert [face_labels(s) for s in (LIP, ATR, PASCAL, SCNET)] == [
        ((13, 4), ("Face", "Sunglasses")),
        ((11, 3), ("Face", "Sunglasses")),
        ((1,), ("Head",)),
        ((1,), ("Head",)),
    ]
    with pytest.raises(UserError, match="no label for faces: Background, Clothes"):
        face_labels(LabelSet("two", ("Background", "Clothes"), ("Clothes",)))


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="labels of"):
        blur_faces(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), FACES)
