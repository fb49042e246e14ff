"""SCI from the command line on rendered people: prompt-learn, finetune, evaluate, and what is told of data and prompts that do not fit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reidclip.clip.inference import InferenceEncoder
from tests import trees
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip

SMALL = ("height=32", "width=16", "epochs=2")
BATCHES = ("identities=2", "images_per_identity=2", "pad=2")
CLIP = ("--clip", "tiny.safetensors")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An LTCC-like set of five people."""
    folder = tmp_path_factory.mktemp("rendered") / "people"
    with pytest.MonkeyPatch.context() as patch:
        from typer.testing import CliRunner

        from reidclip.cli.app import app

        patch.setenv("COLUMNS", "200")
        options = ["--ids", "5", "--test-ids", "2", "--images-per-camera", "1", "--size", "64x32", "--workers", "1", "-q"]
        run = CliRunner().invoke(app, ["synth", str(folder), "--layout", "ltcc", *options])
        assert run.exit_code == 0, run.output
    yield folder


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_pipeline(rendered: Path, tmp_path: Path, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    reidclip("prompt-learn", rendered, "--method", "sci", *CLIP, *assigned(*SMALL))
    reidclip("finetune", *assigned(*SMALL, *BATCHES))  # method, data and prompts of the command before
    folder = tmp_path / "artifacts/checkpoint/sci-people/v0001"
    assert json.loads((folder / "encoder.json").read_text())["encoder"]["context_block"] == "nonlocal"
    for module in [name for name in sys.modules if name.startswith("reidclip_sci")]:
        monkeypatch.setitem(sys.modules, module, None)  # importing it now fails
    InferenceEncoder.load(folder)
    metrics = reidclip("evaluate", "--json").json["metrics"]
    assert {"general", "cloth-changing"} <= set(metrics)
    assert all(0 <= metrics[protocol]["mAP"] <= 1 for protocol in metrics)


def test_table_2_from_the_command_line(rendered: Path, tmp_path: Path, reidclip: CommandLine) -> None:
    """Half a switch is told: prompts learned with sse, fine-tuning without it."""
    reidclip("prompt-learn", rendered, "--method", "sci", *CLIP, *assigned(*SMALL))
    told = reidclip("finetune", rendered, *assigned(*SMALL, *BATCHES, "sse=false"), code=2).err
    assert "learned with semantic separation" in told and "--set sse=true" in told
    reidclip("prompt-learn", rendered, "--method", "sci", *CLIP, *assigned(*SMALL, "sse=false"))
    reidclip("finetune", rendered, *assigned(*SMALL, *BATCHES, "sse=false", "sim=false"))
    config = json.loads((tmp_path / "artifacts/checkpoint/sci-people/v0001/encoder.json").read_text())
    assert "context_block" not in config["encoder"]


def test_prompts_of_another_method_are_refused(rendered: Path, reidclip: CommandLine) -> None:
    reidclip("prompt-learn", rendered, "--method", "clipreid", *CLIP, *assigned(*SMALL))
    settings = assigned(*SMALL, *BATCHES)
    told = reidclip("finetune", rendered, "--method", "sci", "--prompts", "clipreid-people", *CLIP, *settings, code=2).err
    assert "learned by method 'clipreid', not 'sci'" in told and "prompt-learn --method sci" in told


def test_data_without_clothes_labels(tmp_path: Path, reidclip: CommandLine) -> None:
    """Market-1501: what to do is told, and it works; fine-tuning takes it over from the prompts."""
    trees.market1501(tmp_path / "market")
    told = reidclip("prompt-learn", "market", "--method", "sci", *CLIP, *assigned(*SMALL), code=2).err
    assert "have no clothes label" in told and "clothes_from=identity" in told
    reidclip("prompt-learn", "market", "--method", "sci", *CLIP, *assigned(*SMALL, "clothes_from=identity"))
    told = reidclip("finetune", "market", *assigned(*SMALL, *BATCHES, "clothes_from=labels"), code=2).err
    assert "have no clothes label" in told
    told = reidclip("finetune", "market", *assigned(*SMALL, *BATCHES)).err
    assert "clothes_from: identity (of prompts sci-market@v1)" in told
    assert (tmp_path / "artifacts/checkpoint/sci-market/v0001/encoder.safetensors").is_file()
