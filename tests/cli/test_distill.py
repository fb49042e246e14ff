"""`reidclip distill` as users call it: what it takes when nothing is named, what it makes first, and that it goes on when repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.artifacts.store import Store
from tests.cli.in_process import CommandLine, Run
from tests.fakes import write_prcc, write_tiny_clip

SMALL = [f"--set={s}" for s in ("height=32", "width=16", "epochs=1", "identities=2", "images_per_identity=2", "pad=2")]
STUDENT = ["--student", "random:timm:test_vit"]
WORDS = ["--set=feature_width=12", "--set=teacher_height=32", "--set=teacher_width=16", "--set=lambda_3d=0", "--set=stride=16"]


class Place(CommandLine):
    """A data set, a CLIP and an empty store in the working directory."""

    def __call__(self, *words: object, code: int = 0) -> Run:
        return super().__call__(*words, "--workers", "0", "--device", "cpu", code=code)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    write_prcc(tmp_path / "data")
    write_tiny_clip(tmp_path / "clip.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REIDCLIP_STORE", raising=False)
    return Place(monkeypatch, capsys)


def test_descriptions_are_made_once_and_then_found(run: Place) -> None:
    line = ["distill", "data", "--teacher", "clip.safetensors", *STUDENT, *SMALL, *WORDS]
    plan = run(*line, "--dry-run").json
    assert plan["describes first"]["teacher"] == "clip.safetensors" and not Path("artifacts").exists()
    run(*line)
    again = run(*line)
    assert "descriptions: clip-data@v1 (the newest of this data, CLIP and sentence)" in again.err
    store = Store(Path("artifacts"))
    assert [a.ref for a in store.list("descriptions")] == ["clip-data@v1"]
    first, second = store.list("checkpoint")
    assert (first.path / "encoder.safetensors").read_bytes() == (second.path / "encoder.safetensors").read_bytes()
    assert {i.role: i.ref for i in second.manifest.inputs} == {"descriptions": "clip-data@v1"}
    assert (second.path / "transport.safetensors").is_file() and not (second.path / "shape.safetensors").exists()
    assert "cloth-changing" in run("evaluate", "data").out


def test_the_newest_fine_tuned_checkpoint_teaches_and_no_student(run: Place) -> None:
    run("finetune", "data", "--method", "baseline", "--clip", "clip.safetensors", "--name", "taught", *SMALL)
    line = ["distill", "data", "--method", "rkd", *STUDENT, *SMALL]
    for _ in range(2):
        told = run(*line).err
        assert "teacher: taught@v1 (the newest fine-tuned on this data)" in told
    students = [a for a in Store(Path("artifacts")).list("checkpoint") if a.manifest.method == "rkd"]
    assert [[(i.role, i.ref) for i in s.manifest.inputs] for s in students] == [[("teacher", "taught@v1")]] * 2
    named = run("distill", "data", "--teacher", students[0].ref, *STUDENT, *SMALL, "--name", "grandchild")
    assert "method: rkd (the teacher is a checkpoint)" in named.err
    assert Store(Path("artifacts")).open("grandchild").manifest.inputs[0].ref == students[0].ref


def test_without_a_teacher_there_is_none_to_take(run: Place) -> None:
    told = run("distill", "data", "--method", "rkd", *STUDENT, *SMALL, code=2).err
    assert "There is no fine-tuned checkpoint of" in told and "--teacher NAME@v1" in told
