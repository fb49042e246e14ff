"""What the commands say and record of tracklets; the whole way through them is in test_layout_pipelines.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from reidclip.artifacts.store import Store
from reidclip.data.layouts.ccvid import LAYOUT
from reidclip.stages.use_masks import with_masks
from tests.cli.error_inputs.kitchen import write_maps
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.cli.layout_trees import TREES

SMALL = ["--clip", "tiny.safetensors", "--set", "height=32", "--set", "width=16", "--set", "pad=2", "--set", "epochs=1"]
BATCH = ["--set", "identities=2", "--set", "images_per_identity=2"]
FINETUNE = ["finetune", "data", "--method", "baseline", *SMALL, *BATCH]


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    TREES["ccvid"].write(tmp_path / "data")
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_a_plan_counts_tracklets_and_frames(reidclip: CommandLine) -> None:
    plan = json.loads(reidclip(*FINETUNE, "--dry-run").out)
    assert plan["data"]["training tracklets"] == 4 and plan["data"]["training frames"] == 70 + 9 + 40 + 1
    assert (plan["settings"]["clip_frames"], plan["settings"]["clip_stride"], plan["settings"]["piece_frames"]) == (8, 4, 64)


def test_pieces_are_told_and_change_the_training(reidclip: CommandLine, tmp_path: Path) -> None:
    told = {
        "whole": reidclip(*FINETUNE, "--set", "piece_frames=0", "--name", "whole").err,
        "pieces": reidclip(*FINETUNE, "--set", "piece_frames=10", "--name", "pieces").err,
    }
    assert "tracklets: 4, taken whole; every time one comes, a clip of 8 frames is drawn of it" in told["whole"]
    assert "tracklets: 4, cut into 13 pieces" in told["pieces"]
    store = Store(tmp_path / "artifacts")
    steps = {name: json.loads((store.open(name, kind="checkpoint").path / "history.json").read_text())["stage-0"] for name in told}
    assert steps["whole"][0]["main/total"] != steps["pieces"][0]["main/total"]


def test_an_evaluation_records_how_a_tracklet_s_feature_is_made(reidclip: CommandLine, tmp_path: Path) -> None:
    zero = ["evaluate", "data", "--zero-shot", "--clip", "tiny.safetensors", "--set", "resamples=0"]
    reidclip(*zero, "--name", "eight")
    reidclip(*zero, "--name", "three", "--set", "clip_frames=3", "--set", "batch_size=1")
    store = Store(tmp_path / "artifacts")
    eight, three = (store.open(name, kind="evaluation") for name in ("eight", "three"))
    feature = eight.manifest.config["feature"]
    assert (feature["tracklets"], feature["frames"], feature["clip"]) == (6, 33 + 1 + 5 + 8 + 12 + 4, {"frames": 8, "stride": 4})
    assert three.manifest.config["feature"]["clip"] == {"frames": 3, "stride": 4}
    rows = [load_file(a.path / "features.safetensors")["features"] for a in (eight, three)]
    paths = json.loads((eight.path / "paths.json").read_text())
    assert paths[0] == "session1/002_01" and rows[0].shape[0] == 6
    # Clips of one length or the other weigh frames alike where no clip is padded (12 frames are, by 8), and where there is one frame.
    one, twelve = paths.index("session1/003_02"), paths.index("session3/002_01")
    assert (rows[0][one] - rows[1][one]).abs().max() < 1e-6
    assert (rows[0][twelve] - rows[1][twelve]).abs().max() > 1e-6
    assert all(abs(float(row.norm()) - 1) < 1e-5 for row in rows[0])  # normalised after the mean over clips


def test_frames_that_have_no_mask_are_told_and_left_out(reidclip: CommandLine, tmp_path: Path) -> None:
    gone = ["session1/001_01/00003", "session1/001_01/00069", "session3/010_12/00001"]  # the last is all that there is of its tracklet
    maps = write_maps(tmp_path / "data", tmp_path / "maps")
    for frame in gone:
        (maps / f"{frame}.png").unlink()
    reidclip("mask", "data", "--parsing", "maps", "--on-error", "skip", "--name", "m")
    learned = reidclip("prompt-learn", "data", "--method", "ccaf", "--name", "p", *SMALL[:6], *SMALL[-2:])
    notes = [
        "1 training tracklet has no mask in m@v1 and is left out; it is session3/010_12",
        f"2 frames of training tracklets have no mask in m@v1 and are left out; the first is {gone[0]}.jpg",
    ]
    assert [line for line in learned.err.splitlines() if line.startswith("note:")] == [f"note: {note}" for note in notes]
    store = Store(tmp_path / "artifacts")
    assert list(store.open("p", kind="prompts").manifest.notes) == notes
    whole = LAYOUT.load(tmp_path / "data").split("train")
    kept = with_masks(store.open("m", kind="masks"), whole)
    frames = [{frame for s in samples for frame in s.frames} for samples in (whole, kept)]
    assert frames[0] - frames[1] == {f"{frame}.jpg" for frame in gone}
    assert {s.path: len(s.frames) for s in kept} == {"session1/001_01": 68, "session2/001_01": 9, "session1/010_12": 40}
