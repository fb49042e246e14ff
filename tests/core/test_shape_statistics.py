"""Errors of predicted bodies: cases worked out by hand, and what has to hold of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidclip.evaluation.shape import compare, mean_per_person, spread, vertex_errors, wrong_words
from reidclip.synth.mesh_plan import SIDES, MeshPlan

_METRES = st.floats(-2, 2, width=32)


class TestVertexErrors:
    def test_mean_of_the_distances_not_root_of_their_squares(self) -> None:
        true = np.zeros((1, 2, 3))
        predicted = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]]])
        assert vertex_errors(predicted, true, aligned=False) == pytest.approx([3.0])  # (5 + 1) / 2

    def test_alignment_takes_a_common_translation_out(self) -> None:
        true = np.array([[0.0, 0, 0], [1, 0, 0]])
        predicted = np.stack([true + np.array([0.1, -0.2, 0.3]), true * [3, 1, 1]])
        assert vertex_errors(predicted, true, aligned=True) == pytest.approx([0.0, 1.0])  # the second: each end 1 further from the middle

    @given(arrays(np.float64, (2, 5, 3), elements=_METRES), arrays(np.float64, (3,), elements=_METRES))
    def test_aligned_error_knows_no_translation(self, bodies: np.ndarray, shift: np.ndarray) -> None:
        moved = vertex_errors(bodies + shift, bodies[::-1], aligned=True)
        assert moved == pytest.approx(vertex_errors(bodies, bodies[::-1], aligned=True), abs=1e-9)


class TestCompare:
    def test_means_and_ratio(self) -> None:
        found = compare(np.array([1.0, 2.0, 6.0]), np.array([4.0, 4.0, 10.0]), np.array([7, 7, 9]), resamples=0)
        assert (found.value, found.mean_body, found.ratio) == pytest.approx((3.0, 6.0, 0.5))
        assert found.interval is None and found.ratio_interval is None

    def test_people_are_drawn_with_all_their_pictures(self) -> None:
        """Two people: a draw holds both, or one of them twice, so means are 1, 5 or, of four pictures, 2."""
        errors, person = np.array([1.0, 1.0, 1.0, 5.0]), np.array([3, 3, 3, 8])
        found = compare(errors, 2 * errors, person, resamples=2000)
        assert found.interval == pytest.approx((1.0, 5.0)), "a quarter of the draws each: the percentiles 2.5 and 97.5 lie in them"
        assert found.ratio_interval == pytest.approx((0.5, 0.5)), "errors of a picture are drawn together"

    def test_one_persons_ratio_varies_not(self) -> None:
        found = compare(np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.array([4, 4]), resamples=50)
        assert found.interval == pytest.approx((2.0, 2.0)) and found.ratio_interval == pytest.approx((1.0, 1.0))

    def test_no_ratio_to_a_mean_body_without_error(self) -> None:
        found = compare(np.array([1.0]), np.array([0.0]), np.array([0]), resamples=10)
        assert found.ratio is None and found.ratio_interval is None and found.interval == (1.0, 1.0)

    def test_interval_of_many_people_is_the_normal_one(self) -> None:
        errors = np.random.default_rng(3).normal(10, 2, 400)
        found = compare(errors, errors, np.arange(400), resamples=4000, seed=1)
        half = 1.96 * errors.std() / 20
        assert found.interval == pytest.approx((errors.mean() - half, errors.mean() + half), abs=0.03)

    def test_seed_decides(self) -> None:
        errors, people = np.arange(20.0), np.arange(20)
        first, again, other = (compare(errors, errors + 1, people, 100, seed) for seed in (0, 0, 1))
        assert first == again and first.interval != other.interval

    @pytest.mark.parametrize(("errors", "people"), [([], []), ([1.0, 2.0], [1])])
    def test_lengths(self, errors: list[float], people: list[int]) -> None:
        with pytest.raises(ValueError, match="one of each per picture"):
            compare(np.array(errors), np.array(errors), np.array(people, int))


class TestWords:
    def test_first_phrase_is_true_above_the_threshold(self) -> None:
        measures = {"stature_m": np.array([1.8, 1.7, 1.6]), "bmi": np.array([20.0, 30.0, 30.0])}
        choices = np.array([[0, 1], [0, 1], [1, 0]])
        wrong = wrong_words(measures, {"stature_m": 1.7, "bmi": 25.0}, choices, ("stature_m", "bmi"))
        assert wrong.tolist() == [[0, 0], [1, 1], [0, 0]], "a measurement at the threshold is not above it"

    def test_as_many_choices_as_names(self) -> None:
        with pytest.raises(ValueError, match="of 1 pairs"):
            wrong_words({"bmi": np.zeros(2)}, {"bmi": 0.0}, np.zeros((2, 2), int), ("bmi",))


class TestMeanPerPerson:
    def test_by_hand(self) -> None:
        people, means = mean_per_person(np.array([[1.0, 2], [5, 5], [3, 4]], np.float32), np.array([9, 2, 9]))
        assert people.tolist() == [2, 9] and means.tolist() == [[5, 5], [2, 3]] and means.dtype == np.float32

    @given(arrays(np.float32, (4,), elements=st.floats(-5, 5, width=32)), st.integers(1, 9))
    def test_equal_pictures_give_that_very_shape(self, shape: np.ndarray, pictures: int) -> None:
        _, means = mean_per_person(np.tile(shape, (pictures, 1)), np.zeros(pictures, int))
        assert (means[0] == shape).all()


class TestSpread:
    @given(st.integers(0, 60), st.integers(0, 70), st.integers(0, 3))
    def test_one_of_every_part(self, count: int, most: int, seed: int) -> None:
        chosen = spread(count, most, seed)
        assert chosen.tolist() == spread(count, most, seed).tolist()
        if count <= most:
            assert chosen.tolist() == list(range(count))
        else:
            assert len(chosen) == most
            assert all(part * count // most <= at < (part + 1) * count // most for part, at in enumerate(chosen.tolist()))

    def test_the_chosen_pictures_see_the_sides_that_all_see(self) -> None:
        """1,000 bodies of ten poses each whose cameras recur, as a list that is sorted by body and camera has them."""
        cameras = np.tile([0, 0, 0, 1, 1, 2, 2, 2, 3, 3], 1000)
        for count in (1000, 10000):
            for seed in range(5):
                seen = np.bincount(cameras[:count][spread(count, 100, seed)], minlength=4) / 100
                assert np.abs(seen - [0.3, 0.2, 0.3, 0.2]).max() < 0.17, "three and a half standard deviations of 100 draws"

    def test_of_a_mesh_set(self) -> None:
        """100 of its 1,000 pictures in the set's own order, ten of each body: front, left, back and right as often as in all, nearly."""
        plan = MeshPlan(100, 100, 10, seed=1, height=64, width=32, body="anny", body_version="")
        shots = [shot for number in plan.numbers for shot in sorted(plan.shots(number), key=lambda s: s.path)]
        cameras = np.array([shot.camera for shot in shots])
        whole, chosen = (np.bincount(own, minlength=len(SIDES)) / len(own) for own in (cameras, cameras[spread(1000, 100, 0)]))
        assert np.abs(whole - chosen).max() < 0.15
        assert np.bincount(cameras[::10])[0] > 90, "even steps would take nearly nothing but fronts"

    def test_seed_decides(self) -> None:
        assert spread(1000, 100, 0).tolist() != spread(1000, 100, 1).tolist()
