"""Measurements: of a body made of tubes by hand, of tilted limbs, under scaling, and beside the renderer's own where both take the same."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.bodies.anny import BODY as ANNY
from reidclip.bodies.anny_session import LANDMARKS
from reidclip.bodies.measure import Tape
from reidclip.bodies.sections import across, edges_of, girths
from reidclip.bodies.smpl import BODY as SMPL
from reidclip.synth.body import Shape, body_model
from reidclip.synth.measure import measure
from tests.smpl_file import ARM, AROUND, BUST, CALF, HIPS, TUBES, UNDER, WAIST, polygon, smpl_arrays, write_npz


def drawn(count: int) -> torch.Tensor:
    rng, session = np.random.default_rng(4), ANNY.open(None)
    return torch.from_numpy(np.stack([session.draw_shape(rng, number % 2 == 0) for number in range(count)]))


def test_a_body_of_tubes(tmp_path: Path) -> None:
    found = {name: value.item() for name, value in SMPL.open(write_npz(tmp_path / "small.npz")).measure(torch.zeros(1, 10)).items()}
    lengths = {
        "stature_m": 1.7,
        "shoulder_breadth_m": 0.36,
        "leg_length_m": 0.8,
        "torso_length_m": 0.6,
        "arm_length_m": 0.52,
        "neck_length_m": 0.1,
        "head_height_m": 0.3,
        "waist_height_m": 0.8 + 0.3 * 0.6,
    }
    waist, under, bust, hips, calf, arm = (polygon(radius) for radius in (WAIST, UNDER, BUST, HIPS, CALF, ARM))
    around = {"waist_girth_m": waist, "under_bust_girth_m": under, "chest_girth_m": bust, "hip_girth_m": hips}
    around |= {"calf_girth_m": calf, "upper_arm_girth_m": arm}
    # Half-way from hip (radius 0.08) to knee (0.04): a straight cone.
    around["thigh_girth_m"] = polygon(0.06)
    mass = 985 * sum(tube_volume(rings) for rings in TUBES)
    ratios = {
        "bmi": mass / 1.7**2,
        "ponderal_index": mass / 1.7**3,
        "limb_girth_ratio": (calf + arm) / 2 / 1.7,
        "shoulder_ratio": 0.36 / 1.7,
        "leg_ratio": 0.8 / 1.7,
        "torso_ratio": 0.6 / 1.7,
        "arm_ratio": 0.52 / 1.7,
        "neck_ratio": 0.1 / 1.7,
        "waist_height_ratio": 0.98 / 1.7,
        "curve_ratio": 1.8,
        "hip_waist_ratio": 2.0,
        "waist_hip_ratio": 0.5,
        "chest_waist_ratio": 1.6,
        "stature_waist_ratio": 1.7 / waist,
        "bust_ratio": 16 / 13,
    }
    assert found == pytest.approx({**lengths, **around, **ratios, "mass_kg": mass}, rel=1e-5)


def test_a_belly_is_not_the_hips(tmp_path: Path) -> None:
    """An apple: the widest level of the trunk is t = 0.3, above the hips."""
    template = smpl_arrays()["v_template"]
    belly = np.arange(3 * AROUND, 4 * AROUND)  # TRUNK's fourth ring
    template[belly[:, None], [0, 2]] *= 1.5 * HIPS / WAIST
    found = SMPL.open(write_npz(tmp_path / "apple.npz", v_template=template)).measure(torch.zeros(1, 10))
    assert found["hip_girth_m"].item() == pytest.approx(polygon(HIPS), rel=1e-5)
    assert found["waist_girth_m"].item() == pytest.approx(polygon(0.12), rel=1e-5), "under the chest, t = 0.5"


def tube_volume(rings: list[tuple[float, float, float, int]]) -> float:
    """Frusta between regular polygons."""
    area = AROUND / 2 * np.sin(2 * np.pi / AROUND)
    ends = [(np.array([x, y]), radius) for x, y, radius, _ in rings]
    return float(sum(np.abs(b - a).sum() * area * (r * r + r * s + s * s) / 3 for (a, r), (b, s) in pairwise(ends)))


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: sum(x * x for x in d) > 0.01), st.floats(0.03, 0.2))
@settings(max_examples=30, deadline=None)
def test_a_limb_is_measured_across_whichever_way_it_points(direction: tuple[float, float, float], radius: float) -> None:
    axes = across(np.array(direction))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    angle = 2 * np.pi * np.arange(24) / 24
    ring = radius * (np.cos(angle)[:, None] * axes[0] + np.sin(angle)[:, None] * axes[1])
    points = np.concatenate([ring, ring + 0.4 * axes[2]])
    k, n = np.arange(24), (np.arange(24) + 1) % 24
    faces = np.concatenate([np.stack([k, n, k + 24], 1), np.stack([n, n + 24, k + 24], 1)])
    found = girths(points, edges_of(faces, np.ones(48, bool)), axes, [-0.1, 0.1, 0.3, 0.5])
    assert found == pytest.approx([0, 48 * radius * np.sin(np.pi / 24), 48 * radius * np.sin(np.pi / 24), 0], rel=1e-5)


def test_a_tape_spans_hollows_and_leaves_other_parts_out() -> None:
    # A square of side 1 with a notch, and a far triangle that does not belong to the part.
    corners = np.array([[0, 0], [1, 0], [1, 1], [0.5, 0.4], [0, 1], [5, 5], [6, 5], [5, 6]], float)
    points = np.concatenate([np.column_stack([corners, np.full(8, z)]) for z in (0.0, 1.0)])
    loops = [(a, (a + 1) % 5) for a in range(5)] + [(5, 6), (6, 7), (7, 5)]
    faces = np.array([t for a, b in loops for t in ((a, b, a + 8), (b, b + 8, a + 8))])
    kept = np.tile(np.arange(8) < 5, 2)
    assert girths(points, edges_of(faces, kept), np.eye(3), [0.5]) == pytest.approx([4])


@cache
def one_body() -> tuple[Tape, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    session, model = ANNY.open(None), body_model()
    tape = Tape(session.faces, model.skin[model.body.rows], session.joints, LANDMARKS)
    shape = drawn(1).double()
    points, joints = session.vertices(shape).numpy(), session.joint_positions(shape).numpy()
    return tape, points, joints, tape.measure(points, joints)


@given(st.floats(0.7, 1.4), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=15, deadline=None)
def test_scaling_turning_and_moving(scale: float, turn: float, shift: float) -> None:
    tape, points, joints, before = one_body()
    around = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    after = tape.measure(scale * points @ around.T + shift, scale * joints @ around.T + shift)
    powers = {"mass_kg": 3, "bmi": 1, "ponderal_index": 0}
    for name, value in before.items():
        power = powers.get(name, 1 if name.endswith("_m") else 0)
        # The mesh has small openings (eyes, mouth), whose share of the volume depends on the origin: 3 m away it is some per mille.
        near = 2e-2 if name in ("mass_kg", "bmi", "ponderal_index") else 1e-5
        assert after[name] == pytest.approx(value * scale**power, rel=near), name


def test_same_as_the_renderer_measures_where_both_take_the_same() -> None:
    session, model = ANNY.open(None), body_model()
    shape = drawn(6)
    found = session.measure(shape)
    for number, (points, joints) in enumerate(zip(session.vertices(shape), session.joint_positions(shape), strict=True)):
        whole = model.template.copy()
        whole[model.body.rows] = points.numpy()
        theirs = measure(model, Shape(whole, joints.numpy()))
        for name in ("stature_m", "mass_kg", "bmi", "shoulder_breadth_m", "leg_length_m", "arm_length_m", "head_height_m", "leg_ratio"):
            assert found[name][number].item() == pytest.approx(theirs[name], abs=2e-4, rel=1e-4), name
        # Girths are looked for over a region here, and taken at fixed levels there.
        assert found["chest_girth_m"][number].item() > theirs["chest_girth_m"] - 0.01
        assert found["waist_girth_m"][number].item() < theirs["waist_girth_m"] + 0.005


def test_the_population_is_human() -> None:
    found = ANNY.open(None).measure(drawn(120))
    women, men = ({name: value[start::2].numpy() for name, value in found.items()} for start in (0, 1))
    # Worldwide means of adults are about 1.60 and 1.72 m, 62 and 72 kg; bands wide enough for any country's.
    assert 1.58 < women["stature_m"].mean() < 1.69 and 1.71 < men["stature_m"].mean() < 1.82
    assert 52 < women["mass_kg"].mean() < 68 and 65 < men["mass_kg"].mean() < 82
    assert np.quantile(women["waist_girth_m"], 0.05) > 0.55 and np.quantile(men["waist_girth_m"], 0.95) < 1.1
    assert women["bust_ratio"].mean() > men["bust_ratio"].mean() + 0.03
    assert women["hip_waist_ratio"].mean() > men["hip_waist_ratio"].mean() + 0.05
    assert men["shoulder_breadth_m"].mean() > women["shoulder_breadth_m"].mean() + 0.02
    for values in (women, men):
        assert values["torso_ratio"].min() > 0.25 and values["torso_ratio"].max() < 0.42
        assert values["leg_ratio"].min() > 0.42 and values["leg_ratio"].max() < 0.6
        assert values["calf_girth_m"].min() > 0.2 and values["calf_girth_m"].max() < 0.55


def test_no_body_at_all() -> None:
    with pytest.raises(ValueError, match="no body to measure"):
        ANNY.open(None).measure(torch.zeros(0, 90))
