"""extract as a user runs it: whose vectors they are, what they are of, and a run that is cut goes on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.data.images import read_picture
from reidclip.gallery import blocks
from reidclip.gallery.embed import embed_pictures
from reidclip.gallery.items import Item
from reidclip.gallery.vectors import VectorSet, read_vectors
from reidclip.gallery.video import Video
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.fakes import write_prcc
from tests.videos import people_frames, write_video

CLIP = ("--zero-shot", "--clip", "tiny.safetensors", "--workers", "0")
Extract = Callable[..., VectorSet]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


@pytest.fixture
def extract(line: CommandLine) -> Extract:
    def run(*words: object) -> VectorSet:
        return read_vectors(newest(line("extract", *words, *CLIP, "--json").json["artifact"]))

    return run


def newest(ref: str) -> Artifact:
    return Store(Path("artifacts")).open(ref)


def encoder() -> InferenceEncoder:
    clip = load_clip("tiny.safetensors")
    return InferenceEncoder(clip.image_encoder, InferenceOptions(mean=clip.mean, std=clip.std)).eval()


def prcc() -> Path:
    return write_prcc(Path("prcc"))


def walk(frames: int = 6) -> tuple[Path, Path]:
    pictures, lines = people_frames(frames)
    mot = Path("walk.txt")
    mot.write_text("\n".join(lines) + "\n")
    return write_video(Path("walk.avi"), pictures), mot


# ------------------------------------------------------------------------------------------------------------- data sets
def test_vectors_of_a_data_set_are_those_of_evaluate(line: CommandLine, extract: Extract) -> None:
    prcc()
    line("evaluate", "prcc", *CLIP, "--name", "e", "--set", "resamples=0")
    evaluation = newest("evaluation/e@v1").path
    features = load_file(evaluation / "features.safetensors")["features"]
    paths = json.loads((evaluation / "paths.json").read_text())
    found = extract("prcc")
    rows = {item.path: row for row, item in enumerate(found.items)}
    np.testing.assert_allclose(found.vectors[[rows[path] for path in paths]], features, atol=2e-6)
    assert len(paths) == 12 and len(found.items) == 12 + 24  # all pictures, of both halves
    assert found.root == Path("prcc").absolute()


def test_labels_and_true_cameras_are_kept_and_outfits_of_the_halves_are_apart(extract: Extract) -> None:
    prcc()
    items = extract("prcc").items
    train, test = ([i for i in items if f"/{half}/" in i.path] for half in ("train", "test"))
    assert {i.pid for i in train} == {2, 5, 7, 11} and {i.pid for i in test} == {1, 3}
    assert {i.camid for i in test if "/C/" in i.path} == {2}
    assert not {i.clothes_id for i in train} & {i.clothes_id for i in test}
    assert {i.track for i in items} == {-1} and {i.time for i in items} == {None}


def test_a_split_alone(line: CommandLine, extract: Extract) -> None:
    prcc()
    assert {i.path.split("/")[2] for i in extract("prcc", "--split", "test-A", "--split", "test-C").items} == {"A", "C"}
    assert "test-A" in line("extract", "prcc", "--split", "test-Q", *CLIP, code=2).err


def test_without_a_source_the_data_of_the_newest_checkpoint_is_asked_for(line: CommandLine) -> None:
    assert "Name its folder" in line("extract", *CLIP, code=2).err


# -------------------------------------------------------------------------------------------------------- plain pictures
def test_several_sources_are_joined_below_their_common_folder(extract: Extract) -> None:
    write_prcc(Path("in/prcc"))
    picture = Path("in/one/p.png")
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.arange(40 * 20 * 3, dtype=np.uint8).reshape(40, 20, 3)).save(picture)
    shutil.copytree("in/prcc/rgb/test/A", "in/plain")
    found = extract("in/prcc", picture, "in/plain", "--split", "test-A", "--split", "all")
    assert found.root == Path("in").absolute()
    assert found.items[-1] == Item("one/p.png")
    assert {i.path.split("/")[0] for i in found.items} == {"prcc", "plain", "one"}
    assert {i.domain for i in found.items} == {"prcc", "plain", ""}
    assert all((found.root / i.path).is_file() for i in found.items)
    np.testing.assert_allclose(found.vectors[-1:], embed_pictures(encoder(), [read_picture(picture)]), atol=2e-6)


def test_any_name_of_a_file_is_kept(extract: Extract) -> None:
    folder = Path("people")
    folder.mkdir()
    names = ['a,"b".png', "line\nbreak.png", "r\rn.png", "ü 漢 [x].png", os.fsdecode(b"\xff.png")]
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / name)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "r\rn.jpg")  # differs in the suffix alone
    found = extract(folder, "--parquet")
    assert {i.path for i in found.items} == {*names, "r\rn.jpg"}


def test_links_to_other_places_are_told(line: CommandLine) -> None:
    for folder in ("people", "elsewhere"):
        Path(folder).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(f"{folder}/a.png")
    Path("people/b.png").symlink_to("../elsewhere/a.png")
    Path("people/c.png").symlink_to("a.png")
    Path("people/loop").symlink_to(".")
    run = line("extract", "people", *CLIP)
    assert "1 picture is a link to a place outside" in run.err and "b.png" in run.err
    assert "3 vectors" in run.out


# ---------------------------------------------------------------------------------------------------- videos and trackers
def test_crops_of_a_tracker_are_cut_out_of_the_frames(extract: Extract) -> None:
    video, mot = walk()
    found = extract(video, "--mot", mot, "--camera", 4, "--start-time", "2026-05-01T08:00:00+02:00")
    first = datetime.fromisoformat("2026-05-01T06:00:00+00:00").timestamp()
    assert [(i.frame, i.track) for i in found.items] == [(f, t) for f in range(6) for t in (7, 9)]
    assert {i.path for i in found.items} == {"walk.avi"} and {i.camid for i in found.items} == {4}
    assert found.items[6] == Item("walk.avi", 3, (9, 8, 16, 32), 7, first + 0.3, camid=4)
    frames = dict(Video.open(video).read(range(6)))
    crops = [frames[i.frame][i.box[1] : i.box[1] + i.box[3], i.box[0] : i.box[0] + i.box[2]] for i in found.items]  # type: ignore[index]
    np.testing.assert_allclose(found.vectors, embed_pictures(encoder(), crops), atol=2e-6)


def test_every_other_frame_unsure_boxes_and_padding(extract: Extract) -> None:
    video, mot = walk()
    found = extract(video, "--mot", mot, "--every", 2, "--min-confidence", 0.25, "--pad", 0.125)
    assert [(i.frame, i.track, i.box) for i in found.items] == [
        (2, 7, (4, 4, 20, 40)),
        (2, 9, (34, 4, 20, 40)),
        (4, 7, (10, 4, 20, 40)),
        (4, 9, (30, 4, 20, 40)),
    ]
    assert [i.time for i in found.items] == [0.2, 0.2, 0.4, 0.4]


def test_one_vector_per_track_is_the_mean_of_its_crops(extract: Extract) -> None:
    video, mot = walk()
    crops, tracks = extract(video, "--mot", mot), extract(video, "--mot", mot, "--per-track", "mean")
    assert sorted(i.track for i in tracks.items) == [7, 9]
    for item, vector in zip(tracks.items, tracks.vectors, strict=True):
        own = crops.vectors[[i.track == item.track for i in crops.items]]
        mean = own.mean(0) / np.linalg.norm(own.mean(0))
        np.testing.assert_allclose(vector, mean, atol=1e-6)
        nearest = int(np.argmin(np.linalg.norm(own - mean, axis=1)))
        assert item == [i for i in crops.items if i.track == item.track][nearest]


def test_a_folder_of_frames_gives_the_crops_of_its_video(extract: Extract) -> None:
    video, mot = walk()
    frames = Path("seq/img1")
    frames.mkdir(parents=True)
    for number, frame in Video.open(video).read(range(6)):
        assert frame is not None
        Image.fromarray(frame).save(frames / f"{number + 1:06d}.png")
    (frames.parent / "seqinfo.ini").write_text("[Sequence]\nframeRate=20\n")
    of_video, of_frames = extract(video, "--mot", mot), extract("seq", "--mot", mot)
    np.testing.assert_allclose(of_frames.vectors, of_video.vectors, atol=2e-6)
    assert of_frames.items[2] == Item("img1/000002.png", box=of_video.items[2].box, track=7, time=0.05)


def test_whole_frames_only_when_asked_for(line: CommandLine, extract: Extract) -> None:
    video, _ = walk()
    assert "--whole-frames" in line("extract", video, *CLIP, code=2).err
    found = extract(video, "--whole-frames", "--every", 4)
    assert [(i.frame, i.box) for i in found.items] == [(0, None), (4, None)]


def test_a_cut_video_is_told_and_its_missing_frames_can_be_left_out(line: CommandLine, extract: Extract) -> None:
    video, mot = walk()
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 3 // 4])
    run = line("extract", video, "--mot", mot, *CLIP, code=1)
    assert "cannot be decoded; the video is cut off or damaged there" in run.err and "--on-error skip" in run.err
    found = extract(video, "--mot", mot, "--on-error", "skip", "--name", "cut")
    last = max(i.frame for i in found.items)
    assert 0 < last < 5 and len(found.items) == 2 * (last + 1)
    left_out = json.loads((newest("vectors/cut").path / "left_out.json").read_text())
    assert len(left_out) == 12 - len(found.items) and all(key.startswith("walk.avi#") for key in left_out)


def test_boxes_behind_the_end_of_the_video(line: CommandLine, extract: Extract) -> None:
    video, mot = walk()
    mot.write_text(mot.read_text() + "7,7,1,8,16,32,1\n")
    run = line("extract", video, "--mot", mot, *CLIP, code=2)
    assert "walk.txt, line 13: frame 6 (MOT 7), but walk.avi has 6 frames" in run.err
    assert len(extract(video, "--mot", mot, "--on-error", "skip").items) == 12


# ------------------------------------------------------------------------------------------------------- runs and results
@pytest.mark.parametrize("kind", ["pictures", "video"])
def test_a_run_that_was_cut_goes_on_and_gives_the_same_bytes(line: CommandLine, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(blocks, "ITEMS", 4)
    prcc()
    video, mot = walk(18)
    words = ("extract", *(["prcc"] if kind == "pictures" else [video, "--mot", mot]), *CLIP, "--batch-size", 2)
    line(*words, "--name", "whole")
    left = 3
    write = blocks.BlockFiles.write

    def cut(self: blocks.BlockFiles, number: int, block: blocks.Block) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        write(self, number, block)

    with monkeypatch.context() as patch:
        patch.setattr(blocks.BlockFiles, "write", cut)
        line(*words, "--name", "cut", code=130)
    assert Store(Path("artifacts")).newest("vectors", lambda m: m.name == "cut") is None
    done = sorted(Path("artifacts/vectors/cut").glob(".partial-*/blocks/*"))
    assert len(done) == 3
    done[1].write_bytes(done[1].read_bytes()[:50])  # as after a power cut: made again
    run = line(*words, "--name", "cut")
    assert "going on with an interrupted run: 8 of 36 are done" in run.err
    whole, cut_run = newest("vectors/whole"), newest("vectors/cut")
    assert cut_run.manifest.metrics["resumed"] == 8
    assert {n: f.sha256 for n, f in whole.files.items()} == {n: f.sha256 for n, f in cut_run.files.items()}
    assert set(whole.files) == {"vectors.safetensors", "items.csv", "vectors.json"}


def test_other_pictures_or_fresh_start_over(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ITEMS", 4)
    prcc()
    last = sorted(Path("prcc").rglob("*.jpg"))[-1]
    whole = last.read_bytes()
    words = ("extract", "prcc", *CLIP, "--batch-size", 2, "--name", "n")
    last.write_bytes(b"no picture")
    line(*words, code=1)
    assert "going on" not in line(*words, "--fresh", code=1).err
    assert "going on" in line(*words, code=1).err
    last.write_bytes(whole)  # other bytes: whether they are the old run's nobody knows
    assert "going on" not in line(*words).err


def test_a_broken_picture_stops_the_run_or_is_left_out(line: CommandLine, extract: Extract) -> None:
    prcc()
    broken = Path("prcc/rgb/test/A/001/cropped_rgb001.jpg")
    broken.write_text("no picture")
    run = line("extract", "prcc", *CLIP, code=1)
    assert "cropped_rgb001.jpg is not a readable picture" in run.err and "--on-error skip" in run.err
    whole = extract("prcc", "--on-error", "skip", "--name", "n")
    assert len(whole.items) == 35 and "rgb/test/A/001/cropped_rgb001.jpg" not in {i.path for i in whole.items}
    others = [read_picture(whole.root / i.path) for i in whole.items]
    np.testing.assert_allclose(whole.vectors, embed_pictures(encoder(), others), atol=2e-6)
    assert newest("vectors/n").manifest.metrics["left_out"] == 1


def test_the_parquet_table_is_read_by_others(extract: Extract) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    video, mot = walk()
    found = extract(video, "--mot", mot, "--parquet", "--name", "p")
    table = parquet.read_table(newest("vectors/p").path / "vectors.parquet").to_pydict()
    assert table["path"] == ["walk.avi"] * 12 and table["pid"] == [None] * 12
    assert table["frame"] == [i.frame for i in found.items] and table["time"] == [i.time for i in found.items]
    boxes = list(zip(*(table[name] for name in ("left", "top", "width", "height")), strict=True))
    assert boxes == [i.box for i in found.items]
    np.testing.assert_array_equal(np.array(table["vector"], np.float32), found.vectors)


def test_without_pyarrow_the_table_is_refused_before_the_work(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    run = line("extract", "gone", *CLIP, "--parquet", code=1)
    assert "pip install 'reidclip[parquet]'" in run.err and "gone" not in run.err


def test_clothes_are_described(extract: Extract) -> None:
    video, mot = walk(3)
    found = extract(video, "--mot", mot, "--clothes")
    assert found.clothes is not None and len(found.clothes) == 6 and np.isfinite(found.clothes).all()


def test_a_dry_run_writes_nothing(line: CommandLine) -> None:
    prcc()
    plan = line("extract", "prcc", *CLIP, "--dry-run").json
    assert plan["items"] == 36 and plan["writes"] == "vectors/zero-shot-tiny-prcc"
    assert not Path("artifacts").exists()


@pytest.mark.parametrize(("called", "height", "told"), [("{}", 20, True), ("shot_{:03d}", 20, True), ("{}", 60, False), ("{}0", 20, False)])
def test_frames_that_are_taken_for_people_are_told(line: CommandLine, called: str, height: int, told: bool) -> None:
    for number in range(8, 12):
        path = Path("shots") / f"{called.format(number)}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, height)).save(path)
    assert ("shots looks like the frames of a video" in line("extract", "shots", *CLIP, "--dry-run").err) == told
