"""explain --map transport as a user runs it: who says which phrases fit, what is drawn and written, and what is told."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from reidclip.artifacts.store import Store
from reidclip.bodies.phrases import PAIRS
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from reidclip.data.open import open_dataset
from reidclip.stages.describe import describe, plan_description
from reidclip.stages.describe_teacher import load_teacher, text_features
from reidclip.stages.explain_job import Explained, Words
from reidclip.stages.explain_phrases import notes_on_even
from reidclip.train.settings import DistillSettings
from reidclip.train.transport_guide import TransportGuide
from tests.cli.error_inputs.kitchen import write_maps
from tests.cli.in_process import CommandLine, Run
from tests.fakes import SIZE, write_prcc, write_tiny_clip

SPLIT = ("data", "--split", "test-A", "--map", "transport", "--json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PRCC as ``data``, its label maps, a CLIP ``tiny.safetensors``, and two students s and t that it described people to."""
    root = tmp_path_factory.mktemp("made")
    write_maps(write_prcc(root / "data"), root / "maps")
    teacher = load_teacher(str(write_tiny_clip(root / "tiny.safetensors")), SIZE)
    texts = text_features(teacher, PAIRS)
    backbone = load_clip("random:timm:test_vit", image_size=SIZE).image_encoder
    store = Store(root / "artifacts")
    for seed, name in enumerate("st"):
        torch.manual_seed(seed)
        student = make_student(backbone, 12)
        with store.create("checkpoint", name) as draft:
            InferenceEncoder(student, InferenceOptions()).eval().save(draft.path)
            TransportGuide(texts, student.places_width, teacher=("tiny.safetensors", teacher.digest)).save(draft.path)
            draft.describe(config={}, method="clip3dreid")
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """The same in the folder that the command is run in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def explain(reidclip: CommandLine, place: Path, *words: object, code: int = 0) -> Run:
    return reidclip("explain", *words, "--store", place / "artifacts", "--workers", 0, "--device", "cpu", code=code)


def described(place: Path) -> list[Counter[str]]:
    """How often each phrase of each pair was chosen on test-A, as `reidclip distill --label-only` says."""
    dataset = open_dataset(place / "data")
    settings = DistillSettings(height=SIZE[0], width=SIZE[1])
    job = plan_description(dataset, Store(place / "artifacts"), teacher=str(place / "tiny.safetensors"), settings=settings, workers=0)
    artifact = describe(job)
    rows = {path: row for row, path in enumerate(json.loads(artifact.file("pictures.json").read_text())["pictures"])}
    choices = load_file(artifact.file("descriptions.safetensors"))["choices"]
    own = [choices[rows[sample.path]] for sample in dataset.split("test-A")]
    return [Counter((pair.first, pair.second)[int(row[p])] for row in own) for p, pair in enumerate(PAIRS)]


def test_the_teacher_says_which_phrases_fit(reidclip: CommandLine, place: Path) -> None:
    told = explain(reidclip, place, "s", *SPLIT, "--phrase", "all", "--output", "out").json
    maps = told["checkpoints"]
    assert [one["phrase"] for one in maps] == [f"{pair.first} / {pair.second}" for pair in PAIRS]
    assert [Counter(one["said"]) for one in maps] == described(place)
    assert {one["chosen_by"] for one in maps} == {"tiny.safetensors"}
    assert all(0.99 <= one["evenness"] <= 1 for one in maps), "nobody trained these students"
    assert len(told["notes"]) == 1 and told["notes"][0].startswith("s@v1: 16 of 16 maps are even to within 1 percent: ")


def test_what_is_drawn(reidclip: CommandLine, place: Path) -> None:
    words = ("--phrase", "long legs", "--phrase", "short legs", "--phrase", "tall", "--output", "out")
    told = explain(reidclip, place, "s", *SPLIT, *words).json
    out = place / "out"
    assert json.loads((out / "explain.json").read_text())["checkpoints"] == told["checkpoints"]
    assert [one["said"] for one in told["checkpoints"]] == [{"long legs": 4}, {"short legs": 4}, {"tall": 4}]
    files = [sorted((out / "overlays/s-v1" / name).iterdir()) for name in ("long-legs", "short-legs", "tall")]
    assert [len(one) for one in files] == [4, 4, 4]
    first, second, _ = (np.asarray(Image.open(one[0])).astype(int) for one in files)
    assert first.shape == (*SIZE, 3) and not np.array_equal(first, second)
    assert Image.open(out / "sheet-001.png").width >= 500


def test_the_six_least_even_by_default(reidclip: CommandLine, place: Path) -> None:
    words = ("s", *SPLIT, "--labels", "maps", "--shares-only")
    whole = explain(reidclip, place, *words, "--phrase", "all").json["checkpoints"]
    six = explain(reidclip, place, *words).json["checkpoints"]
    assert six == sorted(whole, key=lambda one: one["evenness"])[:6]


def test_without_the_teacher_the_student_says(reidclip: CommandLine, place: Path) -> None:
    words = ("s", *SPLIT, "--phrase", "all", "--labels", "maps", "--shares-only")
    by_teacher = explain(reidclip, place, *words).json["checkpoints"]
    for suffix in ("safetensors", "json"):
        (place / f"tiny.{suffix}").rename(place / f"moved.{suffix}")
    alone = explain(reidclip, place, *words).json
    assert {one["chosen_by"] for one in alone["checkpoints"]} == {"student"}
    assert sum("is not on this machine (--teacher names it); its own reading was taken" in note for note in alone["notes"]) == 1
    assert [one["said"] for one in alone["checkpoints"]] != [one["said"] for one in by_teacher]
    again = explain(reidclip, place, *words, "--teacher", "moved.safetensors").json
    assert not any("its own reading" in note for note in again["notes"])
    assert again["checkpoints"] == [{**one, "chosen_by": "moved.safetensors"} for one in by_teacher]


def test_another_clip_is_no_teacher(reidclip: CommandLine, place: Path) -> None:
    write_tiny_clip(place / "other.safetensors", seed=7)
    run = explain(reidclip, place, "s", *SPLIT, "--teacher", "other.safetensors", "--output", "out", code=2)
    assert "'other.safetensors' is not the CLIP whose words were distilled" in run.err and "tiny.safetensors" in run.err
    write_tiny_clip(place / "tiny.safetensors", seed=7)  # in the very place of the true one
    told = explain(reidclip, place, "s", *SPLIT, "--output", "out").json
    assert told["checkpoints"][0]["chosen_by"] == "student" and "is not the CLIP now that described people" in told["notes"][0]


def test_shares_of_two_students_phrase_by_phrase(reidclip: CommandLine, place: Path) -> None:
    words = ("--against", "t", "--phrase", "tall", "--phrase", "curvy", "--labels", "maps", "--shares-only", "--output", "out")
    told = explain(reidclip, place, "s", *SPLIT, *words).json
    maps = told["checkpoints"]
    assert [(one["checkpoint"], one["phrase"]) for one in maps] == [
        ("s@v1", "tall"),
        ("t@v1", "tall"),
        ("s@v1", "curvy"),
        ("t@v1", "curvy"),
    ]
    for one in maps:
        assert sum(region["mass"] for region in one["shares"].values()) == pytest.approx(1)
        assert one["shares"]["clothes"]["pixels"] == pytest.approx(19 * 6 / (SIZE[0] * SIZE[1]))  # what `write_maps` draws
    more = told["more_on_clothes"]
    assert [(row["checkpoint"], row["than"], row["phrase"]) for row in more] == [("t@v1", "s@v1", "tall"), ("t@v1", "s@v1", "curvy")]
    for row, (first, second) in zip(more, (maps[:2], maps[2:]), strict=True):
        expected = second["shares"]["clothes"]["mass"] - first["shares"]["clothes"]["mass"]
        assert row["difference"]["mean"] == pytest.approx(expected)
    rows: list[dict[str, Any]] = list(csv.DictReader((place / "out/shares.csv").open()))
    assert [row["phrase"] for row in rows] == ["tall"] * 8 + ["curvy"] * 8
    text = explain(reidclip, place, "s", *SPLIT[:-1], *words[:-1], "text").out
    assert "s@v1: tall: transport of 4 pictures" in text and "curvy on clothes, t@v1 against s@v1" in text


def test_even_maps_are_told_of_each_checkpoint(place: Path) -> None:
    store = Store(place / "artifacts")

    def explained(name: str, *even: float) -> Explained:
        words = Words("tall / short", (), np.array(even), "student", "")
        return Explained(store.open(f"checkpoint/{name}"), "transport", None, np.ones((len(even), 2, 2)), None, None, (), words)

    clear, faint = (0.985, 0.994), (0.991, 0.999)
    assert notes_on_even([explained("s", *clear), explained("t", *clear)]) == []
    (told,) = notes_on_even([explained("s", *clear), explained("t", *clear), explained("s", *faint)])
    assert told.startswith("s@v1: 1 of 2 maps are even to within 1 percent: the phrase takes nearly the same from every place")
    (told,) = notes_on_even([explained("s", *clear), explained("t", *faint)])
    assert told.startswith("t@v1: the map is even to within 1 percent")


def test_an_unknown_phrase(reidclip: CommandLine, place: Path) -> None:
    run = explain(reidclip, place, "s", *SPLIT, "--phrase", "long lags", "--output", "out", code=2)
    assert "knows no phrase 'long lags'" in run.err and "Did you mean 'long legs'?" in run.err
    assert not (place / "out").exists()
