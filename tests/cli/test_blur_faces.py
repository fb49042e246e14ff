"""--blur-faces from the command line: trainings, evaluations and copies of a data set whose faces are known by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.face_blur import blur_faces
from reidclip.data.files import mirrored
from reidclip.data.images import read_indexed_png, read_mask_png, read_picture, write_indexed_png
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE
from reidclip.data.open import open_dataset
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip
from tests.fakes import write_prcc

FACELESS = "rgb/train/002/A_cropped_rgb001.jpg"
SMALL = assigned("height=32", "width=16", "epochs=1")
BATCH = assigned("identities=2", "images_per_identity=2", "pad=2")
ZERO = ("--zero-shot", "--clip", "tiny.safetensors", "--workers", "0", "--set", "resamples=0", "--json")


@pytest.fixture
def reidclip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    line = beside_a_tiny_clip(monkeypatch, capsys, tmp_path)
    write_prcc(tmp_path / "prcc", tmp_path / "keep")
    return line


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def labels(folder: Path, path: str) -> np.ndarray:
    """The truth of a drawn person: its head, of which no label is given on one picture."""
    keep = read_mask_png(folder / "keep" / mirrored(path))
    left = int(np.flatnonzero((keep == 0).any(axis=0))[0])
    found = np.where(keep == 0, 5, 0).astype(np.uint8)
    if path != FACELESS:
        found[2:9, left + 1 : left + 5] = 13
    return found


def write_parsing(store: Store, folder: Path, skipped: tuple[str, ...] = ()) -> Artifact:
    """A parsing of the drawn people, as a perfect parser would leave it."""
    dataset = open_dataset(folder / "prcc")
    with store.create("parsing", "truth") as draft:
        for path in (s.path for s in dataset.samples if s.path not in skipped):
            target = draft.path / "labels" / mirrored(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_indexed_png(target, labels(folder, path), LIP_PALETTE)
        (draft.path / "labels.json").write_text(json.dumps({"labels": LIP_LABELS, "skipped": list(skipped)}))
        draft.describe(config={}, method="truth", dataset=DatasetRef.of(dataset))
    return draft.artifact


def features(told: dict[str, str]) -> np.ndarray:
    rows: np.ndarray = load_file(Path(told["path"]) / "features.safetensors")["features"]
    return rows


def test_training_and_evaluation_without_faces(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    parsing = write_parsing(store, tmp_path)
    words = ("finetune", "prcc", "--method", "baseline", "--clip", "tiny.safetensors", *SMALL, *BATCH, "--workers", "0", "--json")
    run = reidclip(*words, "--blur-faces")
    told = "faces are blurred by truth@v1 (Face and Sunglasses); 1 of 24 pictures have no face label"
    assert f"note: {told}" in run.err and "parsing: truth@v1 (the newest of this data)" in run.err
    blurred = store.open(run.json["artifact"], kind="checkpoint").manifest
    assert blurred.config["settings"]["blur_faces"] is True and told in blurred.notes
    assert [(read.role, read.digest) for read in blurred.inputs] == [("parsing", parsing.digest)]
    kept = store.open(reidclip(*words).json["artifact"], kind="checkpoint")
    assert kept.manifest.config["settings"]["blur_faces"] is False and not kept.manifest.inputs
    assert (
        kept.files["encoder.safetensors"].sha256 != store.open(run.json["artifact"], kind="checkpoint").files["encoder.safetensors"].sha256
    )

    evaluate = ("evaluate", "prcc", "--checkpoint", run.json["artifact"], "--workers", "0", "--json")
    as_trained = reidclip(*evaluate)
    assert f"faces: blurred, as {run.json['artifact']} was trained on blurred ones" in as_trained.err
    manifest = store.open(as_trained.json["artifact"], kind="evaluation").manifest
    assert {read.role for read in manifest.inputs} == {"checkpoint", "parsing"}
    assert manifest.config["settings"]["blur_faces"] is True and manifest.notes == (told.replace("1 of 24", "0 of 12"),)
    whole = reidclip(*evaluate, "--keep-faces")
    assert f"faces: kept, although {run.json['artifact']} was trained on blurred ones" in whole.err
    assert not np.array_equal(features(as_trained.json), features(whole.json))
    assert "faces" not in reidclip("evaluate", "prcc", "--checkpoint", kept.ref, "--workers", "0").err


def test_prompts_hand_it_on(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    write_parsing(store, tmp_path)
    method = ("--method", "clipreid", "--workers", "0")
    reidclip("prompt-learn", "prcc", *method, "--clip", "tiny.safetensors", *SMALL, "--blur-faces", "--parsing", "truth@v1")
    plan = ("finetune", "prcc", *method, *BATCH, "--dry-run")
    assert reidclip(*plan).json["inputs"] == {"prompts": "prompts/clipreid-prcc@v1", "parsing": "parsing/truth@v1"}
    beside_recipe = reidclip(*plan, "--recipe", "prcc")
    assert beside_recipe.json["settings"]["blur_faces"] is True and "blur_faces: True (of prompts clipreid-prcc@v1)" in beside_recipe.err
    assert "parsing" not in reidclip(*plan, "--keep-faces").json["inputs"]


def write_folder(folder: Path) -> Path:
    """The same label maps as a rendered set has them: a folder beside the pictures, of no store."""
    for sample in open_dataset(folder / "prcc").samples:
        target = folder / "maps" / mirrored(sample.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(target, labels(folder, sample.path), LIP_PALETTE)
    return folder / "maps"


def test_a_folder_of_label_maps_is_taken_in_once(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    maps = write_folder(tmp_path)
    plan = ("finetune", "prcc", "--method", "baseline", "--clip", "tiny.safetensors", *SMALL, *BATCH, "--blur-faces", "--dry-run")
    assert reidclip(*plan, "--parsing", "maps").json["inputs"] == {"parsing": "parsing/maps-prcc@v1"}
    assert not store.list("parsing"), "a dry run writes nothing"
    run = reidclip("evaluate", "prcc", *ZERO, "--blur-faces", "--parsing", "maps")
    assert "parsing: maps-prcc@v1 (wrote it from the 36 label maps of maps)" in run.err
    taken = store.open("maps-prcc", kind="parsing")
    for path in taken.files.keys() - {"labels.json"}:
        assert np.array_equal(read_indexed_png(taken.file(path))[0], read_indexed_png(maps / path.removeprefix("labels/"))[0])
    assert [(read.role, read.digest) for read in store.open(run.json["artifact"], kind="evaluation").manifest.inputs] == [
        ("parsing", taken.digest)
    ]
    again = reidclip("evaluate", "prcc", *ZERO, "--blur-faces", "--parsing", "maps")
    assert "parsing: maps-prcc@v1 (the 36 label maps of maps, taken in before)" in again.err
    assert reidclip(*plan).json["inputs"] == {"parsing": "parsing/maps-prcc@v1"}, "the newest of this data"
    assert np.array_equal(features(run.json), features(again.json))
    as_parsed = write_parsing(store, tmp_path)
    assert np.array_equal(
        features(run.json), features(reidclip("evaluate", "prcc", *ZERO, "--blur-faces", "--parsing", as_parsed.ref).json)
    )
    (maps / mirrored(FACELESS)).unlink()
    error = reidclip("evaluate", "prcc", *ZERO, "--blur-faces", "--parsing", "maps", code=2).err
    assert f"1 of 36 pictures have no label map in maps; the first is {FACELESS}" in error and "--on-error" not in error


def test_a_folder_whose_maps_changed_is_another_parsing(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    maps, words = write_folder(tmp_path), ("evaluate", "prcc", *ZERO, "--blur-faces", "--parsing", "maps")
    reidclip(*words)
    write_indexed_png(maps / mirrored(FACELESS), np.full((32, 16), 13, np.uint8), LIP_PALETTE)
    assert "parsing: maps-prcc@v2 (wrote it" in reidclip(*words).err
    write_indexed_png(maps / mirrored(FACELESS), np.zeros((8, 8), np.uint8), LIP_PALETTE)
    error = reidclip(*words, code=2).err
    assert "is 8 x 8 pixels, its picture" in error and [a.version for a in store.list("parsing")] == [1, 2], "and nothing half-written"


def test_packed_pictures_with_and_without_faces_are_kept_apart(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    write_parsing(store, tmp_path)
    rows = {
        (cache, blur): features(reidclip("evaluate", "prcc", *ZERO, "--cache", cache, *blur).json)
        for blur in ((), ("--blur-faces",))
        for cache in ("none", "disk")
    }
    for blur in ((), ("--blur-faces",)):
        assert np.array_equal(rows["disk", blur], rows["none", blur])
    assert not np.allclose(rows["none", ()], rows["none", ("--blur-faces",)], atol=1e-3)


def test_a_picture_without_label_map_cannot_be_blurred(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    write_parsing(store, tmp_path, skipped=("rgb/test/A/001/cropped_rgb001.jpg",))
    error = reidclip("evaluate", "prcc", *ZERO, "--blur-faces", code=2).err
    assert "Parsing truth@v1 skipped 1 of these pictures" in error and "it is rgb/test/A/001/cropped_rgb001.jpg" in error
    assert reidclip("evaluate", "prcc", *ZERO).json["metrics"]


def test_a_label_map_that_was_changed_blurs_nothing(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    parsing = write_parsing(store, tmp_path)
    path = parsing.path / "labels" / "rgb/test/A/001/cropped_rgb001.png"
    path.chmod(0o644)
    write_indexed_png(path, np.zeros((32, 16), np.uint8), LIP_PALETTE)
    assert "cropped_rgb001.png" in reidclip("evaluate", "prcc", *ZERO, "--blur-faces", code=1).err


@pytest.mark.parametrize("source", ["artifact", "folder"])
def test_a_copy_without_faces(reidclip: CommandLine, tmp_path: Path, store: Store, source: str) -> None:
    Path("prcc/list.txt").write_text("names", encoding="utf-8")
    parsing = write_parsing(store, tmp_path)
    (tmp_path / "prcc/sketch").mkdir()
    (tmp_path / "prcc/sketch/a.png").write_bytes((tmp_path / "keep" / mirrored(FACELESS)).read_bytes())
    given = () if source == "artifact" else ("--parsing", parsing.path / "labels", "--label-set", "lip")
    told = reidclip("datasets", "blur-faces", "prcc", "copy", *given, "--json").json
    assert told == {"root": "copy", "labels": ["Face", "Sunglasses"], "pictures": 36, "blurred": 35, "not_copied": 1}
    before, after = open_dataset(tmp_path / "prcc"), open_dataset(tmp_path / "copy")
    assert after.samples == before.samples and after.fingerprint != before.fingerprint
    assert any(note.startswith("Blurred faces: blurred-faces.json says so") for note in after.notes)
    assert Path("copy/list.txt").read_text() == "names" and not Path("copy/sketch").exists()
    assert Path("copy", FACELESS).read_bytes() == Path("prcc", FACELESS).read_bytes()
    for path in (s.path for s in before.samples if s.path != FACELESS):
        was, now = (read_picture(Path(root, path)).astype(int) for root in ("prcc", "copy"))
        head = labels(tmp_path, path) == 13
        wanted = blur_faces(was.astype(np.uint8), labels(tmp_path, path), (13,))
        assert np.abs(now - wanted).max() <= 12 and np.abs(now - was)[head].mean() > 4  # a second JPEG costs a few grey levels


def test_what_lies_in_the_way_of_a_copy(reidclip: CommandLine, tmp_path: Path, store: Store) -> None:
    write_parsing(store, tmp_path)
    Path("taken").mkdir()
    Path("taken/file").write_text("x")
    assert "There is something at taken already." in reidclip("datasets", "blur-faces", "prcc", "taken", code=2).err
    assert "prcc/inside lies in the data set itself." in reidclip("datasets", "blur-faces", "prcc", "prcc/inside", code=2).err
    Image.new("RGB", (16, 32)).save(tmp_path / "prcc/rgb/train/002/A_cropped_rgb900.jpg")  # the data has changed since it was parsed
    assert "there is no parsing of" in reidclip("datasets", "blur-faces", "prcc", "copy", code=2).err
    assert not Path("copy").exists()
