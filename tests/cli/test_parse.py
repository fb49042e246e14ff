"""`reidclip parse`: payloads to the pixel, choices that are told, bad input, interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.store import Store
from reidclip.data.images import read_indexed_png
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE
from reidclip.data.open import open_pictures
from reidclip.errors import UserError, WorkError
from reidclip.stages.mask import mask
from reidclip.stages.parse import parse
from tests.cli.red_pictures import OneByOne, RedReader, call, call_json, labels_of, path_of, refusal, shape_of, visible


def test_parse_writes_a_label_map_per_picture(data: Path, store: Store) -> None:
    artifact = parse(open_pictures(data), RedReader(), store, settings=OneByOne(), workers=0)
    assert artifact.ref == "red-people@v1"
    for index in range(7):
        labels, palette = read_indexed_png(artifact.file(f"labels/{path_of(index)}"))
        assert (labels == labels_of(index, shape_of(index))).all()
        assert palette[: len(LIP_PALETTE)] == LIP_PALETTE
    assert json.loads(artifact.file("labels.json").read_text())["labels"] == list(LIP_LABELS)
    manifest = artifact.manifest
    assert (manifest.method, manifest.plugin_version) == ("red", "1")
    assert manifest.dataset is not None and manifest.dataset.fingerprint == open_pictures(data).fingerprint
    assert manifest.metrics["pictures"] == 7 and manifest.metrics["skipped"] == 0
    assert sum(manifest.metrics["label_share"].values()) == pytest.approx(1, abs=1e-4)


def test_parse_command_names_what_ran(data: Path, store: Store, weights: str) -> None:
    told = call_json(store, "parse", data, "--weights", weights)
    assert told["artifact"] == "schp-tiny-people@v1" and told["method"] == "schp-tiny" and told["kind"] == "parsing"
    assert Path(told["path"]).is_dir()
    result = call(store, "parse", "--weights", weights)  # the bare form
    assert result.exit_code == 0
    assert f"data: {data} (of parsing schp-tiny-people@v1, the newest)" in result.stderr
    assert "wrote parsing/schp-tiny-people@v2 by schp-tiny (7 pictures" in result.stdout


def test_dry_run_writes_nothing(data: Path, store: Store, weights: str) -> None:
    for command in ("parse", "mask"):
        result = call(store, command, data, "--weights", weights, "--dry-run")
        plan = json.loads(result.stdout)
        assert plan["data"]["pictures"] == 7
        assert plan["writes"] == f"{'parsing' if command == 'parse' else 'masks'}/schp-tiny-people"
        assert not store.root.exists()


def test_an_interrupted_parsing_goes_on(data: Path, store: Store) -> None:
    dataset = open_pictures(data)
    with pytest.raises(KeyboardInterrupt):
        parse(dataset, RedReader(stop_after=4), store, settings=OneByOne(), workers=0)
    assert visible(store) == []
    told: list[tuple[int, int]] = []
    parser = RedReader()
    artifact = parse(dataset, parser, store, settings=OneByOne(), workers=0, progress=lambda done, total: told.append((done, total)))
    assert parser.seen == 3 and artifact.manifest.metrics["resumed"] == 4
    assert told[0] == (4, 7) and told[-1] == (7, 7)
    assert store.verify(artifact) == []
    whole = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0)
    assert {n: f for n, f in artifact.files.items() if n != "labels.json"} == {n: f for n, f in whole.files.items() if n != "labels.json"}
    assert artifact.manifest.metrics["label_share"] == whole.manifest.metrics["label_share"]


def test_a_label_map_that_a_kill_cut_off_is_made_again(data: Path, store: Store) -> None:
    dataset = open_pictures(data)
    with pytest.raises(KeyboardInterrupt):
        parse(dataset, RedReader(stop_after=4), store, settings=OneByOne(), workers=0)
    kept = sorted(store.root.rglob("labels/**/*.png"))
    kept[1].write_bytes(kept[1].read_bytes()[:-30])
    artifact = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0)
    assert artifact.manifest.metrics["resumed"] == 3
    assert (read_indexed_png(artifact.file("labels/a/1.png"))[0] == labels_of(1)).all()


def test_other_settings_do_not_go_on_with_the_maps_of_these(data: Path, store: Store) -> None:
    class Other(OneByOne):
        flip: bool = True

    with pytest.raises(KeyboardInterrupt):
        parse(open_pictures(data), RedReader(stop_after=4), store, settings=OneByOne(), workers=0)
    assert parse(open_pictures(data), RedReader(), store, settings=Other(), workers=0).manifest.metrics["resumed"] == 0


def test_a_parser_that_breaks_its_contract_is_named(data: Path, store: Store) -> None:
    class Wrong(RedReader):
        def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
            return [np.full(image.shape[:2], 20, np.uint8) for image in images]

    with pytest.raises(WorkError, match=r"Parser 'red' gave no valid label map for a/0\.png"):
        parse(open_pictures(data), Wrong(), store, settings=OneByOne(), workers=0)
    assert visible(store) == []


@pytest.mark.parametrize("command", ["parse", "mask"])
def test_folders_without_pictures(command: str, store: Store, tmp_path: Path, weights: str) -> None:
    (tmp_path / "empty").mkdir()
    for place, words in (("gone", "There is no folder"), ("empty", "holds no pictures")):
        error = refusal(call(store, command, tmp_path / place, "--weights", weights))
        assert isinstance(error, UserError) and words in error.what and place in error.what
    error = refusal(call(store, command, "--weights", weights))
    assert error.exit_code == 2 and "No pictures were named" in error.what
    assert visible(store) == []


def test_unknown_parser_and_settings(data: Path, store: Store, weights: str) -> None:
    assert "Did you mean 'schp'?" in refusal(call(store, "parse", data, "--parser", "shcp")).remedy
    assert "Did you mean 'batch_size'?" in refusal(call(store, "parse", data, "--weights", weights, "--set", "batchsize=3")).what
    assert "Did you mean 'dilation'?" in refusal(call(store, "mask", data, "--weights", weights, "--set", "dilatation=3")).what
    assert "Did you mean 'flip'?" in refusal(call(store, "mask", data, "--weights", weights, "--set", "parse.flipp=true")).what
    assert "a/0.png" in refusal(call(store, "parse", data, "--weights", data / "a/0.png")).what
    assert "nonsense" in refusal(call(store, "parse", data, "--weights", weights, "--name", "non/sense nonsense")).what
    assert "masks" not in str(visible(store))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_jpeg_stops_or_is_skipped(data: Path, store: Store, workers: int) -> None:
    whole = data / "a/whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 32, 3), dtype=np.uint8)).save(whole)
    (data / "a/2x.jpg").write_bytes(whole.read_bytes()[:900])
    dataset = open_pictures(data)

    class Zeros(RedReader):
        def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
            return [np.zeros(image.shape[:2], np.uint8) for image in images]

    with pytest.raises(WorkError, match=r"2x\.jpg is damaged or cut off") as caught:
        parse(dataset, Zeros(), store, settings=OneByOne(), workers=workers)
    assert "--on-error skip" in caught.value.remedy and visible(store) == []
    artifact = parse(dataset, Zeros(), store, settings=OneByOne(), workers=workers, on_error="skip")
    assert (artifact.manifest.metrics["pictures"], artifact.manifest.metrics["skipped"]) == (8, 1)
    assert "a/2x.jpg" in artifact.manifest.notes[0]
    assert json.loads(artifact.file("labels.json").read_text())["skipped"] == ["a/2x.jpg"]
    masks = mask(dataset, artifact, store, preview=True)
    assert masks.manifest.metrics["skipped"] == 1 and any("a/2x.jpg" in note for note in masks.manifest.notes)


def test_nothing_but_broken_pictures(tmp_path: Path, store: Store) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people/x.jpg").write_bytes(b"")
    with pytest.raises(WorkError, match="None of the 1 pictures"):
        parse(open_pictures(tmp_path / "people"), RedReader(), store, settings=OneByOne(), workers=0, on_error="skip")
    assert visible(store) == []


def test_the_command_line_says_it_in_two_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reidclip", "mask", str(tmp_path / "gone"), "--store", str(tmp_path / "artifacts")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [f"error: There is no folder {tmp_path / 'gone'}.", "Check the path of the data set."]
    assert not (tmp_path / "artifacts").exists()
