"""`reidclip synth --meshes`: pictures, reproducibility, going on after a kill, splits and what other commands make of the folder."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reidclip.bodies import population
from reidclip.bodies.mesh_set import MeshSet, open_meshes
from reidclip.bodies.spec import open_body
from reidclip.cli.app import app
from reidclip.data.images import read_picture
from reidclip.data.open import layout_of, open_dataset, open_pictures
from reidclip.data.source import ImageSource
from reidclip.errors import UserError
from reidclip.stages.synth_meshes import synth_meshes
from reidclip.synth.camera import View
from reidclip.synth.mesh_plan import SIDES, side_of
from reidclip.synth.mesh_render import MeshRenderer, openings
from tests.core.synth_fixtures import records, tree
from tests.smpl_file import smpl_arrays, write_npz

RUN = CliRunner().invoke
SIZE = (64, 32)
SMALL = {"ids": 4, "test_ids": 2, "poses": 2, "size": SIZE, "seed": 3}
FRONT = View(azimuth=0, elevation=0, distance=6, top=0.05, bottom=0.05, aspect=0.45, shift=0)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the command, in one process."""
    out = tmp_path_factory.mktemp("meshes") / "set"
    call = ["synth", str(out), "--meshes", "--ids", "4", "--test-ids", "2", "--poses", "2", "--size", "64x32", "--seed", "3", "--json"]
    result = RUN(app, call)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["layout"], told["identities"], told["pictures"], told["rendered"]) == ("meshes", 4, 8, 8)
    assert "CC0" in result.stderr  # the licence of the body's data
    return out


@pytest.fixture(scope="module")
def meshes(rendered: Path) -> MeshSet:
    return open_meshes(rendered)


# ------------------------------------------------------------------------------------------------------------------ the set
def test_half_of_either_sex_is_held_out(meshes: MeshSet, rendered: Path) -> None:
    sexes = {r["path"]: r["gender"] for r in records(rendered)}
    for split in ("train", "test"):
        samples = meshes.dataset.split(split)
        assert Counter(sexes[s.path] for s in samples) == {"female": 2, "male": 2}
    assert {s.pid for s in meshes.dataset.split("train")} == {1, 2}
    assert {s.pid for s in meshes.dataset.split("test")} == {3, 4}


def test_samples_are_rows_of_the_table(meshes: MeshSet, rendered: Path) -> None:
    told = {r["path"]: r for r in records(rendered)}
    assert set(meshes.table.rows) == {s.path for s in meshes.dataset.samples} == set(told)
    for sample in meshes.dataset.samples:
        record = told[sample.path]
        assert meshes.table.rows[sample.path] == sample.pid - 1 == record["pid"] - 1
        assert sample.camid == record["camid"] == side_of(record["view"]["azimuth_deg"])
        assert sample.clothes_id == -1
    source = ImageSource.of(meshes.dataset, meshes.dataset.split("train"))
    assert source.decode(0).shape == (*SIZE, 3)


def test_sides() -> None:
    assert [SIDES[side_of(a)] for a in (0, 44, 46, 90, -90, 180, -180, 225 + 1, -44)] == [
        "front", "front", "left", "left", "right", "back", "back", "right", "front",
    ]  # fmt: skip


def test_a_body_does_not_depend_on_what_else_is_rendered(meshes: MeshSet, tmp_path: Path) -> None:
    synth_meshes(tmp_path / "more", **{**SMALL, "ids": 5, "poses": 1})
    table = open_meshes(tmp_path / "more").table
    np.testing.assert_array_equal(table.shape[:4], meshes.table.shape)
    np.testing.assert_array_equal(table.choices[:4], meshes.table.choices)
    assert table.thresholds == meshes.table.thresholds


# ------------------------------------------------------------------------------------------------------- the same every time
def test_processes_do_not_change_a_byte(rendered: Path, tmp_path: Path) -> None:
    assert synth_meshes(tmp_path / "two", workers=2, **SMALL).rendered == 8
    assert tree(tmp_path / "two") == tree(rendered)


def test_damage_is_mended(rendered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(rendered, copy)
    next((copy / "meshes" / "train").glob("0002_*")).unlink()
    (copy / "bodies.json").unlink()
    seen: list[tuple[int, int]] = []
    assert synth_meshes(copy, progress=lambda done, total: seen.append((done, total)), **SMALL).rendered == 2
    assert seen == [(8, 8)]
    assert tree(copy) == tree(rendered)


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="kills a copy of this process, which has torch already")
def test_killed_run_goes_on(tmp_path: Path) -> None:
    parameters = {"ids": 16, "test_ids": 0, "poses": 1, "size": SIZE}
    out = tmp_path / "killed"
    run = get_context("fork").Process(target=synth_meshes, args=(out,), kwargs=parameters)
    run.start()
    deadline = time.monotonic() + 120
    while len(list(out.glob(".synth/*.jsonl"))) < 2 and run.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    run.kill()
    run.join()
    with pytest.raises(UserError, match="not finished"):
        open_meshes(out)
    assert 0 < synth_meshes(out, **parameters).rendered < 16
    synth_meshes(tmp_path / "whole", **parameters)
    assert tree(out) == tree(tmp_path / "whole")


# ---------------------------------------------------------------------------------------------------------- users' own bodies
def test_bodies_of_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "POPULATION_SIZE", 20)
    monkeypatch.setattr(population, "_known", {})
    file, other = write_npz(tmp_path / "female.npz"), write_npz(tmp_path / "wider.npz", **wider())
    synth_meshes(tmp_path / "set", body=f"smpl:{file}", **SMALL)
    table = open_meshes(tmp_path / "set").table
    assert table.body == "smpl" and table.shape.shape == (4, 10)
    assert not [path for path, content in tree(tmp_path / "set").items() if str(tmp_path).encode() in content]
    with pytest.raises(UserError, match="rendered with other parameters: body_version"):
        synth_meshes(tmp_path / "set", body=f"smpl:{other}", **SMALL)


def wider() -> dict[str, np.ndarray]:
    template = smpl_arrays()["v_template"].copy()
    template[:, 0] *= 1.1
    return {"v_template": template}


# ------------------------------------------------------------------------------------------------------------------ pictures
def test_whole_bodies_are_seen_in_grey(rendered: Path) -> None:
    body = open_body("anny")
    renderer = MeshRenderer(body.faces)
    rng = np.random.default_rng(0)
    shape = torch.from_numpy(body.draw_shape(rng, True))[None]
    points = body.vertices(shape)[0].numpy()
    image = renderer.render(points, FRONT, np.random.default_rng(5), 256, 128)
    np.testing.assert_array_equal(image[:, :, 0], image[:, :, 2])
    grey = read_picture(rendered / records(rendered)[0]["path"]).astype(int)
    assert np.ptp(grey, axis=2).max() <= 2  # as far as JPEG keeps grey grey
    # A wall with a plain slope; what departs from it is the body, from 5 % below the upper edge to 5 % above the lower one.
    down, across = np.mgrid[-1:1:256j, -1:1:128j]
    basis = np.stack([np.ones_like(down), down, across], -1)
    corners = np.r_[0:9, 247:256]
    wall, *_ = np.linalg.lstsq(basis[corners].reshape(-1, 3), image[corners, :, 0].reshape(-1).astype(float), rcond=None)
    body_rows = np.nonzero((np.abs(image[:, :, 0] - basis @ wall) > 4).any(1))[0]
    assert 9 <= body_rows[0] <= 14 and 241 <= body_rows[-1] <= 246


def test_a_ball_is_round_and_has_no_holes() -> None:
    """A closed surface and the same one with a piece cut out give the same outline: what is open is covered."""
    points, faces = ball()
    pole = faces[(points[faces][:, :, 1] > -0.9).any(1)]  # without the cap that looks at the camera
    (rim,) = openings(pole)
    assert len(rim) > 5 and openings(faces) == []
    view = View(azimuth=0, elevation=0, distance=50, top=0.1, bottom=0.1, aspect=1, shift=0)
    outlines = []
    for surface in (faces, pole):
        image = MeshRenderer(surface).render(points, view, Dark(), 80, 80)
        seen = (image[:, :, 0] > 0).astype(np.uint8)
        assert cv2.connectedComponents(1 - seen)[0] == 2  # the wall alone: no hole in it
        outlines.append(seen)
    np.testing.assert_array_equal(outlines[0], outlines[1])
    radius = 40 / 1.2
    assert abs(outlines[0].sum() - np.pi * radius**2) < 0.02 * np.pi * radius**2 + 2 * np.pi * radius


def test_faces_seen_from_inside_do_not_show() -> None:
    points, faces = ball()
    view = View(azimuth=0, elevation=0, distance=50, top=0.1, bottom=0.1, aspect=1, shift=0)
    lit, turned = (MeshRenderer(f).render(points, view, Dark(), 80, 80) for f in (faces, faces[:, ::-1]))
    assert (lit[30:50, 30:50] > 60).all()
    assert not np.array_equal(lit, turned)


class Dark(np.random.Generator):
    """Draws a black wall, and light as from a stream of its own."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(1))

    def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[no-untyped-def]
        return np.array([0.0, 0.0, 0.0]) if np.ndim(low) else super().uniform(low, high, size)


def ball(rows: int = 12, columns: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A unit ball around (0, 0, 1) as (V, 3) points and (F, 3) triangles that face outwards."""
    up, round_ = np.meshgrid(np.linspace(0, np.pi, rows + 1)[1:-1], np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij")
    ring = np.stack([np.sin(up) * np.cos(round_), np.sin(up) * np.sin(round_), np.cos(up)], -1).reshape(-1, 3)
    points = np.concatenate([ring, [[0, 0, 1], [0, 0, -1]]]) + np.array([0, 0, 1])
    top, bottom = len(ring), len(ring) + 1
    faces = []
    for c in range(columns):
        n = (c + 1) % columns
        faces += [(top, c, n), (bottom, (rows - 2) * columns + n, (rows - 2) * columns + c)]
        for r in range(rows - 2):
            a, b, e, d = r * columns + c, r * columns + n, (r + 1) * columns + c, (r + 1) * columns + n
            faces += [(a, e, d), (a, d, b)]
    return points.astype(np.float32), np.array(faces)


# ------------------------------------------------------------------------------------------------------------ other commands
def test_it_is_no_data_set_of_people(rendered: Path) -> None:
    assert layout_of(rendered) is None
    with pytest.raises(UserError) as error:
        open_dataset(rendered)
    assert "renders of bare bodies" in error.value.remedy and "distill --meshes" in error.value.remedy
    assert len(open_pictures(rendered).samples) == 8  # for commands that need no labels


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--meshes", "--dry-run"])
    told = json.loads(result.stdout)
    assert (told["ids"], told["test_ids"], told["poses"], told["pictures"], told["body"]) == (1000, 100, 10, 10000, "anny")
    assert not (tmp_path / "set").exists()


# -------------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--meshes", "--layout", "ltcc", "--style", "even"], "--meshes renders bare bodies and has no --layout, --style."),
        (["--meshes", "--preset", "synthcc"], "--meshes renders bare bodies and has no --preset."),
        (["--poses", "3", "--body", "anny"], "--body, --poses: only for renders of bare bodies."),
        (["--meshes", "--body", "any"], "There is no body 'any'."),
        (["--meshes", "--body", "anny:file"], "The body model anny reads no file"),
        (["--meshes", "--ids", "3", "--test-ids", "4"], "test_ids must lie between 0 and ids (3), not 4."),
        (["--meshes", "--size", "8x8"], "size must lie between 32x16 and 2048x2048, not 8x8."),
    ],
)
def test_wrong_calls(words: list[str], what: str, tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), *words])
    assert isinstance(result.exception, UserError)
    assert result.exception.what.startswith(what) and result.exception.remedy
    assert not (tmp_path / "set").exists()


def test_other_parameters_are_refused(rendered: Path) -> None:
    before = tree(rendered)
    with pytest.raises(UserError, match=r"rendered with other parameters: poses 2 \(now 3\)"):
        synth_meshes(rendered, **{**SMALL, "poses": 3})
    with pytest.raises(UserError, match="rendered with other parameters"):
        RUN(app, ["synth", str(rendered), "--ids", "4"], catch_exceptions=False)
    assert tree(rendered) == before


def test_folders_that_are_no_mesh_sets(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, what in (("nowhere", "There is no folder"), ("empty", "is no set of mesh renders")):
        with pytest.raises(UserError, match=what) as error:
            open_meshes(tmp_path / folder)
        assert "reidclip synth DIR --meshes" in error.value.remedy
    copy = tmp_path / "copy"
    shutil.copytree(rendered, copy)
    (copy / "bodies.json").unlink()
    (copy / "bodies.safetensors").unlink()
    with pytest.raises(UserError, match="lacks the table of its bodies"):
        open_meshes(copy)
