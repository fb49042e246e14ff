"""Method cal from the command line: finetune, then evaluate, on an image encoder without text and on the embedded CLIP."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reidclip.artifacts.store import Store
from tests.cli.in_process import CommandLine, assigned
from tests.fakes import write_prcc, write_tiny_clip

SMALL = ("--set", "height=64", "--set", "width=32", "--set", "epochs=1", "--set", "cal_start_epoch=0", "--workers", "0")
BATCH = ("--set", "identities=4", "--set", "images_per_identity=3")
PUBLISHED = ("--set", "sampler=chunk", "--set", "crop=enlarge", "--set", "erasing=colour")


@pytest.fixture
def reidclip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("REIDCLIP_STORE", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # states of a ResNet-50 are 280 MB; what a power cut leaves is tested elsewhere
    write_prcc(tmp_path / "prcc")
    return CommandLine(monkeypatch, capsys)


@pytest.mark.parametrize(("clip", "width"), [("random:resnet50", 4096), ("reidclip-tiny", None)])
def test_finetune_and_evaluate(reidclip: CommandLine, tmp_path: Path, clip: str, width: int | None) -> None:
    made = reidclip("finetune", "prcc", "--method", "cal", "--clip", clip, *SMALL, *BATCH, *PUBLISHED, "--json").json
    metrics = made["metrics"]
    assert any(name.endswith("clothes/total") for name in metrics) and any(name.endswith("main/total") for name in metrics)
    saved = json.loads((Path(made["path"]) / "encoder.json").read_text())
    told = (saved["neck"], saved["flip"], saved["encoder"]["model"].get("trunk"))
    assert told == (("after", True, "resnet50") if width else ("before", False, None))
    result = reidclip("evaluate", "prcc", "--checkpoint", made["artifact"], "--workers", "0", "--json").json
    assert set(result["metrics"]) >= {"same-clothes", "cloth-changing"}
    assert all(0 <= row["R1"] <= 1 for row in result["metrics"].values())


@pytest.mark.parametrize(
    ("method", "settings", "same"),
    [("cal", ["variant=memory-mean"], "variant=none"), ("sci", ["sse=false", "sim=false", "i2tce_weight=0"], "cal_weight=0")],
)
def test_a_training_that_ends_before_clothes_begin_says_so(
    reidclip: CommandLine, tmp_path: Path, method: str, settings: list[str], same: str
) -> None:
    clip = write_tiny_clip(tmp_path / "tiny.safetensors")
    small = ["height=32", "width=16", "pad=2", "epochs=1", "identities=2", "images_per_identity=2", *settings]

    def notes(*more: str) -> tuple[list[str], list[str]]:
        run = reidclip("finetune", "prcc", "--method", method, "--clip", clip, *assigned(*small, *more), "--workers", 0)
        made = Store(tmp_path / "artifacts").newest("checkpoint")
        assert made is not None
        return [line for line in run.err.splitlines() if line.startswith("note:")], list(made.manifest.notes)

    told, kept = notes("cal_start_epoch=1")
    assert told == [f"note: {note}" for note in kept] and len(kept) == 1
    assert "begin after 1 epoch (cal_start_epoch) and this training ends after 1" in kept[0] and f"--set {same}" in kept[0]
    assert notes("cal_start_epoch=0") == ([], []) == notes("cal_start_epoch=1", same)


@pytest.mark.parametrize("variant", ["memory-published", "memory-mean", "none"])
def test_a_plan_names_the_variant(reidclip: CommandLine, variant: str) -> None:
    plan = reidclip("finetune", "prcc", "--method", "cal", "--set", f"variant={variant}", "--recipe", "ltcc", "--dry-run").json
    assert plan["settings"]["variant"] == variant and plan["settings"]["clip"] == "resnet50:imagenet"
