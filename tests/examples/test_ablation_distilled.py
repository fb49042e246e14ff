"""Tables with distilled rows: where their teachers come from, what is shared, what the networks cost, and what such a table may not say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from ablation.rows import rows_of
from ablation.table_file import read_table
from safetensors import safe_open

from reidclip.artifacts.store import Artifact, Store
from tests.examples.test_ablation import RUN, folders, result, run, write_place

HEAD = """
title = "Students"
data = "prcc"
seeds = [0, 1]
network_costs = true
[settings.common]
clip = "tiny.safetensors"
student = "random:timm:test_vit"
height = 32
width = 16
epochs = 1
sampler = "pk"
identities = 2
images_per_identity = 2
pad = 2
[settings.evaluate]
resamples = 0
[[row]]
name = "teacher"
method = "baseline"
"""
DISTILLED = """
[[row]]
name = "labels alone"
method = "rkd"
teacher = "teacher"
distill = { feature_weight = 0.0, distance_weight = 0.0, angle_weight = 0.0, similarity_weight = 0.0 }
[[row]]
name = "distilled"
method = "rkd"
teacher = "teacher"
[[row]]
name = "words = {}"
method = "clip3dreid"
recipe = ""
common = { teacher = "tiny.safetensors" }
distill = { lambda_3d = 0.0, head_hidden = 8, feature_width = 12 }
sweep = { "distill.lambda_ot" = [0.3, 3.0] }
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_place(tmp_path_factory.mktemp("distilled"))
    (place / "d.toml").write_text(HEAD + DISTILLED)
    place.joinpath("plan.txt").write_text(run(place, "d.toml", "--dry-run", "--no-trial")[0])
    place.joinpath("told.txt").write_text(run(place, "d.toml")[0])
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_place(tmp_path)


def checkpoint_of(place: Path, row: str, seed: int) -> Artifact:
    store = Store(place / "artifacts")
    found = next(r for r in result(place, "d")["rows"] if r["name"] == row)
    (used,) = (i for i in store.open(found["evaluations"][str(seed)]).manifest.inputs if i.role == "checkpoint")
    return next(a for a in store.list("checkpoint") if a.digest == used.digest)


class TestTable:
    def test_a_student_is_taught_by_the_checkpoint_of_its_own_seed(self, finished: Path) -> None:
        for row in ("labels alone", "distilled"):
            teachers = [next(i.digest for i in checkpoint_of(finished, row, s).manifest.inputs if i.role == "teacher") for s in (0, 1)]
            assert teachers == [checkpoint_of(finished, "teacher", seed).digest for seed in (0, 1)] and len(set(teachers)) == 2

    def test_pictures_are_described_once_for_all_rows_and_seeds(self, finished: Path) -> None:
        used = {
            next(i.digest for i in checkpoint_of(finished, f"words = {value}", seed).manifest.inputs if i.role == "descriptions")
            for value in (0.3, 3.0)
            for seed in (0, 1)
        }
        (made,) = Store(finished / "artifacts").list("descriptions")
        assert used == {made.digest}

    def test_the_plan_is_what_is_made(self, finished: Path) -> None:
        plan, made = (finished / "plan.txt").read_text(), folders(finished)
        for kind, names in made.items():
            assert f"{kind}: {len(names)} to be had, 0 done" in plan
        assert re.search(r"checkpoint/baseline-s0-\w+ is shared by distilled, labels alone, teacher", plan)
        assert re.search(r"distilled: rkd, \d+ iterations of 4 pictures, distilled from teacher, compared with labels alone", plan)
        assert re.search(r"words = 0.3: clip3dreid, .* distilled from tiny.safetensors", plan)

    def test_costs_are_those_of_what_inference_reads(self, finished: Path) -> None:
        told, table = (finished / "told.txt").read_text(), result(finished, "d")
        for row in table["rows"]:
            checkpoint, cost = checkpoint_of(finished, row["name"], 0), table["network_costs"][row["name"]]
            with safe_open(checkpoint.file("encoder.safetensors"), framework="np") as file:
                assert cost["parameters"] == sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
            assert cost["image_size"] == [32, 16] and cost["flops"] > 0
        costs = told.split("## What the networks cost")[1]
        assert all(f"| {row['name']} | {table['network_costs'][row['name']]['parameters'] / 1e6:.2f} |" in costs for row in table["rows"])

    def test_time_is_taken_of_teacher_and_student(self, finished: Path) -> None:
        (finished / "short.toml").write_text(HEAD + DISTILLED.split('[[row]]\nname = "words')[0])
        told = run(finished, "short.toml", "--dry-run", "--seeds", "2")[0]
        assert re.search(r"6 steps to do, about \d+ s$", told.strip()), told


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('method = "rkd"', "Row 'x' distils a checkpoint, and names none. Give it teacher = one of teacher."),
        ('method = "rkd"\nteacher = "techer"', "Row 'x' has 'techer' as its teacher, no trained row above. Did you mean 'teacher'?"),
        ('method = "rkd"\nteacher = "x"', "Row 'x' has 'x' as its teacher, no trained row above."),
        ('method = "baseline"\nteacher = "teacher"', "Row 'x' names a row as its teacher, but distils no checkpoint."),
        ('method = "clip3dreid"\nrecipe = ""', "Row 'x' is distilled with rendered bodies, and the table names none."),
        ('method = "rkd"\nteacher = "teacher"\nfinetune = { lr = 1.0 }', "Row 'x' is distilled, but has settings of finetune."),
        ('method = "baseline"\ndistill = { lr = 1.0 }', "Row 'x' is fine-tuned, but has settings of distill."),
        ('method = "rkd"\nteacher = "teacher"\ndistill = { feature_wight = 1 }', "Did you mean 'feature_weight'?"),
        ('method = "rkd"\nteacher = "teacher"\ndistill = { blur_faces = true }', "Row 'x' blurs faces, for which a table has no parsing."),
        (
            'method = "rkd"\nteacher = "teacher"\ndistill = { epochs = 2 }\n[[row]]\nname = "y"\nmethod = "rkd"\nteacher = "teacher"',
            "The rows do not distill alike",
        ),
    ],
)
def test_a_wrong_row_says_what_to_do(place: Path, row: str, sentence: str) -> None:
    (place / "d.toml").write_text(f'{HEAD}[[row]]\nname = "x"\n{row}\n')
    assert sentence in " ".join(run(place, "d.toml", code=2)[1].split())
    assert not (place / "artifacts").exists()


def test_meshes_are_named_by_the_table() -> None:
    """Of table 10 the rows without mesh pictures are those that read none."""
    rows = {row.name: row for row in rows_of(read_table(RUN.parent / "clip3dreid-table10.toml"))}
    assert {name for name, row in rows.items() if not (row.needs and row.needs.meshes)} == {"labels alone", "without L_3D"}
