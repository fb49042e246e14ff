"""Parts of the renderer against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from reidclip.synth import labels
from reidclip.synth.body import body_model
from reidclip.synth.camera import sample_view
from reidclip.synth.captions import captions, identity_captions
from reidclip.synth.compose import downsample, majority
from reidclip.synth.identity import BEARDS, HAIR_STYLES, identity_rng, sample_identity
from reidclip.synth.measure import build_words, measure
from reidclip.synth.outfit import outfit_rng, sample_outfit
from reidclip.synth.raster import rasterise

FRONT = np.array([[0, 0, -1], [0, 4, -1], [4, 0, -1]], np.float32)  # columns, rows, depth; seen from outside


def one_triangle(points: np.ndarray, two_sided: bool = False, cut: tuple[float, ...] = (1, 1, 1)) -> list[int]:
    faces = np.array([[0, 1, 2]], np.int32)
    hits = rasterise(points, faces, 4, 4, np.array(cut, np.float32), np.array([two_sided]))
    return hits.pixel.tolist()


def test_triangle_covers_the_samples_inside_it() -> None:
    assert one_triangle(FRONT) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 12]  # the diagonal's samples lie on the edge and count


def test_back_faces_are_dropped_unless_two_sided() -> None:
    assert one_triangle(FRONT[::-1].copy()) == []
    assert len(one_triangle(FRONT[::-1].copy(), two_sided=True)) == 10


def test_fragments_with_a_negative_field_do_not_exist() -> None:
    kept = one_triangle(FRONT, cut=(1, -1, 1))
    assert 0 in kept and 12 not in kept


def test_nearest_surface_wins_whatever_the_order() -> None:
    near, far = FRONT.copy(), FRONT.copy()
    near[:, 2], far[:, 2] = -1.0, -0.5  # -1/z at one and two metres
    faces = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    for points, winner in ((np.concatenate([near, far]), 0), (np.concatenate([far, near]), 1)):
        hits = rasterise(points, faces, 4, 4, np.ones(6, np.float32), np.zeros(2, bool))
        assert set(hits.face.tolist()) == {winner}
        np.testing.assert_allclose(hits.weight.sum(1), 1, atol=1e-5)


def test_majority_of_blocks() -> None:
    ids = np.array([[1, 2, 7, 7], [2, 3, 8, 8], [5, 5, 0, 0], [5, 6, 0, 4]], np.uint8)
    assert majority(ids, 2).tolist() == [[2, 7], [5, 0]]  # two against one; a tie goes to the first


def test_colour_coverage_and_label_come_from_the_same_samples() -> None:
    pixel = np.array([0, 1, 4])  # three of the four samples of the left block of a 2 x 4 grid
    colour = np.tile(np.array([0.8, 0.4, 0.2], np.float32), (3, 1))
    mean, coverage, label = downsample(pixel, colour, np.array([5, 5, 9], np.uint8), 1, 2, 2)
    np.testing.assert_allclose(mean[0, 0], [0.6, 0.3, 0.15], atol=1e-6)
    assert coverage.tolist() == [[0.75, 0.0]]
    assert label.tolist() == [[5, 0]]


def test_identity_and_outfit_streams_are_independent() -> None:
    first = sample_identity(identity_rng(3, 8))
    sample_outfit(outfit_rng(3, 8, 0), first.male)
    again = sample_identity(identity_rng(3, 8))
    assert first == again
    same_seed_other_person = sample_outfit(outfit_rng(3, 9, 0), first.male)
    assert same_seed_other_person.top.fabric.seed != sample_outfit(outfit_rng(3, 8, 0), first.male).top.fabric.seed


def test_clothes_tell_nothing_about_hair_or_build() -> None:
    """Colour of the top against colour of the hair: what chance gives (normalised mutual information near 0)."""
    people = [sample_identity(identity_rng(0, i)) for i in range(1500)]
    tops = [sample_outfit(outfit_rng(0, i, 0), p.male).top.fabric.colour for i, p in enumerate(people)]
    hair, top = (np.unique(v, return_inverse=True)[1] for v in ([p.hair_colour for p in people], tops))
    joint = np.zeros((hair.max() + 1, top.max() + 1))
    np.add.at(joint, (hair, top), 1 / len(people))
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    information = (joint[joint > 0] * np.log(joint[joint > 0] / expected[joint > 0])).sum()
    chance = (joint.shape[0] - 1) * (joint.shape[1] - 1) / (2 * len(people))
    assert information < 1.4 * chance


def test_variety() -> None:
    people = [sample_identity(identity_rng(1, i)) for i in range(600)]
    assert {p.hair_style for p in people} == set(HAIR_STYLES)
    assert len({p.hair_colour for p in people}) >= 8
    assert {p.beard for p in people if p.male} == set(BEARDS)
    assert all(p.beard == "none" for p in people if not p.male)
    outfits = [sample_outfit(outfit_rng(1, i, 0), bool(i % 2)) for i in range(600)]
    worn = {o.top.label for o in outfits} | {o.bottom.label for o in outfits}
    assert worn == {labels.UPPER, labels.DRESS, labels.JUMPSUIT, labels.PANTS, labels.SKIRT}
    for slot in ("jacket", "socks", "hat", "scarf", "gloves", "sunglasses", "bag"):
        share = np.mean([getattr(o, slot) is not None for o in outfits])
        assert 0.02 < share < 0.6, slot


def test_views_do_not_depend_on_the_camera() -> None:
    turns = np.array([sample_view(np.random.default_rng(i)).azimuth for i in range(800)])
    front = np.abs((turns + 180) % 360 - 180) <= 105
    assert 0.72 < front.mean() < 0.9


def test_stature_is_solved_for() -> None:
    body = body_model()
    person = sample_identity(identity_rng(0, 1))
    for stature in (1.6, 1.75):
        shape = body.shape(body.with_stature(person.sliders, stature))
        assert measure(body, shape)["stature_m"] == pytest.approx(stature, abs=0.005)


def test_measurements_are_human_and_follow_sliders() -> None:
    body = body_model()
    person = sample_identity(identity_rng(0, 2))
    thin, stout = (
        measure(
            body,
            body.shape(body.with_stature(type(person.sliders)({**person.sliders.phenotype, "weight": w}, person.sliders.changes), 1.7)),
        )
        for w in (0.1, 0.9)
    )
    assert stout["waist_girth_m"] > thin["waist_girth_m"] + 0.1
    assert stout["mass_kg"] > thin["mass_kg"] + 10
    assert 0.4 < thin["leg_ratio"] < 0.6
    assert 14 < thin["bmi"] < stout["bmi"] < 45


def test_build_words() -> None:
    values = {"bmi": 18.0, "stature_m": 1.9, "shoulder_ratio": 0.2}
    assert build_words(values, 0.5, male=True) == ("slim", "tall")
    assert build_words({**values, "bmi": 30.0, "stature_m": 1.5}, 0.5, male=False) == ("heavy", "short")


def test_rest_transforms_leave_the_body_where_it_is() -> None:
    body = body_model()
    transforms = body.transforms(body.template_joints, np.tile(np.eye(3), (len(body.parents), 1, 1)))
    expected = np.tile(np.eye(3, 4, dtype=np.float32), (len(body.parents), 1, 1))
    np.testing.assert_allclose(transforms, expected, atol=1e-6)


def test_skinning_weights_sum_to_one() -> None:
    np.testing.assert_allclose(body_model().skin.sum(1), 1, atol=1e-5)


def test_caption_words() -> None:
    rng = np.random.default_rng(0)
    seen = ""
    for i in range(60):
        person = sample_identity(identity_rng(2, i))
        outfit = sample_outfit(outfit_rng(2, i, 0), person.male)
        said = captions(rng, person, outfit, "slim", "tall", "back", "walking", "street")
        about = identity_captions(rng, person, "slim", "tall")
        assert ("man" in about[0]) and (("woman" in about[0]) != person.male)
        assert outfit.top.name not in " ".join(about)
        seen += " ".join(said + about)
    for word in ("jeans", "striped", "hair", "beard", "glasses", "tall", "slim", "skin", "from behind", "on a street", "walking"):
        assert word in seen, word
