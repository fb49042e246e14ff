"""`reidclip distill --label-only`: describe, find again, show; and what `reidclip artifacts show` says of descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.bodies.mesh_set import BodyTable
from reidclip.bodies.phrases import PAIRS
from reidclip.data.files import mirrored
from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE
from reidclip.data.open import open_dataset
from reidclip.stages import describe_table
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.fakes import write_prcc

NAMES = [f"{pair.first} / {pair.second}" for pair in PAIRS]
CALL = ("distill", "prcc", "--label-only", "--set", "template=is {phrase}", "--set", "height=32", "--set", "width=16", "--workers", "0")
BY_FILE = (*CALL, "--teacher", "tiny.safetensors")


@pytest.fixture
def reidclip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    write_prcc(tmp_path / "prcc")
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_made_once_then_found(reidclip: CommandLine, tmp_path: Path) -> None:
    made = reidclip(*BY_FILE)
    assert "wrote descriptions/tiny-prcc@v1 by tiny (36 pictures)" in made.out
    assert [line for name in NAMES for line in made.out.splitlines() if line.startswith(name + " ")] == made.out.splitlines()[-18:-2]
    legend = made.out.splitlines()[-2]
    assert all(f"{column}: " in legend for column in ("first", "margin", "texts", "consistent")), "every column is explained"
    assert "accuracy" not in made.out, "nothing is known of these bodies"
    assert "on more than 95% of the pictures" in made.err
    again = reidclip(*BY_FILE)
    assert "found descriptions/tiny-prcc@v1" in again.out and "the newest of this data, CLIP and sentence" in again.err
    assert "found descriptions/tiny-prcc@v1" in reidclip(*BY_FILE, "--all-pictures").out, "a small data set has all of them described"
    reidclip(*CALL, "--teacher", "reidclip-tiny", "-q")
    assert Store(tmp_path / "artifacts").open("descriptions/reidclip-tiny-prcc").version == 1


def test_json_holds_the_numbers_of_the_artifact(reidclip: CommandLine) -> None:
    found = reidclip(*BY_FILE, "--json").json
    tensors = load_file(Path(found["path"]) / "descriptions.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {"features": (36, 16), "texts": (16, 2, 16), "scores": (36, 16, 2), "choices": (36, 16)}
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [(pair.first, pair.second) for pair in PAIRS]
    for pair, choices in zip(found["pairs"], tensors["choices"].T, strict=True):
        assert pair["first_share"] == pytest.approx(float((choices == 0).float().mean()))
        assert pair["agreement"] is None
    assert (found["kind"], found["pictures"], found["people"], found["teacher"]) == ("descriptions", 36, 0, "tiny.safetensors")
    phrases = json.loads((Path(found["path"]) / "phrases.json").read_text())
    assert phrases["template"] == "is {phrase}" and len(phrases["pairs"]) == 16


def test_true_bodies_add_accuracies(reidclip: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that are what the CLIP chose for each person's first picture."""
    first = reidclip(*BY_FILE, "--json").json
    choices = load_file(Path(first["path"]) / "descriptions.safetensors")["choices"].numpy()
    paths = json.loads((Path(first["path"]) / "pictures.json").read_text())["pictures"]
    dataset = open_dataset(tmp_path / "prcc")
    pids = [next(s.pid for s in dataset.samples if s.path == path) for path in paths]
    people = sorted(set(pids))
    true = choices[[pids.index(pid) for pid in people]]
    table = BodyTable(
        "anny", "1", np.zeros((len(people), 1)), true, {}, {}, {p: people.index(pid) for p, pid in zip(paths, pids, strict=True)}
    )
    monkeypatch.setattr(describe_table, "open_bodies", lambda root: table)
    shown = reidclip(*BY_FILE)
    assert f"true bodies of {len(people)} people" in shown.out and "balanced" in shown.out
    assert max(map(len, shown.out.splitlines()[:-3])) <= 120
    for number, pair in enumerate(reidclip(*BY_FILE, "--json").json["pairs"]):
        right = [
            np.mean([choices[row, number] == true[k, number] for row, p in enumerate(pids) if p == pid]) for k, pid in enumerate(people)
        ]
        assert pair["agreement"]["accuracy"] == pytest.approx(np.mean(right))
        assert pair["agreement"]["people"] == len(people)


def test_artifacts_show_tells_of_every_pair(reidclip: CommandLine) -> None:
    reidclip(*BY_FILE)
    shown = reidclip("artifacts", "show", "descriptions/tiny-prcc").out
    assert all(f"{name}: first on " in shown for name in NAMES)
    assert "pairs = {" not in shown and "pictures = 36" in shown
    metrics = reidclip("artifacts", "show", "descriptions/tiny-prcc", "--json").json["manifest"]["metrics"]
    assert list(metrics["pairs"]) == NAMES


def test_blurred_pictures_have_descriptions_of_their_own(reidclip: CommandLine, tmp_path: Path) -> None:
    plain = reidclip(*BY_FILE, "--json").json
    dataset, store = open_dataset(tmp_path / "prcc"), Store(tmp_path / "artifacts")
    face = np.zeros((32, 16), np.uint8)
    face[2:28, 4:12] = LIP_LABELS.index("Face")
    with store.create("parsing", "p") as draft:
        for sample in dataset.samples:
            target = draft.path / "labels" / mirrored(sample.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_indexed_png(target, face, LIP_PALETTE)
        draft.write("labels.json", json.dumps({"labels": list(LIP_LABELS), "skipped": []}).encode())
        draft.describe(dataset=DatasetRef.of(dataset), method="test")
    blurred = reidclip(*BY_FILE, "--set", "blur_faces=true", "--json").json
    assert blurred["artifact"] != plain["artifact"]
    tables: list[Any] = [load_file(Path(found["path"]) / "descriptions.safetensors")["features"] for found in (plain, blurred)]
    assert (tables[0] != tables[1]).any(1).all(), "every picture had a face"
    assert [i.role for i in store.open(f"descriptions/{blurred['artifact']}").manifest.inputs] == ["parsing"]
    assert reidclip(*BY_FILE, "--json").json["artifact"] == plain["artifact"]
    assert reidclip(*BY_FILE, "--set", "blur_faces=true", "--json").json["artifact"] == blurred["artifact"]
