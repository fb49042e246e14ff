"""`reidclip mask --parsing DIR`: label maps as parsers and other repositories leave them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import read_mask_png, write_indexed_png
from reidclip.data.label_sets import ATR, LIP, PASCAL, SCNET, LabelSet, palette
from reidclip.data.open import open_pictures
from reidclip.errors import UserError
from reidclip.stages.mask import mask
from tests import trees
from tests.cli.red_pictures import call, call_json, labels_of, path_of, refusal, shape_of, visible


def every(maps: Path, change: Callable[[np.ndarray], object], suffix: str = ".png") -> Path:
    """Write every map again, by what ``change`` makes of its labels: an image, or an array for ``.npy``."""
    for index in range(7):
        made = change(labels_of(index, shape_of(index)))
        path = (maps / path_of(index)).with_suffix(suffix)
        (maps / path_of(index)).unlink()
        if suffix == ".npy":
            np.save(path, made)
        else:
            made.save(path)
    return maps


def colour_coded(labels: np.ndarray, label_set: LabelSet = LIP) -> Image.Image:
    return Image.fromarray(np.array(label_set.palette, np.uint8)[labels])


def opened(store: Store, told: dict[str, str]) -> Artifact:
    return store.open(told["artifact"], kind="masks")


SETS = {"lip": (LIP, 20), "atr": (ATR, 18), "pascal": (PASCAL, 7), "scnet": (SCNET, 12)}


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


# -------------------------------------------------------------------------------------------------------------- label sets
@pytest.mark.parametrize("name", SETS)
def test_the_palette_tells_the_label_set(data: Path, store: Store, maps: Path, name: str) -> None:
    """SCHP writes as many colours as its network has labels; so does the SCNet repository."""
    label_set, count = SETS[name]

    def write(labels: np.ndarray) -> Image.Image:
        image = Image.fromarray(labels % count)
        image.putpalette([value for colour in palette(count) for value in colour])
        return image

    result = call(store, "mask", data, "--parsing", every(maps, write))
    assert result.exit_code == 0, result.exception
    assert f"label set: {name} (their palette has {count} colours)" in result.stderr
    config = store.open("maps-people", kind="masks").manifest.config
    assert config["label_set"] == name and config["clothes"] == list(label_set.clothes)
    keep = read_mask_png(store.open("maps-people", kind="masks").path / "keep/a/1.png")
    indices = [label_set.labels.index(label) for label in label_set.clothes]
    assert (keep == ~np.isin(labels_of(1) % count, indices)).all()


def test_old_writers_fill_the_palette(data: Path, store: Store, maps: Path) -> None:
    def write(labels: np.ndarray) -> Image.Image:
        image = Image.fromarray(labels % 18)
        ramp = [(i, i, i) for i in range(18, 256)]
        image.putpalette([value for colour in [*palette(18), *ramp] for value in colour])
        return image

    assert "label set: atr" in call(store, "mask", data, "--parsing", every(maps, write)).stderr


def test_grey_maps_are_told_by_their_highest_label(data: Path, store: Store, maps: Path) -> None:
    every(maps, lambda labels: Image.fromarray(np.where(labels == 13, 19, labels).astype(np.uint8)))
    assert "label set: lip (they hold label 19, which LIP alone has)" in call(store, "mask", data, "--parsing", maps).stderr
    every(maps, lambda labels: Image.fromarray(labels))  # 0 to 13: LIP's face is ATR's right leg
    error = refusal(call(store, "mask", data, "--parsing", maps))
    assert error.exit_code == 2 and "labels 0 to 13" in error.what and "LIP and ATR both" in error.what and "atr" in error.remedy
    told = call_json(store, "mask", data, "--parsing", maps, "--label-set", "ATR")
    assert told["notes"] == [] and opened(store, told).manifest.config["label_set_from"] == "named by the user"
    every(maps, lambda labels: Image.fromarray((labels % 8).astype(np.uint8)))
    error = refusal(call(store, "mask", data, "--parsing", maps))
    assert error.exit_code == 2 and "labels 0 to 6" in error.what and "--label-set" in error.remedy
    every(maps, lambda labels: Image.fromarray(np.zeros_like(labels)))
    told = call_json(store, "mask", data, "--parsing", maps)
    assert told["metrics"]["without_clothes"] == 7 and any("nothing but background" in note for note in told["notes"])


def with_palette(labels: np.ndarray, colours: list[tuple[int, ...]]) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette([value for colour in colours for value in colour])
    return image


def test_palettes_that_tell_nothing(data: Path, store: Store, maps: Path) -> None:
    """All 256 colours of PASCAL VOC, or palettes of two label sets in one folder: the labels are 0 to 13, so the user is asked."""
    every(maps, lambda labels: with_palette(labels, list(palette(256))))
    assert "LIP and ATR both" in refusal(call(store, "mask", data, "--parsing", maps)).what
    every(maps, lambda labels: with_palette(labels, list(palette(20 if labels.shape == (12, 8) else 18))))
    assert "LIP and ATR both" in refusal(call(store, "mask", data, "--parsing", maps)).what


def test_a_grey_ramp_is_no_palette_of_its_own(data: Path, store: Store, maps: Path) -> None:
    every(maps, lambda labels: with_palette(labels, [(i, i, i) for i in range(256)]))
    assert call_json(store, "mask", data, "--parsing", maps, "--label-set", "lip")["notes"] == []


def test_a_folder_without_any_map_is_no_reason_to_skip_everything(data: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = refusal(call(store, "mask", data, "--parsing", tmp_path / "empty", "--on-error", "skip"))
    assert error.exit_code == 2 and "7 of 7 pictures have no label map" in error.what


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_masks_of_0_and_255_are_maps_of_two_labels(data: Path, store: Store, maps: Path, tmp_path: Path, suffix: str) -> None:
    every(maps, clothes_255 if suffix == ".npy" else lambda labels: Image.fromarray(clothes_255(labels)), suffix)
    own = tmp_path / "two.toml"
    own.write_text('labels = ["Background", "Clothes"]\nclothes = ["Clothes"]\n')
    artifact = opened(store, call_json(store, "mask", data, "--parsing", maps, "--label-set", own))
    assert (read_mask_png(artifact.file("keep/a/1.png")) == (labels_of(1) != 9)).all()
    assert artifact.manifest.config["label_maps_two_valued"] == sum(bool((labels_of(i, shape_of(i)) == 9).any()) for i in range(7))
    assert any("0 and 255: 255 was taken as Clothes." in note for note in artifact.manifest.notes)
    for words in ((), ("--label-set", "lip")):
        error = refusal(call(store, "mask", data, "--parsing", maps, *words))
        assert "255" in error.what and 'labels = ["Background", "Clothes"]' in error.remedy, error.what


def clothes_255(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 9, 255, 0).astype(np.uint8)


def test_an_own_label_set(data: Path, store: Store, maps: Path, tmp_path: Path) -> None:
    every(maps, lambda labels: Image.fromarray((labels % 6).astype(np.uint8)))
    own = tmp_path / "six.toml"
    own.write_text('labels = ["Ground", "Head", "Top", "Trousers", "Shoes", "Skin"]\nclothes = ["Trousers", "Skin"]\n')
    artifact = opened(store, call_json(store, "mask", data, "--parsing", maps, "--label-set", own))
    config = artifact.manifest.config
    assert (config["label_set"], config["clothes_indices"], config["labels"][0]) == ("six", [3, 5], "Ground")
    assert (read_mask_png(artifact.file("keep/a/1.png")) == ~np.isin(labels_of(1) % 6, [3, 5])).all()
    own.write_text('labels = ["Ground", "Head", "Top", "Trousers"]\nclothes = ["Top"]\n')
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", own))
    assert "holds label 5, which does not fit the label set six: it has 4 labels, 0 to 3." in error.what
    assert "or leave --label-set out" in error.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("labels = [", "not valid TOML"),
        ('clothes = ["Top"]', "'labels' is missing"),
        ('labels = ["Ground", "Top"]\ncloths = ["Top"]', "unknown key 'cloths'"),
        ('labels = ["Ground", "Top"]\nclothes = ["Topp"]', "'Topp'"),
        ('labels = ["Ground", "Top", "top"]', "two labels are named"),
        ('labels = ["Ground", "Top"]\ncolours = [[0, 0, 0]]', "2 labels but 1 colours"),
        ('labels = ["Ground", "Top"]\ncolours = [[0, 0, 0], [0, 0, 0]]', "the same colour"),
        ('labels = ["Ground", "Top"]\ncolours = [[0, 0, 0], [0, 0, 256]]', "no colour"),
        ('labels = "lip"', "'labels'"),
    ],
)
def test_label_set_files_that_are_wrong(data: Path, store: Store, maps: Path, tmp_path: Path, text: str, words: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", own))
    assert error.exit_code == 2 and words in error.what and "own.toml" in error.what and visible(store) == []


def test_label_sets_that_are_not_there(data: Path, store: Store, maps: Path, weights: str) -> None:
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "pascall"))
    assert "Did you mean 'pascal'?" in error.remedy
    assert "no label set file" in refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "gone.toml")).what
    assert "made elsewhere" in refusal(call(store, "mask", data, "--weights", weights, "--label-set", "lip")).what


# -------------------------------------------------------------------------------------------------------------- file formats
def test_numpy_files(data: Path, store: Store, maps: Path) -> None:
    expected = mask(open_pictures(data), maps, store)
    every(maps, lambda labels: np.where(labels == 1, 18, labels).astype(np.int64), ".npy")  # no clothes either; tells LIP from ATR
    artifact = mask(open_pictures(data), maps, store)
    assert {k: v for k, v in artifact.files.items()} == dict(expected.files)
    assert artifact.manifest.config["label_maps_naming"].endswith(".npy")


def test_scores_beside_the_maps_are_not_read(data: Path, store: Store, maps: Path) -> None:
    """SCHP's ``--logits`` leaves ``<stem>.npy`` of height x width x classes in the same folder."""
    for index in range(7):
        np.save((maps / path_of(index)).with_suffix(".npy"), np.zeros((*shape_of(index), 20), np.float32))
    assert mask(open_pictures(data), maps, store).manifest.config["label_maps_naming"].endswith(".png")


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (Path.touch, (Path("/tmp/reidclip-ran-this"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((12, 8, 20), np.float32), "not one whole number per pixel"),
        (np.zeros((12, 8), np.float32), "not one whole number per pixel"),
        (np.full((12, 8), 300), "numbers run from 300 to 300"),
        (np.full((12, 8), 256), "numbers run from 256 to 256"),
        (np.full((12, 8), -1), "numbers run from -1"),
        (np.array([Dangerous()], object), "no NumPy file of numbers"),
    ],
)
def test_numpy_files_that_are_no_maps(data: Path, store: Store, maps: Path, array: np.ndarray, words: str) -> None:
    every(maps, lambda labels: labels, ".npy")
    np.save(maps / "b/c/5.npy", array, allow_pickle=True)
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "lip"))
    assert error.exit_code == 2 and words in error.what and "5.npy" in error.what
    assert not Path("/tmp/reidclip-ran-this").exists() and visible(store) == []


@pytest.mark.parametrize(("cut", "size"), [("half", 0.5), ("nothing", 0.0)])
def test_numpy_files_that_are_cut_off(data: Path, store: Store, maps: Path, cut: str, size: float) -> None:
    every(maps, lambda labels: labels, ".npy")
    victim = maps / "b/c/5.npy"
    victim.write_bytes(victim.read_bytes()[: int(victim.stat().st_size * size)])
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "lip"))
    assert "5.npy is damaged" in error.what and error.exit_code == 2


def test_colour_coded_maps_need_permission(data: Path, store: Store, maps: Path) -> None:
    expected = mask(open_pictures(data), maps, store)
    every(maps, colour_coded)
    error = refusal(call(store, "mask", data, "--parsing", maps))
    assert error.exit_code == 2 and "its mode is RGB" in error.what and "--set colours=true" in error.remedy
    artifact = opened(store, call_json(store, "mask", data, "--parsing", maps, "--set", "colours=true"))
    assert artifact.files == expected.files
    assert artifact.manifest.config["label_maps_coloured"] == 7 and artifact.manifest.config["colours"] is True


def test_colours_of_an_own_label_set(data: Path, store: Store, maps: Path, tmp_path: Path) -> None:
    colours = tuple((i * 10, 255 - i, i) for i in range(20))
    own = tmp_path / "own.toml"
    own.write_text(f'labels = {json.dumps(list(LIP.labels))}\nclothes = ["Pants"]\ncolours = {json.dumps(colours)}\n')
    every(maps, lambda labels: colour_coded(labels, LabelSet("own", LIP.labels, (), "", colours)))
    told = call_json(store, "mask", data, "--parsing", maps, "--label-set", own, "--set", "colours=true")
    assert (read_mask_png(Path(told["path"]) / "keep/a/1.png") == (labels_of(1) != 9)).all()


def test_a_colour_of_no_label(data: Path, store: Store, maps: Path) -> None:
    every(maps, colour_coded)
    picture = np.array(Image.open(maps / "b/c/5.png"))
    picture[3, 2] = (1, 2, 3)
    Image.fromarray(picture).save(maps / "b/c/5.png")
    error = refusal(call(store, "mask", data, "--parsing", maps, "--set", "colours=true", "--label-set", "lip"))
    assert "5.png holds the colour (1, 2, 3) (column 2, row 3)" in error.what


def test_a_palette_in_another_order_is_refused_or_read_by_colour(data: Path, store: Store, maps: Path) -> None:
    """Programs that shrink PNGs sort palettes anew: numbers mean nothing then, colours still do."""
    expected = mask(open_pictures(data), maps, store)

    def sort_anew(labels: np.ndarray) -> Image.Image:
        image = Image.fromarray((19 - labels).astype(np.uint8))
        image.putpalette([value for colour in reversed(palette(20)) for value in colour])
        return image

    every(maps, sort_anew)
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "lip"))
    assert "reordered" in error.what and "--set colours=true" in error.remedy
    told = call_json(store, "mask", data, "--parsing", maps, "--label-set", "lip", "--set", "colours=true")
    assert opened(store, told).files == expected.files


def test_other_colours_are_told(data: Path, store: Store, maps: Path) -> None:
    def bright(labels: np.ndarray) -> Image.Image:
        image = Image.fromarray(labels)
        image.putpalette([value for i in range(20) for value in (255 - i, i, 7)])
        return image

    told = call_json(store, "mask", data, "--parsing", every(maps, bright), "--label-set", "lip")
    assert any("7 label maps have colours of their own" in note for note in told["notes"])


@pytest.mark.parametrize("colours", ["true", "false"])
def test_sixteen_bit_maps_are_refused(data: Path, store: Store, maps: Path, colours: str) -> None:
    every(maps, lambda labels: Image.fromarray(labels.astype(np.uint16)))
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "lip", "--set", f"colours={colours}"))
    assert error.exit_code == 2 and "I;16" in error.what and "8-bit" in error.remedy


def test_maps_of_another_size_need_permission(data: Path, store: Store, maps: Path) -> None:
    def double(labels: np.ndarray) -> Image.Image:
        return Image.fromarray(labels.repeat(2, axis=0).repeat(2, axis=1))

    every(maps, double)
    error = refusal(call(store, "mask", data, "--parsing", maps, "--label-set", "lip"))
    assert "is 18 x 28 pixels, its picture" in error.what and "--set resize=true" in error.remedy
    artifact = opened(store, call_json(store, "mask", data, "--parsing", maps, "--label-set", "lip", "--set", "resize=true", "--preview"))
    assert (read_mask_png(artifact.file("keep/a/1.png")) == ~np.isin(labels_of(1), [3, *range(5, 13)])).all()
    assert artifact.manifest.config["label_maps_resized"] == 7 and "7 label maps were of another size" in artifact.manifest.notes[0]


# -------------------------------------------------------------------------------------------------------------------- lineage
def test_the_maps_are_recorded(data: Path, store: Store, maps: Path) -> None:
    first = mask(open_pictures(data), maps, store).manifest.config
    assert first["label_maps"] == str(maps) and first["label_maps_naming"] == "<path>/<stem>.png"
    assert len(first["label_maps_sha256"]) == 64
    again = mask(open_pictures(data), maps, store, preview=True).manifest.config
    assert again["label_maps_sha256"] == first["label_maps_sha256"]
    write_indexed_png(maps / "a/1.png", np.zeros((12, 8), np.uint8), LIP.palette)
    assert mask(open_pictures(data), maps, store).manifest.config["label_maps_sha256"] != first["label_maps_sha256"]


@pytest.mark.parametrize(
    ("kind", "cut"), [("PNG", 0.0), ("PNG", 0.7), ("JPEG", 0.9)], ids=["empty", "cut off", "cut off behind a whole header"]
)
def test_broken_pictures_are_left_out_when_told(data: Path, store: Store, maps: Path, kind: str, cut: float) -> None:
    broken = data / "a/2.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (14, 9, 3), dtype=np.uint8)).save(broken, format=kind)
    broken.write_bytes(broken.read_bytes()[: int(broken.stat().st_size * cut)])
    told = call_json(store, "mask", data, "--parsing", maps, "--on-error", "skip", "--preview")
    assert (told["metrics"]["pictures"], told["metrics"]["skipped"]) == (6, 1) and "a/2.png" in told["notes"][0]
    assert not (Path(told["path"]) / "keep/a/2.png").exists()
    assert refusal(call(store, "mask", data, "--parsing", maps, "--preview")).exit_code == 1
    for path in data.rglob("*.png"):
        path.write_bytes(b"")
    assert "was skipped" in refusal(call(store, "mask", data, "--parsing", maps, "--on-error", "skip")).what


# ------------------------------------------------------------------------------------------------- trees of other repositories
def prcc_maps(root: Path, target: Path, names: list[str], place: Callable[[str], str]) -> Path:
    for index, name in enumerate(names):
        path = target / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(path, np.full((32, 16), index % 20, np.uint8), LIP.palette)
    return target


def test_folders_that_drop_the_first_folder(store: Store, tmp_path: Path) -> None:
    """``human_parsing/train/...`` for ``rgb/train/...``, as loaders that read parsings beside PRCC have it."""
    root = trees.prcc(tmp_path / "prcc")
    maps = prcc_maps(root, tmp_path / "human_parsing", list(trees.PRCC_FILES), lambda name: str(Path(name[4:]).with_suffix(".png")))
    told = call_json(store, "mask", root, "--parsing", maps)
    assert told["metrics"]["pictures"] == len(trees.PRCC_FILES) and told["metrics"]["skipped"] == 0


def test_training_pictures_alone(store: Store, tmp_path: Path) -> None:
    """``processed/<identity>/<stem>.png`` for the training pictures, as SCNet has it: the rest may be left out, and the error says so."""
    root = trees.prcc(tmp_path / "prcc")
    train = [name for name in trees.PRCC_FILES if name.startswith("rgb/train/")]
    maps = prcc_maps(root, tmp_path / "processed", train, lambda name: "/".join(name.split("/")[2:]).replace(".jpg", ".png"))
    error = refusal(call(store, "mask", root, "--parsing", maps))
    missing = len(trees.PRCC_FILES) - len(train)
    assert (
        f"{missing} of {len(trees.PRCC_FILES)} pictures have no label map" in error.what
        and "All training pictures have one" in error.remedy
    )
    told = call_json(store, "mask", root, "--parsing", maps, "--on-error", "skip")
    assert (told["metrics"]["pictures"], told["metrics"]["skipped"]) == (len(train), missing)


@pytest.mark.parametrize("word", ["_parsing", "_label"])
def test_words_in_names(data: Path, store: Store, maps: Path, word: str) -> None:
    expected = mask(open_pictures(data), maps, store)
    for path in sorted(maps.rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}{word}.png"))
    assert mask(open_pictures(data), maps, store).files == expected.files


def test_pictures_to_look_at_are_no_maps(data: Path, store: Store, maps: Path) -> None:
    """``<stem>_vis.png`` beside the maps is not touched, and never taken for them."""
    expected = mask(open_pictures(data), maps, store)
    for path in sorted(maps.rglob("*.png")):
        Image.new("RGB", (3, 3)).save(path.with_name(f"{path.stem}_vis.png"))
    assert mask(open_pictures(data), maps, store).files == expected.files
    for path in sorted(maps.rglob("[0-9].png")):
        path.unlink()
    assert "7 of 7 pictures have no label map" in refusal(call(store, "mask", data, "--parsing", maps)).what


def test_the_pictures_themselves_are_no_maps(data: Path, store: Store) -> None:
    error = refusal(call(store, "mask", data, "--parsing", data))
    assert "7 of 7 pictures have no label map" in error.what
    shutil.copytree(data, data.parent / "copy")
    assert "its mode is RGB" in refusal(call(store, "mask", data, "--parsing", data.parent / "copy", "--label-set", "lip")).what
