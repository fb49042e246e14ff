"""Data sets without clothes and with random divisions, as their user goes: verify, train on what there is, evaluate every division.

Results are compared with a ranking in plain loops over the features that evaluate wrote.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import cuhk03_tree, trees
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip

TREES: dict[str, Callable[[Path], Path]] = {
    "cuhk02": trees.cuhk02,
    "cuhk03": cuhk03_tree.cuhk03,
    "cuhk_sysu": trees.cuhk_sysu,
    "prid": trees.prid,
    "grid": trees.grid,
    "viper": trees.viper,
    "ilids": trees.ilids,
}
DIVIDED = {"prid": (10, 2, 5), "grid": (3, 2, 4), "viper": (20, 2, 2), "ilids": (10, 2, 2)}  # divisions, queries, gallery
ZERO = ("--zero-shot", "--clip", "tiny.safetensors", "--workers", "0")
TRAINED = ("--method", "baseline", "--clip", "tiny.safetensors", "--workers", "0", "--json")
SMALL = assigned("height=32", "width=16", "epochs=1", "identities=2", "images_per_identity=2", "pad=2")


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("name", [name for name in TREES if name != "cuhk_sysu"])
def test_verify_finds_nothing_wrong(name: str, tmp_path: Path, reidclip: CommandLine) -> None:
    TREES[name](tmp_path / "data")
    report = reidclip("datasets", "verify", "data", "--no-counts", "--strict", "--json").json
    assert report["layout"] == name and report["ok"] is True
    rows = {row["name"]: (row["queries"], row["valid"], row["gallery"]) for row in report["protocols"]}
    if name in DIVIDED:
        _, queries, gallery = DIVIDED[name]
        assert rows == {"general": (queries, queries, gallery)}
        assert any("random ones: --set 'train_splits=[\"split-0\"]'" in f["text"] for f in report["findings"])


def test_verify_of_pictures_for_training_alone_warns(tmp_path: Path, reidclip: CommandLine) -> None:
    trees.cuhk_sysu(tmp_path / "data")
    report = reidclip("datasets", "verify", "data", "--no-counts", "--json").json
    assert [f["text"] for f in report["findings"] if f["level"] == "warning"] == [
        "No protocol: models can be trained on this data but not evaluated."
    ]
    assert "for training alone" in reidclip("evaluate", "data", *ZERO, code=2).err


@pytest.mark.parametrize("name", DIVIDED)
def test_every_division_and_their_mean(name: str, tmp_path: Path, reidclip: CommandLine) -> None:
    TREES[name](tmp_path / "data")
    told = reidclip("evaluate", "data", *ZERO, "--json").json
    artifact, metrics = Path(told["path"]), told["metrics"]["general"]
    kept = json.loads((artifact / "splits.json").read_text())
    each = metrics["splits"]["each"]
    assert metrics["splits"]["digest"] == kept["digest"] and list(each) == list(kept["splits"])
    assert (len(each), metrics["queries"], metrics["gallery"]) == DIVIDED[name]
    features = dict(
        zip(json.loads((artifact / "paths.json").read_text()), load_file(artifact / "features.safetensors")["features"], strict=True)
    )
    expected = {split: ranked(name, features, sides["query"], sides["gallery"]) for split, sides in kept["splits"].items()}
    assert {split: (row["R1"], row["mAP"]) for split, row in each.items()} == {s: pytest.approx(e) for s, e in expected.items()}
    assert (metrics["R1"], metrics["mAP"]) == pytest.approx(tuple(np.mean(list(expected.values()), axis=0)))
    with (artifact / "ranks-general.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == [split for split in each for _ in range(metrics["queries"])]
    assert np.mean([row["first_rank"] == "1" for row in rows]) == pytest.approx(metrics["R1"])
    assert reidclip("artifacts", "verify", "--json").json["ok"] is True


def ranked(name: str, features: dict[str, np.ndarray], query: list[str], gallery: list[str]) -> tuple[float, float]:
    """R1 and mAP: everybody has one picture to be found; of two as close the first in the gallery's order is ahead."""
    place = {path: number for number, path in enumerate(sorted(features))}  # VIPeR's pairs stand at the same place

    def person(path: str) -> object:
        if name == "viper":
            return place[path] % 4
        digits = path.rpartition("/")[2].removeprefix("person_")[:4]
        return path if digits == "0000" else digits

    ranks = []
    for asked in query:
        order = sorted(range(len(gallery)), key=lambda g: (-float(features[asked] @ features[gallery[g]]), g))
        ranks.append(1 + next(rank for rank, g in enumerate(order) if person(gallery[g]) == person(asked)))
    return float(np.mean([rank == 1 for rank in ranks])), float(np.mean([1 / rank for rank in ranks]))


def test_one_division_or_some(tmp_path: Path, reidclip: CommandLine) -> None:
    trees.viper(tmp_path / "data")
    one = reidclip("evaluate", "data", *ZERO, "--json", "--split", "9").json["metrics"]["general"]
    assert list(one["splits"]["each"]) == ["split-9"] and one["R1"] == one["splits"]["each"]["split-9"]["R1"]
    printed = reidclip("evaluate", "data", *ZERO, "--split", "3", "--split", "0")
    assert "general: mean over 2 random splits, split-0 to split-3; each in metrics.json" in printed.out
    plan = reidclip("evaluate", "data", *ZERO, "--split", "9", "--dry-run").json
    assert plan["splits"] == {"general": ["split-9"]}


def test_the_classic_protocol_tells_no_map(tmp_path: Path, reidclip: CommandLine) -> None:
    cuhk03_tree.cuhk03(tmp_path / "data")
    usual = reidclip("evaluate", "data", *ZERO, "--json").json["metrics"]
    assert list(usual) == ["general", "detected"]
    run = reidclip("evaluate", "data", *ZERO, "--protocol", "classic-labelled", "--json").json
    metrics = run["metrics"]["classic-labelled"]
    assert metrics["mAP"] is metrics["mINP"] is metrics["mAP_interval"] is None and 0 <= metrics["R1"] <= 1
    assert [row["mAP"] for row in metrics["splits"]["each"].values()] == [None] * 3
    # People 1-1, 2-2 (test set 0): 3 + 2 labelled pictures, each with one of the other view to find; a gallery of two people.
    assert metrics["splits"]["each"]["classic-labelled-0"]["valid"] == 5 and metrics["gallery"] == 2
    table = reidclip("evaluate", "data", *ZERO, "--protocol", "classic-detected").out
    assert next(line for line in table.splitlines() if "classic-detected" in line).split("]")[1].split()[0] == "-"


@pytest.mark.parametrize(
    ("name", "split"), [("viper", "split-0"), ("cuhk_sysu", "train"), ("cuhk02", "train"), ("cuhk03", "train-detected")]
)
def test_training(name: str, split: str, tmp_path: Path, reidclip: CommandLine) -> None:
    TREES[name](tmp_path / "data")
    where = assigned(f'train_splits=["{split}"]')
    tuned = reidclip("finetune", "data", *TRAINED, *SMALL, *where).json
    assert tuned["kind"] == "checkpoint"
    if name != "cuhk_sysu":
        assert reidclip("evaluate", "data", "--json", "--workers", "0").json["metrics"]["general"]["valid"] > 0


def test_splits_are_shown_kept_and_taken_back(tmp_path: Path, reidclip: CommandLine) -> None:
    root = trees.ilids(tmp_path / "data")
    shown = reidclip("datasets", "splits", "data", "--output", "kept.json")
    document: Any = json.loads((tmp_path / "kept.json").read_text())
    assert all(f"split-{n}: train {len(document['splits'][f'split-{n}']['train'])}, query 2, gallery 2" in shown.out for n in range(10))
    assert f"digest {document['digest']}" in shown.out and reidclip("datasets", "splits", "data", "--json").json == document
    document["splits"] = {"split-0": document["splits"]["split-7"]}
    (root / "reidclip-splits.json").write_text(json.dumps(document))
    assert "was changed" in reidclip("datasets", "splits", "data", code=2).err
    (root / "reidclip-splits.json").write_bytes((tmp_path / "kept.json").read_bytes())
    assert reidclip("datasets", "splits", "data", "--json").json["digest"] == document["digest"]


def test_extract(tmp_path: Path, reidclip: CommandLine) -> None:
    cuhk03_tree.divisions(cuhk03_tree.release(tmp_path / "data"))
    assert "Take them out: reidclip datasets extract" in reidclip("datasets", "verify", "data", code=2).err
    done = reidclip("datasets", "extract", "data", "--json").json
    assert done["pictures"] == {"images_labeled": 12, "images_detected": 11} and done["written"] == 23
    assert "images_labeled: 12 pictures" in reidclip("datasets", "extract", "data").out
    assert reidclip("datasets", "verify", "data", "--no-counts", "--json").json["layout"] == "cuhk03"
