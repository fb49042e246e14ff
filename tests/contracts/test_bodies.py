"""What every body model must do, run over the registry; for models that need the user's file, a small one is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from reidclip import registry
from reidclip.bodies.licence import begin_command, licence_once
from reidclip.bodies.phrases import MEASURES, REPORTED
from reidclip.errors import UserError
from reidclip.interfaces import Body, BodySession
from tests.smpl_file import write_npz

GROUP = "reidclip.bodies"
NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]
FILES: Mapping[str, Callable[[Path], Path | None]] = {"anny": lambda folder: None, "smpl": lambda folder: write_npz(folder / "small.npz")}


@pytest.fixture(scope="module", params=NAMES)
def body(request: pytest.FixtureRequest) -> Body:
    found: Body = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture(scope="module")
def session(body: Body, tmp_path_factory: pytest.TempPathFactory) -> BodySession:
    if body.name not in FILES:
        pytest.skip(f"no file is known for {body.name}")
    return body.open(FILES[body.name](tmp_path_factory.mktemp(body.name)))


def drawn(session: BodySession, count: int = 4, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([session.draw_shape(rng, number % 2 == 0) for number in range(count)]))


def still(session: BodySession, count: int) -> torch.Tensor:
    return torch.eye(3).expand(count, len(session.joints), 3, 3)


def test_bundled_bodies_are_registered() -> None:
    assert set(FILES) <= set(NAMES)


def test_fulfils_the_protocol(body: Body) -> None:
    assert isinstance(body, Body)
    assert body.title and body.licence.endswith(".")


def test_session_is_sound(body: Body, session: BodySession) -> None:
    assert session.name == body.name and session.version and session.shapes > 0
    assert len(set(session.joints)) == len(session.joints) > 1
    assert session.faces.dtype == np.int64 and session.faces.ndim == 2 and session.faces.shape[1] == 3
    count = session.vertices(drawn(session)).shape[1]
    assert set(session.faces.ravel()) == set(range(count))  # no vertex hangs free


def test_shapes_and_types(session: BodySession) -> None:
    shape, rng = drawn(session), np.random.default_rng(1)
    assert shape.shape == (4, session.shapes) and shape.dtype == torch.float32
    pose = session.draw_pose(rng)
    assert pose.shape == (len(session.joints), 3, 3) and pose.dtype == np.float32
    canonical, moved = session.vertices(shape), session.posed(shape, torch.from_numpy(pose).expand(4, -1, -1, -1))
    assert canonical.shape == moved.shape == (4, session.faces.max() + 1, 3)
    assert canonical.dtype == moved.dtype == torch.float32


def test_people_are_people_in_metres_and_stand_along_z(session: BodySession) -> None:
    spans = np.ptp(session.vertices(drawn(session, 12)).numpy(), axis=1)
    assert (spans[:, 2] > 1.35).all() and (spans[:, 2] < 2.15).all()
    assert (spans[:, 2] > spans[:, 1]).all() and (spans[:, 0] > spans[:, 1]).all()  # arms to the sides, thin from front to back


def test_poses_are_rotations_and_natural(session: BodySession) -> None:
    rng = np.random.default_rng(2)
    poses = np.stack([session.draw_pose(rng) for _ in range(12)]).astype(np.float64)
    np.testing.assert_allclose(poses @ poses.swapaxes(2, 3), np.broadcast_to(np.eye(3), poses.shape), atol=1e-6)
    assert (np.linalg.det(poses) > 0).all()
    moved = session.posed(drawn(session, 12), torch.from_numpy(poses).float()).numpy()
    spans = np.ptp(moved, axis=1)
    assert (spans[:, 2] > 1.3).all(), "nobody lies or sits"
    assert (spans[:, 0] < 0.6 * spans[:, 2]).all(), "arms hang"


def test_rest_pose_is_the_canonical_one(session: BodySession) -> None:
    shape = drawn(session)
    torch.testing.assert_close(session.posed(shape, still(session, 4)), session.vertices(shape), atol=2e-6, rtol=0)


def test_turning_the_root_turns_the_whole_body(session: BodySession) -> None:
    shape = drawn(session, 1)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotations = still(session, 1).clone()
    rotations[:, 0] = turn
    rest, moved = session.vertices(shape)[0], session.posed(shape, rotations)[0]
    expected = (rest - rest.mean(0)) @ turn.T
    torch.testing.assert_close(moved - moved.mean(0), expected, atol=2e-6, rtol=0)


def test_gradients(session: BodySession) -> None:
    rng = np.random.default_rng(3)
    shape = drawn(session, 1).double().requires_grad_()
    rotations = torch.from_numpy(session.draw_pose(rng))[None].double().requires_grad_()
    picked = torch.from_numpy(rng.choice(int(session.faces.max()) + 1, 3, replace=False))
    # Few numbers at random vertices: a whole Jacobian of a mesh would take minutes. 1e-6 m is where float64's differences are exact.
    assert torch.autograd.gradcheck(lambda s: session.vertices(s)[:, picked], shape, fast_mode=True)
    assert torch.autograd.gradcheck(lambda s, r: session.posed(s, r)[:, picked], (shape, rotations), fast_mode=True)


def test_same_seed_same_people(session: BodySession) -> None:
    assert torch.equal(drawn(session), drawn(session))
    assert not torch.equal(drawn(session), drawn(session, seed=1))
    first, again, other = (session.draw_pose(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_opening_again_gives_the_same_model(body: Body, session: BodySession, tmp_path: Path) -> None:
    again = body.open(FILES[body.name](tmp_path))
    assert (again.version, again.shapes, again.joints) == (session.version, session.shapes, session.joints)
    assert torch.equal(again.vertices(drawn(session)), session.vertices(drawn(session)))


def test_measurements(session: BodySession) -> None:
    shape = drawn(session, 6)
    found = session.measure(shape)
    assert {*MEASURES, *REPORTED} <= set(found)
    assert all(value.shape == (6,) and value.dtype == torch.float32 for value in found.values())
    assert [name for name, value in found.items() if not (torch.isfinite(value).all() and (value > 0).all())] == []
    z = session.vertices(shape)[..., 2]
    torch.testing.assert_close(found["stature_m"], z.amax(1) - z.amin(1), atol=1e-5, rtol=0)
    assert len(set(found["mass_kg"].tolist())) == 6


def test_a_measurement_does_not_depend_on_the_batch(session: BodySession) -> None:
    shape = drawn(session, 3).requires_grad_()
    together, alone = session.measure(shape), session.measure(shape[1:2])
    assert {name: value[1].item() for name, value in together.items()} == {name: value[0].item() for name, value in alone.items()}
    assert not any(value.requires_grad for value in together.values())


def test_an_unknown_file_is_refused(body: Body, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        body.open(tmp_path / "gone.pkl")
    assert str(tmp_path / "gone.pkl") in caught.value.what and caught.value.remedy


def test_the_licence_is_said_once_per_command(body: Body) -> None:
    said: list[str] = []
    for _ in range(2):
        begin_command()
        for _ in range(3):
            licence_once(body, said.append)
    assert said == [body.licence] * 2
