"""Tables of bodies beside rendered pictures: measurements, words against the population's medians, whose picture is whose, and faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from reidclip.bodies import population
from reidclip.bodies.body_table import BodyTable, table_of, write_bodies
from reidclip.bodies.mesh_set import open_bodies, open_meshes
from reidclip.bodies.phrases import MEASURES, PAIRS
from reidclip.bodies.spec import open_body
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.stages.synth import plan_synth, synth
from reidclip.stages.synth_meshes import synth_meshes
from reidclip.synth.body import body_model
from reidclip.synth.people import Person
from tests.core.synth_fixtures import records, tree

PEOPLE = {"layout": "market1501", "ids": 3, "test_ids": 2, "cameras": 3, "images_per_camera": 1, "size": (64, 32), "seed": 5}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("people") / "set"
    synth(out, distractors=3, junk=3, **PEOPLE)
    return out


@pytest.fixture
def copy(people: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(people, tmp_path / "copy"))


class Rulers:
    """A body model whose measurements are its shape parameters, all on a grid: draws tie now and then."""

    name, version, shapes, joints, faces = "rulers", "1", len(MEASURES), (), np.zeros((0, 3), np.int64)

    def __init__(self, step: float) -> None:
        self.step, self.version = step, f"rulers {step}"

    def draw_shape(self, rng: np.random.Generator, female: bool) -> np.ndarray:
        values = rng.normal(1.0 if female else 2.0, 1.0, self.shapes)
        return (np.round(values / self.step) * self.step).astype(np.float32)

    def measure(self, shape: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: shape[:, i] for i, name in enumerate(MEASURES)}


# ------------------------------------------------------------------------------------------------------------------ words
def test_words_follow_from_measurements(tmp_path: Path) -> None:
    """Shapes, measured by the body model itself one by one, against the table's medians."""
    synth_meshes(tmp_path / "set", ids=6, test_ids=0, poses=1, size=(32, 16), seed=8)
    table, body = open_meshes(tmp_path / "set").table, open_body("anny")
    assert (table.body, table.version) == (body.name, body.version)
    assert table.shape.shape == (6, body.shapes) and table.choices.shape == (6, 16)
    for row in range(6):
        measured = body.measure(torch.from_numpy(table.shape[row : row + 1]))
        for number, pair in enumerate(PAIRS):
            value = float(measured[pair.measure])
            assert table.measures[pair.measure][row] == pytest.approx(value, rel=1e-6)
            assert table.choices[row, number] == (0 if value > table.thresholds[pair.measure] else 1)
    assert {0, 1} == set(table.choices.ravel().tolist())


def test_half_of_the_population_lies_above_each_threshold() -> None:
    body = Rulers(1e-6)
    table = table_of(body, population.draw_shapes(body, population.POPULATION_SEED, population.POPULATION_SIZE), {})
    assert (table.choices == 0).sum(0).tolist() == [500] * 16
    assert table.ties == {}
    first = table_of(body, table.shape[:10], {})  # words do not depend on who else is in the table
    np.testing.assert_array_equal(first.choices, table.choices[:10])


def test_bodies_on_the_median_get_the_second_phrase_and_are_told() -> None:
    body = Rulers(0.5)
    table = table_of(body, population.draw_shapes(body, 1, 200), {})
    for number, name in enumerate(MEASURES):
        on = table.measures[name] == np.float32(table.thresholds[name])
        assert table.ties.get(name, 0) == on.sum()
        assert (table.choices[on, number] == 1).all()
    assert len(table.ties) > 8


def test_kept_medians_are_those_of_the_measurements_as_defined_now() -> None:
    """Else they are computed for ten seconds wherever they are needed: run examples/bake_bodies/medians.py."""
    kept = population.recorded(open_body("anny"))
    assert kept is not None and set(MEASURES) <= set(kept)


@pytest.mark.slow
def test_kept_medians_are_the_populations() -> None:
    body = open_body("anny")
    computed, kept = population.computed_medians(body), population.recorded(body)
    assert kept is not None
    for name, value in computed.items():
        assert kept[name] == pytest.approx(value, rel=1e-6)


# ----------------------------------------------------------------------------------------------------------------- people
def test_people_have_the_bodies_that_were_dressed(people: Path) -> None:
    table, body = open_bodies(people), open_body("anny")
    assert table is not None and table.shape.shape == (3, body.shapes)
    plan, model = plan_synth(distractors=3, junk=3, **PEOPLE), body_model()
    middle = []
    for pid in (1, 2, 3):
        person = Person(model, plan, pid)
        points = body.vertices(torch.from_numpy(table.shape[pid - 1 : pid]))[0].numpy()
        apart = points - person.shape.vertices[model.body.rows]
        middle.append(apart.mean(0))
        assert np.abs(apart - apart.mean(0)).max() < 1e-5  # the same, wherever the body model puts the origin
        assert table.measures["stature_m"][pid - 1] == pytest.approx(person.measurements["stature_m"], abs=1e-4)
        assert table.measures["shoulder_ratio"][pid - 1] == pytest.approx(person.measurements["shoulder_ratio"], abs=1e-4)


def test_pictures_of_nobody_and_of_bad_boxes_have_no_body(people: Path) -> None:
    table = open_bodies(people)
    assert table is not None
    named = {r["path"]: r["pid"] for r in records(people)}
    assert {path: row + 1 for path, row in table.rows.items()} == {path: pid for path, pid in named.items() if pid > 0}
    assert {pid for pid in named.values() if pid < 1} == {0, -1}


def test_finished_sets_get_the_table_without_being_rendered(copy: Path, people: Path) -> None:
    for name in ("bodies.json", "bodies.safetensors"):
        (copy / name).unlink()
    assert open_bodies(copy) is None
    before = open_dataset(copy).fingerprint
    assert synth(copy, distractors=3, junk=3, **PEOPLE).rendered == 0
    assert tree(copy) == tree(people)
    assert open_dataset(copy).fingerprint == before


# ----------------------------------------------------------------------------------------------------------------- faults
def test_what_is_written_is_read(people: Path, copy: Path) -> None:
    table = open_bodies(people)
    assert table is not None
    write_bodies(copy, table)
    assert tree(copy) == tree(people)
    assert same(open_bodies(copy), table)


def same(a: BodyTable | None, b: BodyTable) -> bool:
    assert a is not None
    arrays = ((a.shape, b.shape), (a.choices, b.choices), *((a.measures[name], b.measures[name]) for name in b.measures))
    rest = (a.body, a.version, a.thresholds, a.rows) == (b.body, b.version, b.thresholds, b.rows)
    return rest and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in arrays)


def lose_the_table(root: Path) -> None:
    (root / "bodies.safetensors").unlink()


def lose_the_map(root: Path) -> None:
    (root / "bodies.json").unlink()


def cut_the_table(root: Path) -> None:
    file = root / "bodies.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def change_arrays(change: Callable[[dict[str, np.ndarray]], object], about: dict[str, object] | None = None) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        file = root / "bodies.safetensors"
        arrays, told = load_file(file), {"format": 1, "body": "anny", "version": "1", "measures": list(open_bodies(root).measures)}
        change(arrays)
        save_file(arrays, file, {"bodies": json.dumps(told | (about or {}))})

    return spoil


def without_a_measurement(root: Path) -> None:
    table = open_bodies(root)
    assert table is not None
    names = ["other" if name == "bmi" else name for name in table.measures]
    change_arrays(lambda a: None, {"measures": names})(root)


def foreign_table(root: Path) -> None:
    save_file({"shape": np.zeros((3, 2), np.float32)}, root / "bodies.safetensors")


def break_the_map(root: Path) -> None:
    (root / "bodies.json").write_text("{")


def row_beyond(root: Path) -> None:
    content = json.loads((root / "bodies.json").read_text())
    content["rows"][next(iter(content["rows"]))] = 3
    (root / "bodies.json").write_text(json.dumps(content))


def other_parameters(root: Path) -> None:
    file = root / "synth.json"
    file.write_text(file.read_text().replace('"seed": 5', '"seed": 6'))


def lose_a_picture(root: Path) -> None:
    next((root / "query").iterdir()).unlink()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lose_the_table, "There is no .*bodies.safetensors"),
        (lose_the_map, "There is no .*bodies.json"),
        (cut_the_table, "bodies.safetensors is no readable table of bodies"),
        (foreign_table, "bodies.safetensors is no readable table of bodies"),
        (change_arrays(lambda a: a.update(choices=a["choices"][:2])), "choices has the shape"),
        (change_arrays(lambda a: None, {"format": 2}), "its format is 2, this toolkit reads 1"),
        (change_arrays(lambda a: None, {"body": None}), "does not name its body model"),
        (without_a_measurement, "it lacks the measurement bmi"),
        (break_the_map, "bodies.json is no readable map"),
        (row_beyond, "a row is not between 0 and 2"),
        (other_parameters, "tells of the bodies of another set"),
        (lose_a_picture, "tells of pictures that are not there: 1, the first is query/"),
    ],
)
def test_faults(spoil: Callable[[Path], None], what: str, copy: Path) -> None:
    spoil(copy)
    with pytest.raises(UserError, match=what) as error:
        open_bodies(copy)
    assert "reidclip synth" in error.value.remedy
    assert ("delete it" in error.value.remedy) == (spoil not in (lose_the_table, lose_the_map, lose_a_picture)), "nothing to delete there"
