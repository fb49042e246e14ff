"""The gates' one command as a user runs it: every gate has a row, the exit code says whether all hold, a second run makes nothing."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.fakes import REPOSITORY, write_prcc, write_tiny_clip

sys.path.append(str(REPOSITORY / "examples" / "synthcc_gates"))

import gates
import words
from gate import Gate, table

OF_CLIP = (
    "caption retrieval, R@1 of 24",
    "zero-shot gender",
    "zero-shot hair colour",
    "zero-shot glasses",
    "zero-shot colour of the top",
    "zero-shot garment",
    "same-clothes R1 above 85",
    "people are seen",
    "the same, against whole pictures",
    "identity prompts learned on shielded pictures",
)
OF_BENCHMARK = ("clothes: their true description", "clothes: colours by true label maps", "people are visible", "clothes mislead")


def run(place: Path, *arguments: str) -> SimpleNamespace:
    """The program in this process (torch is imported once): its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    words_of_call = ["gates.py", "set", "--quick", "--workers", "0", "--state", "state", *arguments]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(place)
        patch.setattr(sys, "argv", words_of_call)
        with pytest.raises(SystemExit) as end:
            gates.main()
    told = err.getvalue()
    assert "Traceback" not in told and "Internal error" not in told, told
    return SimpleNamespace(code=end.value.code or 0, out=out.getvalue(), err=told)


def made(place: Path) -> list[str]:
    """What lies in the store, every version."""
    return sorted(p.relative_to(place).as_posix() for p in (place / "state/artifacts").glob("*/*/v*"))


def verdicts(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(("| pass |", "| FAIL |"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command ran once, rendering what it needs."""
    folder = tmp_path_factory.mktemp("gates")
    (folder / "first.txt").write_text(run(folder, "--json", "out/first.json").out)
    return folder


def test_every_gate_of_benchmark_and_clip_has_a_row(place: Path) -> None:
    told = verdicts((place / "first.txt").read_text())
    for name in (*OF_BENCHMARK, *OF_CLIP):
        assert sum(name in line for line in told) >= 1, name


def test_json_holds_what_is_printed(place: Path) -> None:
    found: dict[str, Any] = json.loads((place / "out/first.json").read_text())
    assert [Gate(**gate).line() for gate in found["gates"]] == verdicts((place / "first.txt").read_text())
    assert {"words", "shielded", "zero", "tuned", "tuned-shielded"} <= set(found["rows"]) and found["quick"]


def test_a_second_run_takes_what_is_there_and_says_the_same(place: Path) -> None:
    before = made(place)
    again = run(place, "--json", "again.json")
    assert made(place) == before and "finetune" not in again.err and "prompt-learn" not in again.err
    assert verdicts(again.out) == verdicts((place / "first.txt").read_text())
    assert again.code == int(any("FAIL" in line for line in verdicts(again.out)))


def test_another_clip_or_setting_is_trained_anew_on_the_same_masks(place: Path) -> None:
    before = set(made(place))
    write_tiny_clip(place / "other.safetensors")
    run(place, "--only", "clip", "--clip", "other.safetensors")
    new = set(made(place)) - before
    assert sorted(name.split("/")[2] for name in new) == ["checkpoint"] * 2 + ["evaluation"] * 3 + ["prompts"]
    before = set(made(place))
    run(place, "--only", "clip", "--clip", str(place / "other.safetensors"))
    assert set(made(place)) == before, "the same weights by another path are the same CLIP"
    run(place, "--only", "clip", "--clip", "other.safetensors", "--set", "finetune.lr=0.01")
    assert sorted(name.split("/")[2] for name in set(made(place)) - before) == ["checkpoint"] * 2 + ["evaluation"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "lr=1"), "names no command"),
        (("--set", "finetune.rate=1"), "unknown key 'rate'"),
        (("--rows", "wrods"), "Did you mean 'words'?"),
        (("--only", "clip", "--held-out", "nowhere"), "nowhere has no attributes.jsonl"),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(place: Path, arguments: tuple[str, ...], said: str) -> None:
    found = run(place, *arguments)
    assert found.code == 2 and said in found.err


def test_a_set_without_control_is_refused(tmp_path: Path) -> None:
    write_prcc(tmp_path / "set")
    found = run(tmp_path)
    assert found.code == 2 and "same-clothes-control" in found.err


@pytest.mark.parametrize(("met", "code", "said"), [((True, True), 0, "all met"), ((True, False), 1, "1 not met")])
def test_the_exit_code_says_whether_all_gates_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: tuple[bool, ...], code: int, said: str
) -> None:
    monkeypatch.setattr(gates, "measure", lambda options: ({}, [Gate("one", "more", "some", one) for one in met]))
    found = run(tmp_path)
    assert found.code == code and f"2 gates, {said}." in found.out


def test_a_gate_is_a_row_of_its_table() -> None:
    told = table([Gate("sight", "at least 3", "2", False, chance="1", beside="4")]).splitlines()
    assert "| FAIL | sight | 1 | at least 3 | 2 | 4 |" in told


def test_a_gate_is_three_times_chance_or_half_way_to_perfect() -> None:
    assert [words.bar(chance) for chance in (5, 10, 12.5, 20, 50)] == pytest.approx([15, 30, 37.5, 60, 75])


def test_balanced_accuracy_counts_every_class_alike() -> None:
    target, guess = np.array([0, 0, 0, 0, 2]), np.array([0, 0, 0, 2, 2])
    assert words.balanced(target, guess) == pytest.approx(100 * (3 / 4 + 1) / 2)
    assert words.balanced(target, np.zeros(5, np.int64)) == pytest.approx(50)
    low, high = words.interval(target, guess, np.arange(5), resamples=200)
    assert low <= words.balanced(target, guess) <= high


def test_recall_is_perfect_for_captions_seen_in_the_picture_and_equal_captions_are_right_for_both() -> None:
    features, people, alone = torch.eye(30), np.arange(30), np.arange(30)
    assert words.recall(features, features, alone, people, 20, 5, 0).tolist() == [100.0] * 5
    next_ones = features.roll(1, 0)  # every picture is most like the next person's caption
    assert words.recall(features, next_ones, alone, people, 30, 5, 0).tolist() == [0.0] * 5
    assert words.recall(features, next_ones, alone // 30, people, 30, 5, 0).tolist() == [100.0] * 5


def test_a_draw_has_one_picture_of_each_of_so_many_people() -> None:
    """Features that know nothing find one of ``among`` captions by luck."""
    generator = torch.Generator().manual_seed(1)
    features, texts = torch.randn(400, 16, generator=generator), torch.randn(400, 16, generator=generator)
    found = words.recall(features, texts, np.arange(400), np.repeat(np.arange(200), 2), 50, 300, 0)
    assert found.mean() == pytest.approx(2.0, abs=1.0) and set(np.round(found / 2, 6) % 1) == {0.0}
