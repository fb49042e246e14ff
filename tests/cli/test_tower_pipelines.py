"""Every kind of dual encoder through the commands: prompts, fine-tuning, evaluation with and without training, maps and cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.clip.load import load_clip, save_clip
from tests.cli.in_process import CommandLine, assigned
from tests.cli.layout_trees import TREES
from tests.towers import tower_spec

SMALL = assigned("height=64", "width=32", "epochs=1")
BATCHES = assigned("identities=2", "images_per_identity=2", "pad=2")
EXPLAINED = {"siglip": "hirescam", "mobileclip": "hirescam", "convnext": "hirescam"}


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REIDCLIP_STORE")
    TREES["market1501"].write(tmp_path / "data")
    return CommandLine(monkeypatch, capsys)


@pytest.mark.parametrize("family", ["siglip", "class-token", "mobileclip", "convnext", "clipa", "coca", "blip"])
def test_pipeline(family: str, tmp_path: Path, reidclip: CommandLine) -> None:
    spec = tower_spec(tmp_path, family)
    reidclip("prompt-learn", "data", "--method", "clipreid", "--clip", spec, "--workers", 0, *SMALL)
    reidclip("finetune", "--method", "clipreid", "--clip", spec, "--workers", 0, *SMALL, *BATCHES)
    (tmp_path / f"{family}.json").unlink()  # a checkpoint needs nothing of the CLIP that it came from
    assert 0 < reidclip("evaluate", "--workers", 0, "--json").json["metrics"]["general"]["mAP"] <= 1
    words = ("--no-memory", "--repeats", 1, "--batch-size", 2, "--threads", 1, "--device", "cpu", "--json")
    cost = reidclip("profile", "clipreid-data", *words).json["checkpoints"][0]
    assert cost["macs"] > 0 and cost["parameters"] > 0
    query = next((tmp_path / "data/query").glob("*.jpg"))
    if family in EXPLAINED:
        assert reidclip("explain", "clipreid-data", query, "--output", "maps", "--json").json["checkpoints"][0]["map"] == EXPLAINED[family]
    else:
        run = reidclip("explain", "clipreid-data", query, "--output", "maps", code=2)
        assert "The attention of this image tower cannot be read" in run.err


@pytest.mark.parametrize("family", ["siglip", "blip"])
def test_zero_shot(family: str, tmp_path: Path, reidclip: CommandLine) -> None:
    spec = tower_spec(tmp_path, family)
    run = reidclip("evaluate", "data", "--zero-shot", "--clip", spec, "--workers", 0, "--json")
    assert 0 < run.json["metrics"]["general"]["mAP"] <= 1


def test_weights_of_a_timm_tower_are_imported(tmp_path: Path, reidclip: CommandLine) -> None:
    clip = load_clip(tower_spec(tmp_path, "class-token"), image_size=(64, 32))
    save_clip(tmp_path / "w.safetensors", clip.image_encoder, clip.text_encoder, clip.logit_scale, clip.model)
    reidclip("import", "w.safetensors", "--name", "towers")
    assert 0 < reidclip("evaluate", "data", "--checkpoint", "towers", "--workers", 0, "--json").json["metrics"]["general"]["mAP"] <= 1


def test_a_tokenizer_that_is_not_there_is_told_with_where_to_put_it(tmp_path: Path, reidclip: CommandLine) -> None:
    spec = tower_spec(tmp_path, "siglip")
    (tmp_path / "tokenizer").rename(tmp_path / "elsewhere")
    run = reidclip("prompt-learn", "data", "--method", "clipreid", "--clip", spec, *SMALL, code=2)
    assert "The tokenizer timm/ViT-B-16-SigLIP is not on this machine and cannot be fetched" in run.err
    assert "https://huggingface.co/timm/ViT-B-16-SigLIP/tree/main" in run.err
    assert f"put them into {tmp_path / 'tokenizer'}." in run.err.replace("\n", " ")
    assert "--recipe market1501" not in run.err, "what a recipe cannot mend, it is not named for"


@pytest.mark.parametrize(("family", "what", "extra"), [("siglip", "SigLIP of this model", "tokenizers"), ("blip", "BLIP", "blip")])
def test_without_transformers_the_extra_is_named(
    family: str, what: str, extra: str, tmp_path: Path, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    run = reidclip("prompt-learn", "data", "--method", "clipreid", "--clip", tower_spec(tmp_path, family), *SMALL, code=2)
    assert f"{what} needs transformers, which is not installed." in run.err
    assert f"pip install 'reidclip[{extra}]'" in run.err


def test_camera_embeddings_and_strides_that_a_tower_lacks(tmp_path: Path, reidclip: CommandLine) -> None:
    spec = tower_spec(tmp_path, "convnext")
    for setting, words in (("sie_camera=true", "no class token to add a camera embedding to"), ("stride=12", "overall stride 32, not 12")):
        run = reidclip("finetune", "data", "--method", "baseline", "--clip", spec, *SMALL, *BATCHES, "--set", setting, code=2)
        assert words in run.err
