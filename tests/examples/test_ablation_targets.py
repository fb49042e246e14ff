"""Tables over domains: every data set left out in turn, the average over them, and several processes at one table."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ablation.make
import numpy as np
import pytest
from ablation.comparer import Comparer
from ablation.scores import differences, read_scores
from ablation.student import t_interval
from PIL import Image

from reidclip.artifacts.lock import exclusive
from reidclip.artifacts.store import Store
from reidclip.data.open import open_dataset
from tests.examples.test_ablation import COMMON, RUN, folders, result, run
from tests.fakes import draw_person, environment, write_tiny_clip

DOMAINS = ("north", "east", "south")
TABLE = """
title = "Domains"
data = ["data/north", "data/east", "data/south"]
leave_one_out = true
recipe = ""
seeds = [0, 1]
protocols = ["general"]
[settings.common]
clip = "tiny.safetensors"
height = 32
width = 16
[settings.prompt-learn]
epochs = 2
[settings.finetune]
epochs = 2
identities = 3
images_per_identity = 2
pad = 2
lr = 0.01
[settings.evaluate]
resamples = 0
[[row]]
name = "zero-shot"
method = "zero-shot"
[[row]]
name = "baseline"
method = "baseline"
[[row]]
name = "clipreid"
method = "clipreid"
[[row]]
name = "clipreid, faster"
method = "clipreid"
finetune = { lr = 0.03 }
compare_with = "clipreid"
"""


def write_market(root: Path, first: int, queries: int) -> Path:
    """A Market-1501 tree of three training people and ``queries`` test people; other numbers, other people and places."""
    for number in range(3 + queries):
        train = number < 3
        for camera, frame in ((c, f) for c in range(2) for f in range(2)):
            folder = "bounding_box_train" if train else ("query" if (camera, frame) == (0, 0) else "bounding_box_test")
            path = root / folder / f"{first + number:04d}_c{camera + 1}s1_{frame + 1:06d}_01.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture, _ = draw_person(first + number, 0, first + camera, frame)
            Image.fromarray(picture).save(path)
    return root


def write_place(folder: Path) -> Path:
    for number, name in enumerate(DOMAINS):
        write_market(folder / "data" / name, 1 + 100 * number, queries=3 + number)
    write_tiny_clip(folder / "tiny.safetensors")
    (folder / "d.toml").write_text(TABLE)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table, made in two parts: one target alone, then the rest."""
    place = write_place(tmp_path_factory.mktemp("domains"))
    run(place, "d.toml", "--targets", "3")
    place.joinpath("part.json").write_text((place / "ablations/d/table.json").read_text())
    place.joinpath("told.txt").write_text(run(place, "d.toml")[0])
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_place(tmp_path)


def row_of(table: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = (row for row in table["rows"] if row["name"] == name)
    return dict(row)


class TestTable:
    def test_every_target_is_evaluated_by_what_saw_all_others(self, finished: Path) -> None:
        store = Store(finished / "artifacts")
        for row in result(finished, "d")["rows"]:
            assert list(row["targets"]) == list(DOMAINS)
            for target, found in row["targets"].items():
                for ref in found["evaluations"].values():
                    evaluation = store.open(ref).manifest
                    assert evaluation.dataset and evaluation.dataset.fingerprint == open_dataset(finished / "data" / target).fingerprint
                    if row["name"] != "zero-shot":
                        (trained,) = (i for i in evaluation.inputs if i.role == "checkpoint")
                        made = store.open(f"checkpoint/{trained.ref}").manifest.dataset
                        assert made and set(made.sources) == set(DOMAINS) - {target}

    def test_the_average_is_that_of_every_seed(self, finished: Path) -> None:
        for row in result(finished, "d")["rows"]:
            for metric in ("R1", "mAP"):
                runs = [row["targets"][target]["protocols"]["general"][metric]["runs"] for target in DOMAINS]
                expected = [sum(of_seed) / 3 for of_seed in zip(*runs, strict=True)]
                average = row["average"]["general"][metric]
                assert average["runs"] == pytest.approx(expected) and average["mean"] == pytest.approx(sum(expected) / len(expected))
                interval = t_interval(expected)
                assert average["interval"] == (None if interval is None else pytest.approx(list(interval)))

    def test_the_paired_difference_is_that_of_the_averages(self, finished: Path) -> None:
        """Targets have 3, 4 and 5 queries and weigh the same."""
        table = result(finished, "d")
        for name, other in (("baseline", "zero-shot"), ("clipreid, faster", "clipreid")):
            this, that = row_of(table, name), row_of(table, other)
            assert this["compared_with"] == other
            for metric in ("R1", "mAP"):
                expected = this["average"]["general"][metric]["mean"] - that["average"]["general"][metric]["mean"]
                paired = this["paired"]["general"][metric]
                assert paired["difference"] == pytest.approx(expected, abs=1e-6) and 0 < paired["p_identities"] <= 1
                assert paired["seeds"] == 2 and paired["identities"] <= 3 + 4 + 5

    def test_rows_share_prompts(self, finished: Path) -> None:
        found = folders(finished)
        assert {kind: len(names) for kind, names in found.items()} == {"prompts": 6, "checkpoint": 18, "evaluation": 3 + 18}
        assert sum("-to-north-" in name for name in found["checkpoint"]) == 6

    def test_one_target_alone_is_no_average(self, finished: Path) -> None:
        """Its evaluations stand in the table, and nothing is said of the average."""
        part = json.loads((finished / "part.json").read_text())
        assert part["missing"] == 2 * 4 * 2
        assert [list(row["targets"]) for row in part["rows"]] == [["south"]] * 4
        assert all(row["average"] == {} and row["compared_with"] is None for row in part["rows"])
        whole = row_of(result(finished, "d"), "baseline")
        assert part["rows"][1]["targets"]["south"] == whole["targets"]["south"]

    def test_markdown(self, finished: Path) -> None:
        told = (finished / "told.txt").read_text()
        head = "| row | seeds | north, R1 / mAP | east, R1 / mAP | south, R1 / mAP | R1 | mAP | compared with | ΔR1 | ΔmAP |"
        assert head in told and "## general, target east" in told
        table = result(finished, "d")
        row = row_of(table, "baseline")
        line = next(line for line in told.splitlines() if line.startswith("| baseline | 2 |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for cell, target in zip(cells[2:5], DOMAINS, strict=True):
            means = [100 * row["targets"][target]["protocols"]["general"][metric]["mean"] for metric in ("R1", "mAP")]
            assert cell == f"{means[0]:.1f} / {means[1]:.1f}"
        assert cells[5].startswith(f"{100 * row['average']['general']['R1']['mean']:.1f} [")

    def test_a_second_run_makes_nothing(self, finished: Path) -> None:
        before = folders(finished)
        assert "[" not in run(finished, "d.toml")[1] and folders(finished) == before
        told = run(finished, "d.toml", "--dry-run")[0]
        assert told.count("Everything is done.") == 4 and "target north: trained on east, south" in told


class TestComparison:
    def test_people_of_two_targets_are_two_people(self, finished: Path) -> None:
        """By hand: three queries of three people each, the same numbers on both sides; six people decide, so p may reach 2/64."""
        store = Store(finished / "artifacts")
        rows = {row["name"]: row for row in result(finished, "d")["rows"]}
        this, other = (
            tuple(store.open(rows[name]["targets"][target]["evaluations"]["0"]) for target in ("north", "south"))
            for name in ("baseline", "zero-shot")
        )
        pairs = [differences(read_scores(a, "general"), read_scores(b, "general"), "mAP") for a, b in zip(this, other, strict=True)]
        expected = np.mean([values.mean() for _, _, values in pairs])
        found = Comparer(99).compare([(this, other)], "general", "mAP")
        assert found.difference == pytest.approx(expected, abs=1e-9)
        assert found.identities == sum(len(set(pids[np.abs(values) > 1e-9])) for _, pids, values in pairs)
        twice = Comparer(99).compare([((this[0], this[0]), (other[0], other[0]))], "general", "mAP")
        once = Comparer(99).compare([((this[0],), (other[0],))], "general", "mAP")
        assert twice.identities == 2 * once.identities and twice.difference == pytest.approx(once.difference)
        assert math.isclose(twice.p_identities, once.p_identities) == (once.identities == 0)


class TestProcesses:
    def test_a_step_that_another_process_is_at_is_passed_over_and_then_taken(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(finished, copy)
        removed = [name for name in folders(copy)["evaluation"] if name.startswith("zero-shot")]
        for name in removed:
            shutil.rmtree(copy / "artifacts/evaluation" / name)
        slept: list[float] = []
        holder = exclusive(copy / "artifacts/.cache" / f"evaluation-{removed[0]}.lock")

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            holder.__exit__(None, None, None)  # the other process dies without having made it

        monkeypatch.setattr(ablation.make.time, "sleep", sleep)
        (copy / "artifacts/.cache").mkdir(exist_ok=True)
        holder.__enter__()
        told = run(copy, "d.toml")[1]
        assert "another process is at it" in told and slept == [ablation.make.POLL_SECONDS]
        assert folders(copy) == folders(finished)

    @pytest.mark.slow  # two interpreters that import torch
    def test_two_processes_make_every_step_once(self, place: Path) -> None:
        text = (place / "d.toml").read_text()
        (place / "d.toml").write_text(text.split("[[row]]")[0] + '[[row]]\nname = "clipreid"\nmethod = "clipreid"\n')
        words = [sys.executable, str(RUN), "d.toml", "--seeds", "0", *COMMON]
        home = environment(place / "home") | {"REIDCLIP_STORE": os.fspath(place / "artifacts")}
        both = [subprocess.Popen(words, cwd=place, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        for process in both:
            _, told = process.communicate(timeout=240)
            assert process.returncode == 0, told.decode()
        assert {kind: len(names) for kind, names in folders(place).items()} == {"prompts": 3, "checkpoint": 3, "evaluation": 3}
        versions = [v.name for kind in ("prompts", "checkpoint", "evaluation") for v in (place / "artifacts" / kind).glob("*/v*")]
        assert set(versions) == {"v0001"} and result(place, "d")["missing"] == 0


class TestFaults:
    @pytest.mark.parametrize(
        ("old", "new", "sentence"),
        [
            ('"data/north", "data/east", "data/south"', '"data/north"', "leave_one_out needs two data sets or more"),
            ("leave_one_out = true", "", "data names 3 data sets, and nothing says which is evaluated"),
            ("leave_one_out = true", 'leave_one_out = true\ntest_data = "data/north"', "Keep one of them."),
            ("[settings.evaluate]", '[masks.m]\nlabels = "data"\n[settings.evaluate]', "[masks.m] labels belong to one data set"),
            ('"data/east"', '"data/north"', "data/north"),
            ("data/east", "data/west", "There is no folder data/west."),
            ('["general"]', '["cloth-changing"]', "has no protocol 'cloth-changing'"),
        ],
    )
    def test_a_wrong_table_says_what_to_do(self, place: Path, old: str, new: str, sentence: str) -> None:
        text = (place / "d.toml").read_text()
        assert old in text
        (place / "d.toml").write_text(text.replace(old, new, 1))
        assert sentence in run(place, "d.toml", code=2)[1]
        assert not (place / "artifacts").exists()

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("--targets", "4"), "The table has no target '4'"),
            (("--targets", "nroth"), "Did you mean 'north'?"),
            (("--seeds", "-1"), "argument --seeds: seeds count from 0: -1"),
            (("--seeds", "0,x"), "argument --seeds: not numbers with commas between: 0,x"),
        ],
    )
    def test_wrong_options(self, place: Path, words: tuple[str, ...], sentence: str) -> None:
        assert sentence in run(place, "d.toml", *words, code=2)[1]
