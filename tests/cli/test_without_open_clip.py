"""What needs no CLIP at test time runs where open_clip, texts and bodies cannot be had: evaluate and profile of a student."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from tests.cli.in_process import CommandLine
from tests.fakes import write_prcc

FORBIDDEN = ("open_clip", "reidclip.bodies", "reidclip.clip.text_encoder", "reidclip.clip.tokenizer")
EVALUATE = ("evaluate", "prcc", "--checkpoint", "s", "--device", "cpu", "--store", "artifacts")
PROFILE = ("profile", "s", "--store", "artifacts", "--no-memory", "--repeats", "1", "--batch-size", "2", "--output", "cost.json")
CALLS = (EVALUATE, PROFILE)
PROGRAM = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == word or name.startswith(word + ".") for word in {FORBIDDEN!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from reidclip.cli.entry import main

for words in {CALLS!r}:
    sys.argv = ["reidclip", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
for word in {FORBIDDEN!r}:
    try:
        __import__(word)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{{word}} is there")
"""


@pytest.fixture
def student(tmp_path: Path) -> InferenceEncoder:
    """In the store as checkpoint ``s``: a network of timm's, an identity head and a BatchNorm."""
    torch.manual_seed(0)
    bottleneck = nn.BatchNorm1d(24)
    bottleneck.running_mean = torch.randn(24)
    backbone = load_clip("random:timm:test_resnet@1", image_size=(32, 16)).image_encoder
    encoder = InferenceEncoder(make_student(backbone, 24), InferenceOptions(neck="after"), bottleneck).eval()
    with Store(tmp_path / "artifacts").create("checkpoint", "s") as draft:
        encoder.save(draft.path)
        draft.describe(config={}, method="clip3dreid")
    return encoder


def test_a_student_is_evaluated_and_profiled_alone(student: InferenceEncoder, reidclip: CommandLine, tmp_path: Path) -> None:
    write_prcc(tmp_path / "prcc")
    alone = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    reidclip(*EVALUATE)
    first, second = (load_file(tmp_path / f"artifacts/evaluation/s-prcc/v000{n}/features.safetensors") for n in (1, 2))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert any(value.dim() == 2 and value.shape[1] == 24 for value in first.values())
    (row,) = json.loads((tmp_path / "cost.json").read_text())["checkpoints"]
    assert row["parameters"] == sum(p.numel() for p in student.parameters()) and row["width"] == 24
