"""`reidclip mask`: what is hidden, to the pixel; settings, statistics, and masks that older versions made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip.artifacts.manifest import Manifest
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import read_mask_png
from reidclip.data.keep_mask import clothes_image, keep_mask, shielding_image
from reidclip.data.label_sets import ATR
from reidclip.data.open import open_pictures
from reidclip.errors import UserError, WorkError
from reidclip.stages.mask import MaskSettings, mask
from reidclip.stages.parse import parse
from reidclip.stages.use_masks import shielding_of, with_masks
from tests.cli.red_pictures import CLOTHES, OneByOne, RedReader, call, call_json, labels_of, path_of, refusal, shape_of, visible, write_red


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
    assert (keep_mask(labels, [5, 9], min_area=9) == 0).sum() == 9, "as many pixels as asked for are enough"
    assert (keep_mask(labels, [5, 9], min_area=10) == 1).all()


def test_pixels_that_touch_at_a_corner_are_one_piece() -> None:
    labels = np.zeros((6, 6), np.uint8)
    labels[[1, 2, 3], [1, 2, 3]] = 5
    assert (keep_mask(labels, [5], min_area=3) == 0).sum() == 3


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (3, 200, 17)])
def test_shielding_and_clothes_images_share_the_picture_out(colour: tuple[int, int, int]) -> None:
    """Eq. (4) and (11): every pixel is in exactly one of them, and of the shielding colour in the other."""
    rng = np.random.default_rng(0)
    image, keep = rng.integers(0, 255, (6, 5, 3), dtype=np.uint8), rng.integers(0, 2, (6, 5), dtype=np.uint8)
    for y, x in np.ndindex(6, 5):
        shown, hidden = (shielding_image, clothes_image) if keep[y, x] else (clothes_image, shielding_image)
        assert (shown(image, keep, colour)[y, x] == image[y, x]).all()
        assert tuple(int(v) for v in hidden(image, keep, colour)[y, x]) == colour
    assert (shielding_image(image, keep)[keep == 0] == 255).all(), "white unless told otherwise"


def test_masks_of_a_parsing(data: Path, store: Store) -> None:
    dataset = open_pictures(data)
    parsing = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0)
    artifact = mask(dataset, parsing, store)
    shares = []
    for index in range(7):
        labels = labels_of(index, shape_of(index))
        keep = read_mask_png(artifact.file(f"keep/{path_of(index)}"))
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


# ---------------------------------------------------------------------------------------------------- nothing or everything
@pytest.fixture
def extremes(tmp_path: Path) -> Path:
    """Pictures without clothes, of nothing but clothes, of clothes on a background, and of a person."""
    root = tmp_path / "people"
    for name, rows in (("none", (0, 0, 13)), ("all", (5, 9, 5)), ("no-body", (0, 5, 9)), ("usual", (0, 13, 5))):
        write_red(root / f"{name}.png", np.repeat(np.array(rows, np.uint8), 12).reshape(9, 4))
    return root


def masks_of(root: Path, store: Store, **settings: Any) -> Artifact:
    dataset = open_pictures(root)
    parsing = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0)
    return mask(dataset, parsing, store, settings=MaskSettings(**settings), preview=True)


def test_what_min_area_takes_away_is_told_apart(extremes: Path, store: Store) -> None:
    manifest = masks_of(extremes, store, min_area=13, when_all_clothes="shield").manifest  # one third of a picture has 12 pixels
    assert (manifest.metrics["without_clothes"], manifest.metrics["clothes_too_small"]) == (1, 1)
    assert any(note.startswith("1 picture lost every piece of clothes to min_area") and "usual.png" in note for note in manifest.notes)
    assert any(note.startswith("1 picture shows no clothes") and "none.png" in note for note in manifest.notes)


def test_clothes_without_brackets_and_shielding_as_on_the_web(data: Path, store: Store, maps: Path) -> None:
    for given in ("Pants,upper-clothes", "[pants, Upper-clothes]", '["Pants", "Upper-clothes"]'):
        told = call_json(store, "mask", data, "--parsing", maps, "--set", f"clothes={given}", "--set", "shielding=#80fF01")
        config = store.open(told["artifact"], kind="masks").manifest.config
        assert (config["clothes"], config["shielding"]) == (["Pants", "Upper-clothes"], [128, 255, 1])


def test_quiet_leaves_the_notes_out(data: Path, store: Store, maps: Path) -> None:
    words = ("mask", data, "--parsing", maps, "--set", "min_area=1000")
    loud, quiet = call(store, *words), call(store, *words, "-q")
    assert "note: " in loud.stdout and f"from label maps in {maps} (7 pictures" in loud.stdout
    assert "note: " not in quiet.stdout + quiet.stderr and quiet.stdout.startswith("wrote masks/")


@pytest.mark.parametrize(("choice", "kept"), [("keep-picture", 1), ("shield", 0)])
def test_nothing_or_everything_clothes(extremes: Path, store: Store, choice: str, kept: int) -> None:
    artifact = masks_of(extremes, store, when_all_clothes=choice)
    metrics, notes = artifact.manifest.metrics, artifact.manifest.notes
    assert (metrics["pictures"], metrics["without_clothes"], metrics["all_clothes"], metrics["no_body"]) == (4, 1, 1, 1)
    for name in ("none", "all", "no-body"):
        assert [note.endswith(f"; it is {name}.png.") and note.startswith("1 picture ") for note in notes].count(True) == 1, name
    assert (read_mask_png(artifact.file("keep/none.png")) == 1).all()
    assert (read_mask_png(artifact.file("keep/all.png")) == kept).all()
    assert sorted(read_mask_png(artifact.file("keep/usual.png")).sum(axis=1).tolist()) == [0] * 3 + [4] * 6


def test_statistics(extremes: Path, store: Store) -> None:
    metrics = masks_of(extremes, store).manifest.metrics
    # Shares 0, 1, 2/3 and 1/3, whatever is done with the picture of nothing but clothes.
    assert metrics["clothes_share"] == pytest.approx(0.5, abs=1e-4)
    assert metrics["clothes_share_p5"] == pytest.approx(0.05, abs=1e-4)
    assert metrics["clothes_share_p50"] == pytest.approx(0.5, abs=1e-4)
    assert metrics["clothes_share_p95"] == pytest.approx(0.95, abs=1e-4)
    share = metrics["label_share"]
    assert sum(share.values()) == pytest.approx(1, abs=1e-4)
    assert {name: round(value * 12) for name, value in share.items() if value} == {
        "Background": 4,
        "Upper-clothes": 4,
        "Pants": 2,
        "Face": 2,
    }
    assert metrics["skipped"] == 0


# ---------------------------------------------------------------------------------------------------------------- settings
def test_the_label_sets_table_is_the_default(data: Path, store: Store) -> None:
    class Atr(RedReader):
        name, labels = "atr-parser", ATR.labels

    parsing = parse(open_pictures(data), Atr(), store, settings=OneByOne(), workers=0)
    artifact = mask(open_pictures(data), parsing, store)
    config = artifact.manifest.config
    assert config["label_set"] == "atr" and config["clothes_from"] == "the label set's table"
    assert config["clothes"] == ["Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Scarf"]
    assert config["clothes_indices"] == [4, 5, 6, 7, 8, 17]
    keep = read_mask_png(artifact.file("keep/a/1.png"))
    assert (keep == ~np.isin(labels_of(1), [4, 5, 6, 7, 8, 17])).all()


def test_a_parser_of_unknown_labels_needs_to_be_told(data: Path, store: Store) -> None:
    class Own(RedReader):
        name, labels = "own", tuple(f"part{i}" for i in range(20))

    parsing = parse(open_pictures(data), Own(), store, settings=OneByOne(), workers=0)
    error = refusal(call(store, "mask", data, "--parsing", parsing.ref))
    assert isinstance(error, UserError) and "Nobody said which labels" in error.what and "part0, part1" in error.what
    told = call_json(store, "mask", data, "--parsing", parsing.ref, "--set", 'clothes=["PART5"]')
    assert (read_mask_png(Path(told["path"]) / "keep/a/1.png") == (labels_of(1) != 5)).all()
    assert store.open(told["artifact"], kind="masks").manifest.config["clothes"] == ["part5"]


def test_wrong_clothes_are_told_before_hours_of_parsing(data: Path, store: Store, weights: str) -> None:
    error = refusal(call(store, "mask", data, "--weights", weights, "--set", 'clothes=["pents", "Skirt"]'))
    assert error.exit_code == 2 and "'pents'" in error.what and "Did you mean 'Pants'?" in error.remedy
    assert visible(store) == []


def test_what_is_clothes_is_printed_before(data: Path, store: Store, weights: str) -> None:
    plan = json.loads(call(store, "mask", data, "--weights", weights, "--dry-run").stdout)
    assert plan["label_set"]["name"] == "lip" and len(plan["labels"]) == 20
    assert plan["clothes"] == ["Upper-clothes", "Dress", "Coat", "Socks", "Pants", "Jumpsuits", "Scarf", "Skirt", "Glove"]
    plan = json.loads(call(store, "mask", data, "--weights", weights, "--dry-run", "--set", 'clothes=["skirt", "hat"]').stdout)
    assert plan["clothes"] == ["Skirt", "Hat"]


def test_list_labels(store: Store, tmp_path: Path) -> None:
    sets = json.loads(call(store, "mask", "--list-labels", "--json").stdout)
    assert [(s["name"], len(s["labels"])) for s in sets] == [("lip", 20), ("atr", 18), ("pascal", 7), ("scnet", 12)]
    own = tmp_path / "own.toml"
    own.write_text('labels = ["Background", "Body", "Top"]\nclothes = ["Top"]\n')
    lines = call(store, "mask", "--list-labels", "--label-set", own).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [["0", "Background"], ["1", "Body"], ["2", "Top", "(clothes)"]]


@pytest.mark.parametrize(
    ("given", "colour"),
    [("white", [255, 255, 255]), ("Black", [0, 0, 0]), ("gray", [128, 128, 128]), ("[1, 2, 3]", [1, 2, 3]), ("9,8,7", [9, 8, 7])],
)
def test_shielding_colour_is_recorded(data: Path, store: Store, maps: Path, given: str, colour: list[int]) -> None:
    told = call_json(store, "mask", data, "--parsing", maps, "--set", f"shielding={given}")
    artifact = store.open(told["artifact"], kind="masks")
    assert artifact.manifest.config["shielding"] == colour
    assert shielding_of(artifact) == tuple(colour)


@pytest.mark.parametrize("given", ["blue-ish", "1,2", "[1,2,256]", "1.5", "[]", "{}"])
def test_no_colour(data: Path, store: Store, maps: Path, given: str) -> None:
    error = refusal(call(store, "mask", data, "--parsing", maps, "--set", f"shielding={given}"))
    assert error.exit_code == 2 and "'shielding'" in error.what and "white, black, grey" in error.what and visible(store) == []


# --------------------------------------------------------------------------------------------------- older masks, skipped pictures
def test_masks_of_older_versions_open(data: Path, store: Store, maps: Path) -> None:
    """Before there was a choice, the config held clothes, dilation, min_area and label_maps alone, and shielding was white."""
    artifact = mask(open_pictures(data), maps, store)
    path = artifact.path / "manifest.json"
    raw = json.loads(path.read_text())
    raw["config"] = {key: raw["config"][key] for key in ("clothes", "dilation", "min_area", "label_maps")}
    raw["metrics"] = {"pictures": 7, "clothes_share": 0.3}
    path.write_text(json.dumps(raw))
    old = store.open("maps-people", kind="masks")
    assert isinstance(old.manifest, Manifest) and shielding_of(old) == (255, 255, 255)
    samples = open_pictures(data).samples
    assert with_masks(old, samples) == samples and store.verify(old) == []


def test_a_colour_that_is_none_in_the_manifest(data: Path, store: Store, maps: Path) -> None:
    artifact = mask(open_pictures(data), maps, store)
    path = artifact.path / "manifest.json"
    raw = json.loads(path.read_text())
    raw["config"]["shielding"] = [300, 0, 0]
    path.write_text(json.dumps(raw))
    with pytest.raises(WorkError, match="shielding colour"):
        shielding_of(store.open("maps-people", kind="masks"))


def test_skipped_pictures_are_left_out_and_told(data: Path, store: Store) -> None:
    (data / "a/broken.png").write_bytes(b"")
    dataset = open_pictures(data)
    parsing = parse(dataset, RedReader(), store, settings=OneByOne(), workers=0, on_error="skip")
    artifact = mask(dataset, parsing, store)
    assert artifact.manifest.metrics["skipped"] == 1
    (note,) = artifact.manifest.notes
    assert "1 picture has no mask" in note and "leave it out" in note and "a/broken.png" in note
    assert [s.path for s in dataset.samples if s not in with_masks(artifact, dataset.samples)] == ["a/broken.png"]


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
