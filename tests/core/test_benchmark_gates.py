"""Clothes leak no identity and people are visible: `examples/synthcc_gates` on a small set, and, slow, on synthcc itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reidclip.stages.benchmarks import render_benchmark
from reidclip.stages.synth import default_workers, synth
from reidclip.synth.benchmarks import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]
GATES = ROOT / "examples/synthcc_gates"
PEOPLE = 20  # for testing; chance is one in so many
CHANCE = 100 / PEOPLE


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Rows of the table on a set like synthcc: fewer people, fewer pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(GATES))
        import benchmark
        import pictures

        out = tmp_path_factory.mktemp("gates") / "set"
        parameters = {**BENCHMARKS["synthcc"].parameters, "ids": 3 * PEOPLE, "test_ids": PEOPLE, "images_per_camera": 2, "size": (128, 64)}
        synth(out, **parameters, workers=2)
        keys = ("words", "colours", "person", "probe")
        rows: dict[str, Any] = benchmark.rows_of(pictures.load_pictures(out, (128, 64)), SimpleNamespace(), keys)
        return rows


def test_clothes_alone_are_at_chance_when_they_change(table: dict[str, Any]) -> None:
    for key in ("words", "colours"):
        low, _ = table[key].interval
        assert table[key].scores["same-clothes"][0] > 60
        assert low <= CHANCE and table[key].cloth_changing < 4 * CHANCE, key


def test_another_camera_is_not_like_other_clothes(table: dict[str, Any]) -> None:
    """Camera C finds people in the clothes of camera A about as well as camera B does; mAP, as R1 of 40 queries jumps."""
    same, control, changing = (table["colours"].scores[p][1] for p in ("same-clothes", "same-clothes-control", "cloth-changing"))
    assert abs(same - control) < 15
    assert control > 4 * changing


def test_people_are_visible(table: dict[str, Any]) -> None:
    assert table["person"].cloth_changing > 90
    assert table["probe"].interval[0] > 4 * CHANCE


@pytest.mark.slow
def test_gates_of_synthcc(tmp_path: Path) -> None:
    """A plain network sees people on shielded pictures of synthcc, and falls for clothes on whole ones: half an hour on a core."""
    render_benchmark("synthcc", tmp_path / "synthcc", workers=default_workers())
    call = [sys.executable, str(GATES / "gates.py"), str(tmp_path / "synthcc"), "--only", "benchmark", "--state", str(tmp_path / "state")]
    run = subprocess.run(call, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("| pass |") == 7 and "FAIL" not in run.stdout
