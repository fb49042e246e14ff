"""export as a user runs it: verified files, what they need to be used, and nothing where the verification fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.images import read_picture
from reidclip.data.open import open_dataset
from reidclip.errors import WorkError
from reidclip.export import onnx_format, verify
from reidclip.export.onnx_format import EXPORTER
from reidclip.gallery.model import VectorModel
from tests.cli.in_process import CommandLine
from tests.fakes import SIZE, tiny_clip, write_prcc
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


CALL = onnx_format.OnnxSession.__call__
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(pictures, their vectors) -> other vectors."""


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """ONNX Runtime's vectors, changed."""

    def put(change: Change) -> None:
        monkeypatch.setattr(onnx_format.OnnxSession, "__call__", lambda self, x, *camera: change(x, CALL(self, x, *camera)))

    return put


Spoil = Callable[[Change], None]


def refused(reidclip: CommandLine, store: Store, *words: object) -> str:
    """What an export says that is not kept."""
    run = reidclip("export", "--store", store.root, "--threads", 1, *words, code=1)
    assert "Nothing was kept." in run.err and not (store.root / "export").exists()
    return " ".join(run.err.split())


INT8 = ("--format", "onnx-int8", "--set", "max_drop=100")
both_kinds = pytest.mark.parametrize("words", [(), INT8], ids=["exact", "int8"])


def test_what_differs_is_not_kept(reidclip: CommandLine, place: Path, store: Store, tmp_path: Path, spoilt: Spoil) -> None:
    spoilt(lambda x, v: v + np.float32(0.5) * (np.arange(len(v)) == 3)[:, None])  # the fourth of a batch, if there is one
    said = refused(reidclip, store, "--output", tmp_path / "m.onnx")
    assert "does not give PyTorch's vectors: the cosine of rgb" in said and "in a batch of" in said
    assert "at least 0.99999 is asked" in said and not (tmp_path / "m.onnx").exists()


@both_kinds
def test_no_number_in_one_batch_alone(reidclip: CommandLine, place: Path, store: Store, spoilt: Spoil, words: tuple[str, ...]) -> None:
    spoilt(lambda x, v: np.where((np.arange(len(v)) == 40)[:, None], np.float32("nan"), v))
    assert re.search(r"gives no finite vector of rgb/\S+ in a batch of 64", refused(reidclip, store, *words))


@both_kinds
def test_another_length(reidclip: CommandLine, place: Path, store: Store, spoilt: Spoil, words: tuple[str, ...]) -> None:
    factor = 1.25 if words else 1.002
    spoilt(lambda x, v: v * np.where(np.arange(len(v)) == 1, np.float32(factor), np.float32(1))[:, None])
    said = refused(reidclip, store, *words)
    assert "gives vectors of another length than PyTorch's: that of rgb" in said and f"is off by {factor - 1:.2%}" in said


@both_kinds
def test_vectors_of_one_batch_size_are_others(
    reidclip: CommandLine, place: Path, store: Store, spoilt: Spoil, words: tuple[str, ...]
) -> None:
    spoilt(lambda x, v: v[::-1].copy() if len(v) == 7 else v)
    assert ("depend on the batch: of 7 and of 64" if words else "in a batch of 7 is") in refused(reidclip, store, *words)


@pytest.fixture
def larger(place: Path) -> None:
    """Pictures of twice the encoder's size."""
    for path in place.rglob("*.jpg"):
        with Image.open(path) as picture:
            picture.resize((2 * SIZE[1], 2 * SIZE[0])).save(path, quality=95)


@both_kinds
@pytest.mark.parametrize("how", ["cosine", "length"])
def test_other_pixels_than_pillows(
    reidclip: CommandLine, place: Path, larger: None, store: Store, spoilt: Spoil, words: tuple[str, ...], how: str
) -> None:
    def change(pictures: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        if pictures.shape[1:3] == SIZE:
            return vectors
        found: np.ndarray = np.roll(vectors, 1, axis=1) if how == "cosine" else vectors * np.float32(1.02)
        return found

    spoilt(change)
    said = refused(reidclip, store, "--resize", *words)
    assert f"resizes otherwise than Pillow: the {how} of " in said and "Leave --resize out" in said


def entry(size: int, **facts: Any) -> verify.Checked:
    return verify.Checked(**{"batch": size, "pictures": 8, "cosine": 1.0, "difference": 0.0, "worst": 0, "alone": 1.0, **facts})


NAN = float("nan")


@pytest.mark.parametrize("precision", ["fp32", "fp16", None])
@pytest.mark.parametrize("place_of", range(4))
@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"cosine": NAN}, "no finite vector of a in a batch of"),
        ({"alone": NAN}, "depend on the batch"),
        ({"alone": 0.5}, "depend on the batch: of [0-9]+ and of 64 their cosine is 0.5"),
        ({"length": NAN}, "another length"),
        ({"length": float("inf")}, "another length"),
        ({"length": 0.21}, "another length than PyTorch's: that of a in a batch of [0-9]+ is off by 21.00%"),
    ],
)
def test_one_wrong_batch_size_of_four(precision: str | None, place_of: int, facts: dict[str, float], said: str) -> None:
    allowed = verify.Allowed.of(precision or "fp32", exact=precision is not None)
    checked = [entry(size, **(facts if i == place_of else {})) for i, size in enumerate(verify.BATCHES)]
    with pytest.raises(WorkError, match=said):
        verify.check(checked, allowed, ["a"], "The export")


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-3), ("fp16", 1e-2)])
def test_how_long_vectors_may_be(precision: str, bound: float) -> None:
    allowed = verify.Allowed.of(precision, exact=True)
    verify.check([entry(1, length=0.99 * bound)], allowed, ["a"], "The export")
    with pytest.raises(WorkError, match="another length"):
        verify.check([entry(1, length=1.01 * bound)], allowed, ["a"], "The export")


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


def test_what_loses_more_than_is_allowed_is_not_kept(reidclip: CommandLine, place: Path, store: Store, spoilt: Spoil) -> None:
    """Vectors by which every picture is a stranger to every other; finite, of unit length, and the same in every batch."""

    def strangers(pictures: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        drawn = np.stack([np.random.default_rng(crc32(p.tobytes())).standard_normal(vectors.shape[1]) for p in pictures])
        found: np.ndarray = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        return found

    spoilt(strangers)
    said = refused(reidclip, store, "--format", "onnx-int8", "--set", "max_drop=2")
    assert re.search(r"Protocol \S+ loses [0-9.]+ points of (R1 .*; 4|mAP .*; 2) may be lost", said)


def test_an_inexact_format_needs_data(reidclip: CommandLine, store: Store) -> None:
    checkpoint(store, None)
    run = reidclip("export", "--store", store.root, "--format", "onnx-int8", code=2)
    assert "Format onnx-int8 is measured on data, and mine@v1 names none." in run.err


def test_weights_have_nothing_inside(reidclip: CommandLine, place: Path, store: Store) -> None:
    run = reidclip("export", "--store", store.root, "--format", "safetensors", "--preprocessing", code=2)
    assert "Format safetensors holds weights and no function." in run.err
