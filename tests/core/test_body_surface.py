"""Points on surfaces and the distance between point sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree

from reidclip.bodies import surface
from reidclip.bodies.anny import BODY
from reidclip.bodies.surface import chamfer, nearest_distances, sample_surface

# A right triangle of area 2 in the plane z = 1, and one of area 6 at x = 9.
VERTICES = np.array([[0, 0, 1], [2, 0, 1], [0, 2, 1], [9, 0, 0], [9, 4, 0], [9, 0, 3]], float)
FACES = np.array([[0, 1, 2], [3, 4, 5]])
points = arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-2, 2, width=32))


class TestSamples:
    def test_lie_on_the_surface(self) -> None:
        first = sample_surface(VERTICES, FACES, 4000)
        on_first = first[:, 0] < 5
        assert (first[on_first, 2] == 1).all() and (first[~on_first, 0] == 9).all()
        assert (first[on_first, :2] >= 0).all() and (first[on_first, :2].sum(1) <= 2 + 1e-12).all()
        y, z = first[~on_first, 1:].T
        assert (y >= 0).all() and (z >= 0).all() and (y / 4 + z / 3 <= 1 + 1e-12).all()

    def test_cover_it_by_area(self) -> None:
        found = sample_surface(VERTICES, FACES, 40_000)
        on_first = found[:, 0] < 5
        assert on_first.mean() == pytest.approx(0.25, abs=1e-4)  # in strata
        # Means of a uniform triangle are its centroid; standard errors are below 0.006 here.
        np.testing.assert_allclose(found[on_first].mean(0), [2 / 3, 2 / 3, 1], atol=0.02)
        np.testing.assert_allclose(found[~on_first].mean(0), [9, 4 / 3, 1], atol=0.03)
        half = found[on_first, :2].sum(1) < 1  # a quarter of the triangle's area
        assert half.mean() == pytest.approx(0.25, abs=0.02)

    def test_are_reproducible(self) -> None:
        assert np.array_equal(sample_surface(VERTICES, FACES, 100), sample_surface(VERTICES, FACES, 100))
        assert not np.array_equal(sample_surface(VERTICES, FACES, 100), sample_surface(VERTICES, FACES, 100, seed=1))
        assert len(sample_surface(VERTICES, FACES)) == 10_000

    def test_of_no_area(self) -> None:
        with pytest.raises(ValueError, match="no area"):
            sample_surface(VERTICES, np.array([[0, 0, 1]]))


class TestNearest:
    @given(points, points)
    @settings(max_examples=60, deadline=None)
    def test_as_a_tree_finds(self, own: np.ndarray, others: np.ndarray) -> None:
        np.testing.assert_allclose(nearest_distances(own, others), cKDTree(others).query(own)[0], atol=1e-7)

    def test_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(0)
        own, others = rng.normal(size=(700, 3)), rng.normal(size=(300, 3))
        whole = nearest_distances(own, others)
        np.testing.assert_allclose(whole, cKDTree(others).query(own)[0], atol=1e-12)
        monkeypatch.setattr(surface, "_BLOCK", 3)
        np.testing.assert_allclose(nearest_distances(own, others), whole, atol=1e-12)

    def test_far_from_the_origin(self) -> None:
        own, others = np.array([[1000.0, 0, 0]]), np.array([[1000.001, 0, 0], [999.9, 0, 0]])
        assert nearest_distances(own, others) == pytest.approx([0.001], rel=1e-6)

    def test_to_nothing(self) -> None:
        with pytest.raises(ValueError, match="no point"):
            nearest_distances(np.zeros((1, 3)), np.zeros((0, 3)))


class TestChamfer:
    def test_by_hand(self) -> None:
        one, two = np.array([[0.0, 0, 0]]), np.array([[3.0, 4, 0], [0, 0, 1]])
        found = chamfer(one, two, aligned=False)
        # There: 1. Back: 5 and 1, mean 3; squares 25 and 1, mean 13.
        assert (found.squared_m2, found.distance_m) == pytest.approx((1 + 13, (1 + 3) / 2))

    def test_alignment_takes_a_translation_out(self) -> None:
        one = np.random.default_rng(0).normal(size=(50, 3))
        away = one + np.array([0.3, -2, 5])
        moved = chamfer(one, away)
        assert moved.squared_m2 == pytest.approx(0, abs=1e-20) and moved.distance_m == pytest.approx(0, abs=1e-12)
        assert chamfer(one, away, aligned=False).distance_m > 1

    @given(points, points)
    @settings(max_examples=40, deadline=None)
    def test_is_symmetric(self, one: np.ndarray, two: np.ndarray) -> None:
        there, back = chamfer(one, two), chamfer(two, one)
        assert there.squared_m2 == pytest.approx(back.squared_m2, abs=1e-9)
        assert there.distance_m == pytest.approx(back.distance_m, abs=1e-6)

    def test_floor_of_sampling_is_what_the_module_says(self) -> None:
        session = BODY.open(None)
        body = session.vertices(torch.zeros(1, 90))[0].numpy()
        found = chamfer(sample_surface(body, session.faces, seed=0), sample_surface(body, session.faces, seed=1))
        assert found.distance_m == pytest.approx(0.006, abs=0.0005) and found.squared_m2 == pytest.approx(0.8e-4, abs=0.1e-4)

    def test_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="no point"):
            chamfer(np.zeros((0, 3)), np.zeros((1, 3)))
