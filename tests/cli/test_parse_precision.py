"""The precision of the parser: what bf16 changes, where it is refused, and that it is a setting like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reidclip.artifacts.store import Store
from reidclip.data.images import read_picture
from reidclip.errors import UserError
from reidclip.stages.synth import synth
from reidclip_schp import PARSER
from reidclip_schp.session import FullSession
from reidclip_schp.settings import SchpSettings
from tests.cli.red_pictures import call, call_json, refusal
from tests.trees import picture

CPU = torch.device("cpu")


def test_labels_of_rendered_people_in_bf16(tmp_path: Path) -> None:
    synth(tmp_path / "people", ids=2, images_per_camera=1)
    pictures = [read_picture(path) for path in sorted((tmp_path / "people" / "rgb").rglob("*.jpg"))]
    exact, rounded = (PARSER.open(SchpSettings.model_validate({"precision": p}), CPU)(pictures) for p in ("fp32", "bf16"))
    assert all(len(np.unique(labels)) > 5 for labels in exact)
    share = np.mean([(a == b).mean() for a, b in zip(exact, rounded, strict=True)])
    assert 0.995 <= share < 1


def test_scores_of_the_full_network_in_bf16(filled_checkpoint: Path) -> None:
    """They are off by a few percent of what they vary by, and still float32: its first and last steps are not rounded."""
    plain, rounded = (
        PARSER.open(SchpSettings.model_validate({"weights": filled_checkpoint, "height": 97, "width": 65, "precision": p}), CPU)
        for p in ("fp32", "bf16")
    )
    assert isinstance(plain, FullSession) and isinstance(rounded, FullSession)
    warped = [picture(0, 97, 65), picture(1, 97, 65)]
    expected, found = plain.scores(warped), rounded.scores(warped)
    spread = (expected - expected.mean((0, 2, 3), keepdim=True)).std()
    assert 0 < (found - expected).std() < 0.1 * spread
    assert (found.bfloat16().float() != found).float().mean() > 0.9


def test_fp16_on_a_cpu_says_what_to_use(data: Path, store: Store) -> None:
    for command in ("parse", "mask"):
        error = refusal(call(store, command, data, "--precision", "fp16"))
        assert isinstance(error, UserError) and "fp16 needs a CUDA device" in error.what and "bf16" in error.remedy
    assert "precision" in refusal(call(store, "parse", data, "--precision", "half")).what
    assert not store.root.exists()


@pytest.mark.parametrize("command", ["parse", "mask"])
def test_precision_is_kept_with_the_maps(command: str, data: Path, store: Store, weights: str) -> None:
    assert call_json(store, command, data, "--weights", weights, "--precision", "bf16")
    assert [a.manifest.config["precision"] for a in store.list("parsing")] == ["bf16"]
    plan = call(store, "mask", data, "--weights", weights, "--dry-run")
    assert json.loads(plan.stdout)["label_maps"] is None
    plan = call(store, "mask", data, "--weights", weights, "--precision", "bf16", "--dry-run")
    assert json.loads(plan.stdout)["label_maps"] == "parsing/schp-tiny-people@v1"
