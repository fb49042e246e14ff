"""export as a user runs it: verified files, what they need to be used, and nothing where the verification fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.images import read_picture
from reidclip.data.open import open_dataset
from reidclip.export import onnx_format, verify
from reidclip.export.onnx_format import EXPORTER
from reidclip.gallery.model import VectorModel
from tests.cli.in_process import CommandLine
from tests.fakes import tiny_clip, write_prcc
from tests.tiny_clip import tiny_clip as clip_of


def checkpoint(store: Store, data: Path | None, encoder: InferenceEncoder | None = None, name: str = "mine") -> InferenceEncoder:
    encoder = encoder or InferenceEncoder(tiny_clip().image_encoder, InferenceOptions()).eval()
    with store.create("checkpoint", name) as draft:
        encoder.save(draft.path)
        draft.describe(config={}, method="baseline", dataset=DatasetRef.of(open_dataset(data)) if data else None)
    return encoder


@pytest.fixture
def place(tmp_path: Path, store: Store) -> Path:
    data = write_prcc(tmp_path / "prcc")
    checkpoint(store, data)
    return data


def test_bare_it_exports_the_newest_on_its_own_data(reidclip: CommandLine, place: Path, store: Store) -> None:
    run = reidclip("export", "--store", store.root, "--threads", 1)
    assert "checkpoint: mine@v1 (the newest)" in run.err and f"verified on: {place}" in run.err
    artifact = store.open("mine-onnx", kind="export")
    report = json.loads(artifact.file("report.json").read_text())
    assert [row["batch"] for row in report["batches"]] == [1, 2, 7, 64]
    assert all(row["least_cosine"] >= 0.99999 and row["least_cosine_between_batches"] >= 0.99999 for row in report["batches"])
    assert report["pictures"].endswith(f"pictures of {place}") and str(report["batches"][0]["worst_picture"]).endswith((".jpg", ".png"))
    about = json.loads(artifact.file("export.json").read_text())
    assert about["inputs"] == [{"name": "pictures", "shape": ["batch", 3, 32, 16], "dtype": "float32"}]
    assert about["outputs"] == [{"name": "vectors", "shape": ["batch", 40], "dtype": "float32"}]
    assert about["versions"]["opsets"] == {"ai.onnx": 18} and about["versions"]["onnxruntime"]
    encoder = InferenceEncoder(tiny_clip().image_encoder, InferenceOptions()).eval()
    assert VectorModel.from_json(about["model"]) == VectorModel.of("mine@v1", encoder)
    assert artifact.manifest.inputs[0].ref == "mine@v1" and artifact.problems() == []


def test_pictures_of_any_size_go_in(reidclip: CommandLine, place: Path, store: Store, tmp_path: Path) -> None:
    words = ("--resize", "--precision", "fp16", "--output", tmp_path / "m.onnx", "--json", "--threads", 1)
    told = reidclip("export", "mine", "--store", store.root, *words).json
    assert told["resized"]["least_cosine"] >= 0.999
    assert told["least_cosine_allowed"] == 0.999
    session = EXPORTER.load(tmp_path / "m.onnx", threads=1)
    pictures = [read_picture(p) for p in sorted(place.rglob("*.jpg"))[:2]]
    large = pictures[0].repeat(3, axis=0).repeat(3, axis=1)
    assert session(large[None]).shape == session(pictures[0][None]).shape == (1, 40)
    reidclip("export", "mine", "--store", store.root, "--output", tmp_path / "m.onnx", code=2)


def test_without_data_on_rendered_people(reidclip: CommandLine, store: Store) -> None:
    checkpoint(store, None, InferenceEncoder(clip_of(sie_cameras=3).image_encoder, InferenceOptions(per_picture=True)).eval())
    run = reidclip("export", "--preprocessing", "--store", store.root, "--threads", 1)
    assert "verified on: rendered people" in run.err
    artifact = store.open("mine-onnx", kind="export")
    about = json.loads(artifact.file("export.json").read_text())
    assert [i["name"] for i in about["inputs"]] == ["pictures", "camera"]
    assert about["inputs"][0] == {"name": "pictures", "shape": ["batch", 32, 16, 3], "dtype": "uint8"}
    assert about["preprocessing"]["normalisation"] == "per picture" and "mean" not in about["preprocessing"]
    assert json.loads(artifact.file("report.json").read_text())["pictures"] == "24 rendered pictures"


def wrong(session: onnx_format.OnnxSession, *given: Any) -> np.ndarray:
    vectors = CALL(session, *given)
    return vectors + np.float32(0.5) * (np.arange(len(vectors)) == 3)[:, None].astype(np.float32)  # the fourth of a batch, if there is one


CALL = onnx_format.OnnxSession.__call__


def test_what_differs_is_not_kept(
    reidclip: CommandLine, place: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_format.OnnxSession, "__call__", wrong)
    run = reidclip("export", "--store", store.root, "--output", tmp_path / "m.onnx", code=1)
    assert "does not give PyTorch's vectors: the cosine of rgb" in run.err and "in a batch of" in run.err
    assert "at least 0.99999 is asked" in run.err and "Nothing was kept." in run.err
    assert not (tmp_path / "m.onnx").exists() and not (store.root / "export").exists()


def test_what_depends_on_the_batch_is_told() -> None:
    checked = [verify.Checked(size, 8, 1.0, 0.0, 0, 0.5 if size == 2 else 1.0) for size in verify.BATCHES]
    with pytest.raises(verify.WorkError, match=r"depend on the batch: of 2 and of 64 their cosine is 0\.5"):
        verify.check(checked, 0.99999, ["a"], "The export")


def test_a_vector_that_is_no_number_fails() -> None:
    checked = [verify.Checked(1, 8, float("nan"), 0.0, 0, 1.0)]
    with pytest.raises(verify.WorkError, match="the cosine of a in a batch of 1 is nan"):
        verify.check(checked, 0.99999, ["a"], "The export")


def test_dry_run_writes_nothing(reidclip: CommandLine, place: Path, store: Store) -> None:
    told = reidclip("export", "--store", store.root, "--dry-run", "--preprocessing").json
    assert (told["writes"], told["preprocessing"], told["settings"]) == ("export/mine-onnx", True, {"opset": 18})
    assert not (store.root / "export").exists()


def test_an_inexact_format_is_measured_by_the_protocols(reidclip: CommandLine, place: Path, store: Store) -> None:
    words = ("--format", "onnx-int8", "--preprocessing", "--threads", 1, "--set", "max_drop=100")
    run = reidclip("export", "--store", store.root, *words)
    report = json.loads(store.open("mine-onnx-int8", kind="export").file("report.json").read_text())
    assert report["least_cosine_allowed"] is None and report["batches"][-1]["batch"] == 64
    told = report["evaluation"]["protocols"]["cloth-changing"]
    assert told["mAP"]["difference"] == pytest.approx(told["mAP"]["after"] - told["mAP"]["before"])
    assert f"{told['R1']['before']:.2f} -> {told['R1']['after']:.2f}" in run.out


def test_an_inexact_format_needs_data(reidclip: CommandLine, store: Store) -> None:
    checkpoint(store, None)
    run = reidclip("export", "--store", store.root, "--format", "onnx-int8", code=2)
    assert "Format onnx-int8 is measured on data, and mine@v1 names none." in run.err


def test_weights_have_nothing_inside(reidclip: CommandLine, place: Path, store: Store) -> None:
    run = reidclip("export", "--store", store.root, "--format", "safetensors", "--preprocessing", code=2)
    assert "Format safetensors holds weights and no function." in run.err
