"""Clothes as vectors and groups: what the descriptor sees, and how well groups stand for labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.data.lip import LIP_LABELS
from reidclip.errors import UserError
from reidclip.gallery.clothes import WIDTH, clothes_descriptors
from reidclip.gallery.clusters import agreement, learn_centroids, nearest_centroid

HEAD, SHIRT, TROUSERS = LIP_LABELS.index("Face"), LIP_LABELS.index("Upper-clothes"), LIP_LABELS.index("Pants")


class Stripes:
    """A parser to which the first quarter of a picture is a head, the second a shirt, the third trousers, the rest nobody."""

    name, version, labels = "stripes", "1", tuple(LIP_LABELS)

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = []
        for image in images:
            labels = np.zeros(image.shape[:2], np.uint8)
            for part, label in enumerate((HEAD, SHIRT, TROUSERS)):
                labels[part * len(labels) // 4 : (part + 1) * len(labels) // 4] = label
            found.append(labels)
        return found


class Blank(Stripes):
    """Sees nobody."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.zeros(image.shape[:2], np.uint8) for image in images]


class Faces(Stripes):
    """Knows no clothes."""

    labels = ("Background", "Face")


def person(shirt: tuple[int, int, int], trousers: tuple[int, int, int], around: int = 128, height: int = 64) -> np.ndarray:
    picture = np.full((height, height // 2, 3), around, np.uint8)
    picture[height // 4 : height // 2] = shirt
    picture[height // 2 : 3 * height // 4] = trousers
    return picture


RED, BLUE, WHITE = (200, 30, 30), (30, 30, 200), (230, 230, 230)


def test_clothes_alone_count() -> None:
    same, size, swapped, lower = clothes_descriptors(
        [person(RED, BLUE), person(RED, BLUE, around=0, height=96), person(BLUE, RED), person(RED, WHITE)], Stripes()
    )
    assert same.shape == (WIDTH,) and np.allclose(same, size, atol=1e-6)
    assert np.linalg.norm(same - swapped) > 1 and np.linalg.norm(same - lower) > 0.5


def test_histograms_have_length_one_per_part() -> None:
    found = clothes_descriptors([person(RED, BLUE)], Stripes())[0]
    upper, lower = np.split(found, 2)
    for half in (upper, lower):
        assert (half[:-1] ** 2).sum() == pytest.approx(2, abs=1e-5)  # lightness and colour, each a histogram of sum 1
        assert half[-1] == pytest.approx(0.5 / 3)  # a third of the person, at half weight


def test_a_little_light_moves_little() -> None:
    dark, light = clothes_descriptors([person((100, 40, 40), BLUE), person((106, 44, 44), BLUE)], Stripes())
    assert 0 < np.linalg.norm(dark - light) < 0.5


def test_nobody_seen_is_unknown() -> None:
    found = clothes_descriptors([person(RED, BLUE)], Blank())
    assert not found.any()
    assert nearest_centroid(found, np.ones((2, WIDTH), np.float32)).tolist() == [-1]


def test_no_pictures() -> None:
    assert clothes_descriptors([], Stripes()).shape == (0, WIDTH)


def test_a_parser_without_clothes() -> None:
    with pytest.raises(UserError, match="no label of clothes"):
        clothes_descriptors([person(RED, BLUE)], Faces())


def test_groups_that_are_apart_are_found() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(5, 8)
    truth = np.repeat(np.arange(5), 20)
    rows = (centres[truth] + 0.1 * rng.standard_normal((100, 8))).astype(np.float32)
    groups = nearest_centroid(rows, learn_centroids(rows, 5, seed=3))
    assert agreement(groups, truth, np.zeros(100, int)) == {"purity": 1, "nmi": pytest.approx(1), "same_left_out": 1, "other_kept": 1}
    assert np.array_equal(learn_centroids(rows, 5, seed=3), learn_centroids(rows, 5, seed=3))


def test_agreement_by_hand() -> None:
    # person 0: outfits 0 0 1 in groups 0 1 1; person 1: outfit 2 in group 0
    found = agreement(np.array([0, 1, 1, 0, -1]), np.array([0, 0, 1, 2, 0]), np.array([0, 0, 0, 1, 0]))
    assert found["purity"] == pytest.approx(2 / 4)
    # H(group) = ln 2, H(label) = 1.5 ln 2; joint has four cells of 1/4: I = ln 2 + 1.5 ln 2 - 2 ln 2 = 0.5 ln 2
    assert found["nmi"] == pytest.approx(2 * 0.5 / 2.5)
    assert found["same_left_out"] == 0  # the only pair in one outfit lies in two groups
    assert found["other_kept"] == pytest.approx(1 / 2)  # of two pairs in two outfits one is in one group


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(0, 100))
def test_agreement_does_not_care_what_groups_are_called(groups: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, people = rng.integers(0, 4, len(groups)), rng.integers(0, 3, len(groups))
    renamed = rng.permutation(5)[groups]
    assert agreement(np.array(groups), labels, people) == pytest.approx(agreement(renamed, labels, people))


def test_fewer_kinds_than_groups() -> None:
    assert len(learn_centroids(np.repeat(np.eye(3, dtype=np.float32), 4, axis=0), 10)) == 3
