"""`reidclip parse` and `reidclip mask`: payloads to the pixel, choices that are told, bad input, interruption.

The pictures say themselves what they show: the red channel of a pixel is ten times its label, and the fake parser reads it off.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from reidclip.artifacts.store import Store
from reidclip.cli import mask as mask_command
from reidclip.cli import parse as parse_command
from reidclip.data.images import read_indexed_png, read_mask_png, write_indexed_png
from reidclip.data.keep_mask import clothes_image, keep_mask, shielding_image
from reidclip.data.lip import LIP_LABELS, LIP_PALETTE
from reidclip.data.open import open_pictures
from reidclip.data.preview import COLUMNS, Shown, contact_sheet, spread
from reidclip.errors import ReidclipError, UserError, WorkError
from reidclip.settings import Settings
from reidclip.stages.mask import MaskSettings, mask
from reidclip.stages.parse import parse
from tests.plugins.schp_fixtures import tiny_weights

CLOTHES = {3, 5, 6, 7, 8, 9, 10, 11, 12}

app = typer.Typer()
app.command("parse")(parse_command.parse)
app.command("mask")(mask_command.mask)


class RedReader:
    """A parser that reads labels off the red channel, and stops where it is told to."""

    name, version, labels = "red", "1", LIP_LABELS

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen = 0
        self.stop_after = stop_after

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.seen += len(images)
        if self.stop_after is not None and self.seen > self.stop_after:
            raise KeyboardInterrupt
        return [(image[:, :, 0] // 10).astype(np.uint8) for image in images]


class OneByOne(Settings):
    batch_size: int = 1


def labels_of(index: int, shape: tuple[int, int] = (12, 8)) -> np.ndarray:
    """A different label map for each index; upper-clothes and pants in the middle."""
    labels = np.zeros(shape, np.uint8)
    labels[0] = index % 20
    labels[2:6, 2:6], labels[6:10, 2:6], labels[1, 3:5] = 5, 9, 13
    return labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Seven pictures in two folders, of two sizes."""
    root = tmp_path / "people"
    for index in range(7):
        labels = labels_of(index, (12, 8) if index % 2 else (14, 9))
        path = root / ("a" if index < 4 else "b/c") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([labels * 10, labels * 0 + index, labels * 0], axis=2)).save(path)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def maps(data: Path, tmp_path: Path) -> Path:
    """Label maps made elsewhere, by relative path."""
    for path in sorted(data.rglob("*.png")):
        target = tmp_path / "maps" / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(target, np.asarray(Image.open(path))[:, :, 0] // 10, LIP_PALETTE)
    return tmp_path / "maps"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(tiny_weights(tmp_path))


def call(store: Store, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments] + ["--store", str(store.root), "--workers", "0", "--device", "cpu"])


def call_json(store: Store, *arguments: object) -> Any:
    result = call(store, *arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def refusal(result: Result) -> ReidclipError:
    """The error of a call that failed as it should: with a remedy."""
    assert isinstance(result.exception, ReidclipError), result.exception or result.output
    assert result.exception.remedy
    return result.exception


def visible(store: Store) -> list[str]:
    return [f"{a.kind}/{a.ref}" for a in store.list()]


# ---------------------------------------------------------------------------------------------------------------- parse
def test_parse_writes_a_label_map_per_picture(data: Path, store: Store) -> None:
    artifact = parse(open_pictures(data), RedReader(), store, settings=OneByOne(), workers=0)
    assert artifact.ref == "red-people@v1"
    for index in range(7):
        relative = f"{'a' if index < 4 else 'b/c'}/{index}.png"
        labels, palette = read_indexed_png(artifact.file(f"labels/{relative}"))
        assert (labels == labels_of(index, (12, 8) if index % 2 else (14, 9))).all()
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


# ----------------------------------------------------------------------------------------------------------- the mask M
def test_keep_is_zero_on_clothes_alone() -> None:
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    keep = keep_mask(labels, sorted(CLOTHES))
    assert [int(label) for label in labels[keep == 0]] == sorted(CLOTHES)


def test_dilation_grows_clothes_by_so_many_pixels() -> None:
    labels = np.zeros((15, 15), np.uint8)
    labels[7, 7] = 5
    rows, columns = np.nonzero(keep_mask(labels, [5], dilation=3) == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 10, 4, 10)
    assert ((rows - 7) ** 2 + (columns - 7) ** 2 <= 3.6**2).all()


def test_small_pieces_stay_visible() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[1, 1:3], labels[5:8, 5:8] = 5, 9
    assert (keep_mask(labels, [5, 9]) == 0).sum() == 11
    keep = keep_mask(labels, [5, 9], min_area=3)
    assert (keep == 0).sum() == 9 and keep[1, 1] == 1
    assert (keep_mask(labels, [5, 9], min_area=10) == 1).all()


def test_shielding_and_clothes_images_share_the_picture_out() -> None:
    """Eq. (4) and (11): every pixel is in exactly one of them, and white in the other."""
    rng = np.random.default_rng(0)
    image, keep = rng.integers(0, 255, (6, 5, 3), dtype=np.uint8), rng.integers(0, 2, (6, 5), dtype=np.uint8)
    for y, x in np.ndindex(6, 5):
        shown, hidden = (shielding_image, clothes_image) if keep[y, x] else (clothes_image, shielding_image)
        assert (shown(image, keep)[y, x] == image[y, x]).all() and (hidden(image, keep)[y, x] == 255).all()


# ----------------------------------------------------------------------------------------------------------------- mask
def test_masks_of_a_parsing(data: Path, store: Store) -> None:
    dataset = open_pictures(data)
    parsing = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0)
    artifact = mask(dataset, parsing, store)
    shares = []
    for index in range(7):
        labels = labels_of(index, (12, 8) if index % 2 else (14, 9))
        keep = read_mask_png(artifact.file(f"keep/{'a' if index < 4 else 'b/c'}/{index}.png"))
        assert (keep == ~np.isin(labels, list(CLOTHES))).all()
        shares.append(np.isin(labels, list(CLOTHES)).mean())
    manifest = artifact.manifest
    assert manifest.metrics["clothes_share"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert [(i.ref, i.role, i.digest) for i in manifest.inputs] == [("red-people@v1", "parsing", parsing.digest)]
    assert manifest.dataset is not None and manifest.dataset.fingerprint == dataset.fingerprint
    assert manifest.config["clothes"][0] == "Upper-clothes" and len(manifest.config["clothes"]) == 9


def test_mask_parses_once_and_says_so(data: Path, store: Store, weights: str) -> None:
    first = call(store, "mask", data, "--weights", weights)
    assert first.exit_code == 0, first.exception
    assert "parsing: none of this data by schp-tiny yet, so its 7 pictures are parsed first" in first.stderr
    assert visible(store) == ["parsing/schp-tiny-people@v1", "masks/schp-tiny-people@v1"]
    again = call(store, "mask", "--weights", weights)
    assert "parsing: schp-tiny-people@v1 (the newest of this data and parser)" in again.stderr
    assert visible(store)[0] == "parsing/schp-tiny-people@v1" and len(visible(store)) == 3
    flipped = call(store, "mask", data, "--weights", weights, "--set", "parse.flip=true")
    assert "are parsed first" in flipped.stderr
    (data / "a/new.png").write_bytes((data / "a/0.png").read_bytes())
    assert "so its 8 pictures are parsed first" in call(store, "mask", data, "--weights", weights).stderr


def test_preview_is_a_sheet_inside_the_artifact(data: Path, store: Store, maps: Path) -> None:
    told = call_json(store, "mask", data, "--parsing", maps, "--preview")
    preview = Path(told["preview"])
    assert preview == Path(told["path"]) / "preview.png"
    with Image.open(preview) as sheet:
        assert sheet.mode == "RGB" and sheet.width > sheet.height / 2
    assert store.verify(store.open("maps-people", kind="masks")) == []
    assert str(preview.parent.parent) in call(store, "mask", data, "--parsing", maps, "--preview").stdout.replace("\n", "")


def test_sheet_shows_every_picture_four_times() -> None:
    image = np.full((40, 20, 3), (200, 30, 60), np.uint8)
    labels = np.zeros((40, 20), np.uint8)
    labels[:20] = 5
    sheet = np.asarray(contact_sheet([Shown("x.jpg", image, labels, keep_mask(labels, [5]))] * 5))
    share = (sheet == (200, 30, 60)).all(axis=2).mean() * sheet.shape[0] * sheet.shape[1]
    cell = 192 * 96
    # whole in the original, lower half in labels and shielding, upper half in the clothes image: 2.5 cells each
    assert share == pytest.approx(5 * 2.5 * cell, rel=0.05)
    assert len(COLUMNS) == 4
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


@pytest.mark.parametrize(("count", "length"), [(0, 0), (1, 1), (23, 23), (24, 24), (5000, 24)])
def test_samples_are_spread(count: int, length: int) -> None:
    chosen = spread(count)
    assert len(chosen) == length == len(set(chosen))
    if count > 1:
        assert chosen[0] == 0 and chosen[-1] == count - 1
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


def test_clothes_are_a_setting(data: Path, store: Store, maps: Path) -> None:
    told = call_json(store, "mask", data, "--parsing", maps, "--set", 'clothes=["pants"]', "--name", "trousers")
    assert told["artifact"] == "trousers@v1"
    keep = read_mask_png(Path(told["path"]) / "keep/a/1.png")
    assert (keep == (labels_of(1) != 9)).all()
    config = data.parent / "settings.toml"
    config.write_text('[mask]\nclothes = ["Upper-clothes", "PANTS"]\ndilation = 1\n[parse]\nflip = true\n')
    told = call_json(store, "mask", data, "--parsing", maps, "--config", config, "--set", "dilation=2")
    assert store.open("maps-people").manifest.config["dilation"] == 2
    assert (read_mask_png(Path(told["path"]) / "keep/a/1.png")[0:12, 0:8] == 0).sum() > 32


def test_maps_made_elsewhere_may_lie_flat(data: Path, store: Store, maps: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in maps.rglob("*.png"):
        (flat / path.name).write_bytes(path.read_bytes())
    dataset = open_pictures(data)
    by_stem, by_path = mask(dataset, flat, store), mask(dataset, maps, store)
    assert by_stem.files == by_path.files
    assert by_stem.manifest.inputs == () and by_stem.manifest.method == "flat"
    (data / "b" / "3.png").write_bytes((data / "a" / "3.png").read_bytes())  # now a stem that two pictures share
    with pytest.raises(UserError, match=r"2 of 8 pictures have no label map in .*flat; the first is a/3\.png"):
        mask(open_pictures(data), flat, store)


def test_nothing_or_everything_clothes_is_a_note(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "people"
    root.mkdir()
    for name, label in (("none", 0), ("all", 5)):
        Image.new("RGB", (6, 9), (label * 10, 0, 0)).save(root / f"{name}.png")
    dataset = open_pictures(root)
    artifact = mask(dataset, parse(dataset, RedReader(), store, settings=OneByOne(), workers=0), store, preview=True)
    assert (artifact.manifest.metrics["without_clothes"], artifact.manifest.metrics["all_clothes"]) == (1, 1)
    assert any("none.png" in note for note in artifact.manifest.notes)
    assert any("all.png" in note for note in artifact.manifest.notes)
    assert read_mask_png(artifact.file("keep/none.png")).all() and not read_mask_png(artifact.file("keep/all.png")).any()


# ------------------------------------------------------------------------------------------------------------ bad input
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
    error = refusal(call(store, "mask", data, "--weights", weights, "--set", 'clothes=["trousers", "skirts"]'))
    assert "'trousers'" in error.what and "skirt" in error.remedy
    assert "full SCHP checkpoints" in refusal(call(store, "parse", data, "--weights", data / "a/0.png")).what
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


def test_label_maps_that_do_not_fit(data: Path, store: Store, maps: Path) -> None:
    victim = maps / "b/c/5.png"
    good = victim.read_bytes()

    def refused(words: str) -> None:
        error = refusal(call(store, "mask", data, "--parsing", maps))
        assert error.exit_code == 2 and words in error.what and "5.png" in error.what, error.what
        assert visible(store) == [] and not list(store.root.rglob("*.png"))

    Image.fromarray(labels_of(5, (13, 8))).save(victim)
    refused("is 8 x 13 pixels, its picture")
    Image.fromarray(np.full((12, 8), 20, np.uint8)).save(victim)
    refused("holds label 20; known are 0 to 19")
    Image.new("RGB", (8, 12)).save(victim)
    refused("is no label map")
    victim.write_bytes(good[:-30])
    refused("damaged or cut off")
    victim.unlink()
    refused("1 of 7 pictures have no label map")
    victim.write_bytes(good)
    assert call(store, "mask", data, "--parsing", maps).exit_code == 0


def test_parsings_that_do_not_fit(data: Path, store: Store, tmp_path: Path) -> None:
    parsing = parse(open_pictures(data), RedReader(), store, settings=OneByOne(), workers=0)
    assert "nothing" in refusal(call(store, "mask", data, "--parsing", "nothing")).what
    call_json(store, "mask", "--parsing", parsing.ref)  # its data are taken
    assert refusal(call(store, "mask", data, "--parsing", "masks/red-people")).exit_code == 2
    (data / "a/new.png").write_bytes((data / "a/0.png").read_bytes())
    error = refusal(call(store, "mask", data, "--parsing", parsing.ref))
    assert error.exit_code == 2 and "made from other data: 7 / 8 pictures in split all" in error.what
    (data / "a/new.png").unlink()
    (parsing.path / "labels/a/2.png").write_bytes(b"changed")
    error = refusal(call(store, "mask", data, "--parsing", parsing.ref))
    assert error.exit_code == 1 and "digest mismatch" in error.what


def test_an_interrupted_mask_leaves_nothing(data: Path, store: Store, maps: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mask(open_pictures(data), maps, store, settings=MaskSettings(), progress=stop)
    assert not list(store.root.rglob("*.png"))
    assert mask(open_pictures(data), maps, store).version == 1


def test_the_command_line_says_it_in_two_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reidclip", "mask", str(tmp_path / "gone"), "--store", str(tmp_path / "artifacts")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [f"error: There is no folder {tmp_path / 'gone'}.", "Check the path of the data set."]
    assert not (tmp_path / "artifacts").exists()
