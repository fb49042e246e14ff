"""Where open_clip is not installed: what needs it says so and how to get it, and what can do without goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reidclip.artifacts.store import Store
from reidclip.cli.absent import install
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from reidclip.train.transport_guide import TransportGuide
from tests.fakes import SIZE, write_prcc, write_tiny_clip

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "open_clip":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from reidclip.cli.entry import main

main()
"""
SMALL = ("--set", f"height={SIZE[0]}", "--set", f"width={SIZE[1]}", "--device", "cpu", "--workers", "0")
EXPLAIN = (
    "explain",
    "s",
    "prcc",
    "--split",
    "test-A",
    "--map",
    "transport",
    "--output",
    "out",
    "--store",
    "artifacts",
    "--workers",
    "0",
    "--device",
    "cpu",
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A PRCC, a CLIP ``tiny.safetensors`` and a student ``s`` of it."""
    write_prcc(tmp_path / "prcc")
    write_tiny_clip(tmp_path / "tiny.safetensors")
    student = make_student(load_clip("random:timm:test_vit", image_size=SIZE).image_encoder, 12)
    with Store(tmp_path / "artifacts").create("checkpoint", "s") as draft:
        InferenceEncoder(student, InferenceOptions()).eval().save(draft.path)
        TransportGuide(torch.randn(16, 2, 16), student.places_width, teacher=("tiny.safetensors", "0" * 64)).save(draft.path)
        draft.describe(config={}, method="clip3dreid")
    return tmp_path


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=place, capture_output=True, text=True)


def test_a_student_says_itself_which_phrases_fit(place: Path) -> None:
    done = run(place, *EXPLAIN, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {one["chosen_by"] for one in told["checkpoints"]} == {"student"}
    assert any("open_clip is not installed" in note and "its own reading was taken" in note for note in told["notes"])


@pytest.mark.parametrize(
    "words",
    [
        (*EXPLAIN, "--teacher", "tiny.safetensors"),
        ("distill", "prcc", "--label-only", "--teacher", "tiny.safetensors", *SMALL),
    ],
    ids=["explain", "distill"],
)
def test_what_needs_it_says_how_to_install_it(place: Path, words: tuple[str, ...]) -> None:
    done = run(place, *words)
    assert done.returncode == 1 and "open_clip is not installed" in done.stderr and "pip install open_clip_torch" in done.stderr
    assert "report" not in done.stderr


def test_what_is_no_package_of_the_toolkit_stays_an_internal_error() -> None:
    assert install(ModuleNotFoundError(name="cv2")) == "Install it: pip install opencv-python"
    assert not install(ModuleNotFoundError(name="reidclip.gone")) and not install(ModuleNotFoundError(name="torch.gone"))
    assert not install(ModuleNotFoundError())
