"""explain as a user runs it: what it writes, what it says, and that nothing half-written is left."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.open import open_dataset
from reidclip.explain.maps import heat_maps
from tests.cli.error_inputs.kitchen import write_maps
from tests.cli.in_process import CommandLine, Run
from tests.fakes import SIZE, tiny_clip, write_prcc


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A PRCC as ``data``, its label maps as ``maps``, and two random ViTs as checkpoints a and b."""
    data = write_prcc(tmp_path / "data")
    write_maps(data, tmp_path / "maps")
    store = Store(tmp_path / "artifacts")
    for name, seed in (("a", 0), ("b", 1)):
        with store.create("checkpoint", name) as draft:
            InferenceEncoder(tiny_clip(seed).image_encoder, InferenceOptions()).eval().save(draft.path)
            draft.describe(config={}, method="baseline", dataset=DatasetRef.of(open_dataset(data)))
    yield tmp_path


def explain(reidclip: CommandLine, place: Path, *words: object, code: int = 0) -> Run:
    return reidclip("explain", *words, "--store", place / "artifacts", "--workers", 0, "--device", "cpu", code=code)


def test_two_checkpoints_side_by_side(reidclip: CommandLine, place: Path) -> None:
    words = ("a", "data", "--split", "test-C", "--against", "b", "--labels", "maps", "--output", "out", "--per-sheet", 3, "--json")
    told = explain(reidclip, place, *words).json
    assert [c["checkpoint"] for c in told["checkpoints"]] == ["a@v1", "b@v1"]
    assert (told["pictures"], told["sheets"]) == (4, ["sheet-001.png", "sheet-002.png"])
    out = place / "out"
    assert json.loads((out / "explain.json").read_text())["checkpoints"] == told["checkpoints"]
    overlays = sorted(p.relative_to(out).as_posix() for p in out.glob("overlays/*/*.png"))
    assert len(overlays) == 8 and overlays[0] == "overlays/a-v1/0001-cropped_rgb001.png"
    first, second = (np.asarray(Image.open(out / f"overlays/{name}-v1/0001-cropped_rgb001.png")).astype(int) for name in "ab")
    assert first.shape == (*SIZE, 3)
    assert not np.array_equal(first, second)
    assert Image.open(out / "sheet-001.png").width >= 500
    shares = [c["shares"] for c in told["checkpoints"]]
    for one in shares:
        assert sum(region["mass"] for region in one.values()) == pytest.approx(1)
        assert one["clothes"]["pixels"] == pytest.approx(19 * 6 / (SIZE[0] * SIZE[1]))  # what `write_maps` draws
        assert one["clothes"]["lift"] == pytest.approx(one["clothes"]["mass"] / one["clothes"]["pixels"])
    difference = told["more_on_clothes"][0]["difference"]
    assert difference["mean"] == pytest.approx(shares[1]["clothes"]["mass"] - shares[0]["clothes"]["mass"])
    rows = list(csv.DictReader((out / "shares.csv").open()))
    assert [row["checkpoint"] for row in rows] == ["a@v1"] * 4 + ["b@v1"] * 4
    assert all(sum(float(v) for k, v in row.items() if k.startswith("mass_")) == pytest.approx(1, abs=1e-4) for row in rows)
    assert np.mean([float(row["mass_clothes"]) for row in rows[:4]]) == pytest.approx(shares[0]["clothes"]["mass"], abs=1e-5)


def test_pictures_without_a_map_are_named_and_not_counted(reidclip: CommandLine, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second checkpoint has no map of the first picture; comparing the two goes by the pictures where both have one."""
    calls: list[int] = []

    def maps_of(*words: Any) -> Any:
        calls.append(1)
        maps = heat_maps(*words)
        maps[: len(calls) - 1] = 0
        return maps

    monkeypatch.setattr("reidclip.stages.explain.heat_maps", maps_of)
    words = ("a", "data", "--split", "test-C", "--against", "b", "--labels", "maps", "--shares-only", "--output", "out", "--json")
    told = explain(reidclip, place, *words).json
    whole, part = told["checkpoints"]
    assert whole["zero"] == [] and len(part["zero"]) == 1
    rows = list(csv.DictReader((place / "out/shares.csv").open()))
    assert [row["picture"] for row in rows if not row["mass_clothes"]] == part["zero"] and rows[4]["picture"] == part["zero"][0]
    first, second = ([float(row["mass_clothes"] or 0) for row in side] for side in (rows[:4], rows[4:]))
    assert whole["shares"]["clothes"]["mass"] == pytest.approx(sum(first) / 4, abs=1e-5)
    assert part["shares"]["clothes"]["mass"] == pytest.approx(sum(second) / 3, abs=1e-5)
    assert sum(region["mass"] for region in part["shares"].values()) == pytest.approx(1)
    more = told["more_on_clothes"][0]["difference"]["mean"]
    assert more == pytest.approx(sum(b - a for a, b in zip(first[1:], second[1:], strict=True)) / 3, abs=1e-5)


def test_shares_of_a_split_without_pictures(reidclip: CommandLine, place: Path) -> None:
    run = explain(reidclip, place, "a", "data", "--split", "train", "--labels", "maps", "--shares-only")
    assert "clothes" in run.out and "24 pictures" in run.out
    assert sorted(p.name for p in place.iterdir() if not p.name.startswith(".")) == ["artifacts", "data", "maps"]


def test_files_and_folders_find_their_maps_from_anywhere(reidclip: CommandLine, place: Path) -> None:
    picture = "data/rgb/test/A/001/cropped_rgb001.jpg"
    whole = explain(reidclip, place, "a", "data", "--split", "test-A", "--labels", "maps", "--shares-only", "--json").json
    folder = explain(reidclip, place, "a", "data/rgb/test/A", "--labels", "maps", "--shares-only", "--json").json
    assert folder["checkpoints"] == whole["checkpoints"]
    single = explain(reidclip, place, "a", picture, picture, "--labels", "maps", "--output", "out", "--json").json
    assert single["pictures"] == 1
    assert (place / "out/overlays/a-v1/0001-cropped_rgb001.png").is_file()


def test_maps_of_artifacts_are_the_same_maps(reidclip: CommandLine, place: Path) -> None:
    reidclip("mask", "data", "--parsing", "maps", "--name", "m", "--store", place / "artifacts")
    words = ("a", "data", "--split", "test-A", "--shares-only", "--json", "--labels")
    by_folder = explain(reidclip, place, *words, "maps").json["checkpoints"][0]["shares"]["clothes"]
    by_masks = explain(reidclip, place, *words, "m").json["checkpoints"][0]["shares"]["clothes"]
    assert by_masks == by_folder


def test_masks_tell_clothes_from_the_rest_not_from_the_background(reidclip: CommandLine, place: Path) -> None:
    reidclip("mask", "data", "--parsing", "maps", "--name", "m", "--store", place / "artifacts")
    told = explain(reidclip, place, "a", "data", "--split", "test-A", "--shares-only", "--json", "--labels", "m").json
    assert list(told["checkpoints"][0]["shares"]) == ["clothes", "not clothes"]


def test_label_maps_of_other_pictures_are_refused(reidclip: CommandLine, place: Path) -> None:
    """A data set rendered anew has pictures of the same names; its old masks would fit every one of them."""
    reidclip("mask", "data", "--parsing", "maps", "--name", "m", "--store", place / "artifacts")
    Image.new("RGB", SIZE[::-1]).save(place / "data/rgb/train/002/A_cropped_rgb001.jpg")
    run = explain(reidclip, place, "a", "data", "--split", "test-A", "--shares-only", "--labels", "m", code=2)
    assert "Masks m@v1 was made from other pictures than those that now lie in" in run.err and "reidclip mask" in run.err


def test_the_summary_says_what_it_is_of(reidclip: CommandLine, place: Path) -> None:
    reidclip("mask", "data", "--parsing", "maps", "--name", "m", "--store", place / "artifacts")
    words = ("a", "data", "--split", "test-A", "--limit", 2, "--seed", 5, "--shares-only", "--json", "--labels")
    told = explain(reidclip, place, *words, "m").json
    whole = open_dataset(place / "data")
    assert told["data"] == {"layout": "prcc", "root": str(place / "data"), "fingerprint": whole.fingerprint}
    assert (told["split"], told["limit"], told["seed"], told["pictures"]) == ("test-A", 2, 5, 2)
    digest = Store(place / "artifacts").open("masks/m").digest
    assert told["label_maps"] == {"artifact": "masks/m@v1", "digest": digest}
    assert explain(reidclip, place, *words, "maps").json["label_maps"] == {"folder": "maps"}


def test_maps_of_different_kinds_are_told(reidclip: CommandLine, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ViT's gradient map beside a ResNet's HiResCAM; here the second of two ViTs is given rollout."""
    from reidclip.explain.maps import choose_kind

    words = ("a", "data", "--split", "test-A", "--against", "b", "--labels", "maps", "--shares-only")
    assert explain(reidclip, place, *words, "--json").json["notes"] == []
    kinds = iter(("auto", "rollout"))
    monkeypatch.setattr("reidclip.stages.explain.choose_kind", lambda encoder, map_: choose_kind(encoder, next(kinds)))
    run = explain(reidclip, place, *words)
    assert "note: the maps are of different kinds" in run.out and "a@v1 gradient, b@v1 rollout" in run.out


def test_a_sheet_shows_what_it_is_towards(reidclip: CommandLine, place: Path) -> None:
    """A picture of pure green: its colour stands in the sheet that is towards it, and nowhere in the other."""
    Image.new("RGB", (16, 32), (0, 255, 0)).save(place / "green.png")
    words = ("a", "data/rgb/test/A/001/cropped_rgb001.jpg", "--output")
    run = explain(reidclip, place, *words, "plain")
    assert "wrote 1 sheet to plain" in run.err
    explain(reidclip, place, *words, "towards", "--towards", "green.png")
    green = [
        int((np.asarray(Image.open(place / name / "sheet-001.png").convert("RGB")) == (0, 255, 0)).all(axis=2).sum())
        for name in ("plain", "towards")
    ]
    assert green[0] == 0 and green[1] > 10_000


def test_a_choice_at_random_is_the_seeds(reidclip: CommandLine, place: Path) -> None:
    def chosen(seed: int) -> list[str]:
        explain(reidclip, place, "a", "data", "--limit", 3, "--seed", seed, "--output", f"out-{seed}")
        return sorted(p.name for p in (place / f"out-{seed}").glob("overlays/a-v1/*"))

    first = chosen(1)
    (place / "out-1").rename(place / "other")
    assert chosen(1) == first and len(first) == 3


def test_towards_and_kinds_of_maps(reidclip: CommandLine, place: Path) -> None:
    words = ("a", "data", "--split", "test-A", "--labels", "maps", "--shares-only", "--json")
    other = "data/rgb/test/A/003/cropped_rgb001.jpg"
    found = [
        explain(reidclip, place, *words, *more).json["checkpoints"][0]
        for more in ((), ("--map", "gradient"), ("--map", "rollout"), ("--towards", other))
    ]
    assert found[0] == found[1]
    assert [one["map"] for one in found] == ["gradient", "gradient", "rollout", "gradient"]
    assert len({one["shares"]["clothes"]["mass"] for one in found}) == 3


def test_a_broken_picture_leaves_nothing(reidclip: CommandLine, place: Path) -> None:
    victim = place / "data/rgb/test/A/003/cropped_rgb001.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    run = explain(reidclip, place, "a", "data", "--split", "test-A", "--output", "out", code=1)
    assert str(victim) in run.err
    assert sorted(p.name for p in place.iterdir()) == ["artifacts", "data", "maps"]
