"""profile as a user runs it: one row per checkpoint, beside the results of its own evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.profiling.count import count_flops, count_parameters
from tests.cli.in_process import CommandLine
from tests.fakes import tiny_clip


def encoder(seed: int) -> InferenceEncoder:
    return InferenceEncoder(tiny_clip(seed).image_encoder).eval()


def checkpoint(store: Store, name: str, seed: int, **config: object) -> Artifact:
    with store.create("checkpoint", name) as draft:
        encoder(seed).save(draft.path)
        draft.describe(config=dict(config), method="baseline")
    return draft.artifact


def evaluation(store: Store, of: Artifact, **metrics: tuple[float, float]) -> Artifact:
    with store.create("evaluation", of.name) as draft:
        (draft.path / "metrics.json").write_text("{}")
        told = {name: {"R1": r1, "mAP": ap} for name, (r1, ap) in metrics.items()}
        draft.describe(config={}, method="baseline", inputs=[InputRef.of(of, role="checkpoint")], metrics=told)
    return draft.artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "artifacts")
    a = checkpoint(store, "a", 0, parameters={"trained": 1200, "frozen": 300})
    b = checkpoint(store, "b", 1)
    evaluation(store, a, general=(0.5, 0.25), special=(0.1, 0.1))
    evaluation(store, a, general=(0.75, 0.5))  # newer
    evaluation(store, b, general=(0.125, 0.0625))
    return store


def test_rows(reidclip: CommandLine, store: Store, tmp_path: Path) -> None:
    words = ("--store", store.root, "--no-memory", "--repeats", 1, "--batch-size", 2, "--threads", 1, "--device", "cpu")
    told = reidclip("profile", "a", "b", *words, "--json", "--output", "cost.json").json
    assert json.loads((tmp_path / "cost.json").read_text()) == told
    a, b = told["checkpoints"]
    assert (a["checkpoint"], a["trained"], a["in_training"], a["width"]) == ("a@v1", 1200, 1500, 40)
    assert (a["parameters"], a["flops"], a["macs"]) == (
        count_parameters([encoder(0)]),
        count_flops(encoder(0)),
        count_flops(encoder(0)) // 2,
    )
    assert a["images_per_second"] > 0 and a["peak_bytes"] is None
    assert a["disk_bytes"] == sum((store.open("a", "checkpoint").path / n).stat().st_size for n in ("encoder.json", "encoder.safetensors"))
    assert (b["trained"], b["in_training"]) == (None, None)
    results = {name: (r["R1"], r["mAP"], r["evaluation"]) for name, r in a["results"].items()}
    assert results == {"general": (0.75, 0.5, "a@v2"), "special": (0.1, 0.1, "a@v1")}
    assert b["results"]["general"]["R1"] == 0.125
    assert {"batch_size": 2, "repeats": 1, "threads": 1, "device": "cpu", "precision": "fp32"}.items() <= told["measured"].items()
    table = reidclip("profile", "a", "b", *words, "--protocol", "general").out
    assert "75.0/50.0" in table and "12.5/6.2" in table and "special" not in table


def test_a_student_beside_the_clip_that_taught_it(reidclip: CommandLine, store: Store, tmp_path: Path) -> None:
    words = ("--store", store.root, "--no-memory", "--repeats", 1, "--batch-size", 2, "--device", "cpu", "--json")
    student, teacher = reidclip("profile", "a", "--clip", "reidclip-tiny", *words).json["checkpoints"]
    assert (student["checkpoint"], teacher["checkpoint"]) == ("a@v1", "reidclip-tiny")
    assert teacher["parameters"] > student["parameters"] and teacher["macs"] > student["macs"]
    assert teacher["image_size"] == [256, 128] and teacher["disk_bytes"] > 4 * teacher["parameters"]
    table = reidclip("profile", "a", "--clip", "reidclip-tiny", *words[:-1]).out
    height, width = encoder(0).image_encoder.config.image_size
    assert "h x w" in table and all(size in table for size in (f"{height}x{width}", "256x128"))
    assert (teacher["method"], teacher["trained"], teacher["results"]) == (None, None, {})


@pytest.mark.parametrize("width", [120, 80, 40])
def test_a_narrow_place_cuts_nothing(reidclip: CommandLine, store: Store, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Eight protocols' columns fit nowhere beside the costs: they stand below, each number whole, beside the checkpoint's name."""
    from reidclip.cli.console import console

    many = {f"cloth-changing-camera-{number}": (number / 100, number / 200) for number in range(1, 9)}
    evaluation(store, store.open("b", "checkpoint"), **many)
    monkeypatch.setattr(console, "_width", width)
    out = reidclip("profile", "b", "--store", store.root, "--no-memory", "--repeats", 1, "--batch-size", 2, "--device", "cpu").out
    lines = out.splitlines()
    assert max(map(len, lines)) <= width and "…" not in out
    for r1, mean in many.values():
        assert any(line.split()[0] == "b@v1" and f"{100 * r1:.1f}/{100 * mean:.1f}" in line for line in lines if line.split())
    assert " ".join(out.split()).count("GFLOPs: a multiplication") == 1


def test_the_data_that_results_are_of_is_named(reidclip: CommandLine, tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    made = checkpoint(store, "a", 0)
    with store.create("evaluation", "a") as draft:
        (draft.path / "metrics.json").write_text("{}")
        data = DatasetRef(layout="prcc", root="/sets/mine", fingerprint="0", samples=1, splits={"train": 1})
        read = [InputRef.of(made, role="checkpoint")]
        draft.describe(config={}, inputs=read, metrics={"general": {"R1": 0.5, "mAP": 0.25}}, dataset=data)
    words = ("profile", "a", "--store", store.root, "--no-memory", "--repeats", 1, "--batch-size", 2, "--device", "cpu")
    assert "R1/mAP of /sets/mine" in reidclip(*words).out
    assert reidclip(*words, "--json").json["checkpoints"][0]["results"]["general"]["data"] == "/sets/mine"


def test_output_is_not_overwritten_unasked(reidclip: CommandLine, store: Store, tmp_path: Path) -> None:
    words = (
        "profile",
        "b",
        "--store",
        store.root,
        "--no-memory",
        "--repeats",
        1,
        "--batch-size",
        2,
        "--device",
        "cpu",
        "--output",
        "cost.json",
    )
    (tmp_path / "cost.json").write_text("mine")
    assert "cost.json is there already." in reidclip(*words, code=2).err
    assert (tmp_path / "cost.json").read_text() == "mine"
    reidclip(*words, "--force")
    assert json.loads((tmp_path / "cost.json").read_text())["checkpoints"][0]["checkpoint"] == "b@v1"


def test_trainings_tell_their_parameters(reidclip: CommandLine, tmp_path: Path) -> None:
    """What a baseline trains: the encoder, two bottlenecks and two classifiers; the bottlenecks' shifts are held only."""
    from tests.fakes import write_prcc, write_tiny_clip

    data, clip = write_prcc(tmp_path / "data"), write_tiny_clip(tmp_path / "clip.safetensors")
    small = [
        word for setting in ("height=32", "width=16", "epochs=1", "identities=2", "images_per_identity=2") for word in ("--set", setting)
    ]
    common = ("--store", tmp_path / "s", "--device", "cpu", "--workers", 0)
    reidclip("finetune", data, "--method", "baseline", "--clip", clip, "--name", "c", *small, *common)
    parameters = Store(tmp_path / "s").open("c", "checkpoint").manifest.config["parameters"]
    tower = count_parameters([tiny_clip().image_encoder])
    widths = 24 + 16
    assert parameters == {"trained": tower + widths + 4 * widths, "frozen": widths}
