"""`reidclip.stages.synth`: trees, reproducibility, resuming, label maps and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reidclip.data.images import read_indexed_png, read_picture
from reidclip.data.lip import LIP_PALETTE
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.stages.synth import plan_synth, synth
from reidclip.synth import labels
from tests.core.synth_fixtures import records, tree

SIZE = (96, 48)
SMALL = {"ids": 3, "test_ids": 1, "outfits": 3, "images_per_camera": 2, "size": SIZE, "control": True, "val_images": 1, "seed": 4}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "prcc"
    synth(out, **SMALL)
    return out


def test_tree_has_prccs_names(rendered: Path) -> None:
    pictures = {r["path"] for r in records(rendered)}
    expected = {f"rgb/train/{p}/{c}_cropped_rgb{n:03d}.jpg" for p in ("001", "002") for c in "ABC" for n in (1, 2)}
    expected |= {f"rgb/val/{p}/{c}_cropped_rgb003.jpg" for p in ("001", "002") for c in "ABC"}
    expected |= {f"rgb/test/{c}/003/cropped_rgb{n:03d}.jpg" for c in ("A", "B", "C", "C_same") for n in (1, 2)}
    assert pictures == expected
    on_disk = set(tree(rendered))
    label_maps = {"parsing/" + p.removesuffix(".jpg") + ".png" for p in expected}
    assert on_disk == expected | label_maps | {"attributes.jsonl", "synth.json", "bodies.json", "bodies.safetensors"}


def test_the_toolkit_reads_it_as_prcc(rendered: Path) -> None:
    samples = open_dataset(rendered).samples
    clothes = {split: {s.clothes_id for s in samples if s.split == split} for split in ("train", "test-A", "test-C", "test-C-same")}
    assert sum(s.split == "train" for s in samples) == 12
    assert clothes["test-A"].isdisjoint(clothes["test-C"])
    assert clothes["test-A"] == clothes["test-C-same"]


def test_workers_do_not_change_a_byte(rendered: Path, tmp_path: Path) -> None:
    synth(tmp_path / "two", workers=2, **SMALL)
    assert tree(tmp_path / "two") == tree(rendered)


def test_interrupted_run_goes_on_to_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(rendered, copy)
    (copy / "rgb/train/002/A_cropped_rgb001.jpg").unlink()
    shutil.rmtree(copy / "parsing/rgb/test")
    seen: list[tuple[int, int]] = []
    summary = synth(copy, progress=lambda done, total: seen.append((done, total)), **SMALL)
    assert tree(copy) == tree(rendered)
    assert summary.rendered == 9 + 8  # persons 2 and 3; person 1 was complete
    assert seen[-1] == (26, 26)


class InterruptedByTestError(Exception):
    pass


def test_stopped_before_the_end_leaves_no_description_file(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"

    def stop(done: int, total: int) -> None:
        raise InterruptedByTestError

    with pytest.raises(InterruptedByTestError):
        synth(out, progress=stop, **SMALL)
    assert not (out / "attributes.jsonl").exists()
    assert synth(out, **SMALL).rendered == 9 + 8
    assert tree(out) == tree(rendered)


def test_finished_set_is_left_alone(rendered: Path) -> None:
    before = tree(rendered)
    assert synth(rendered, **SMALL).rendered == 0
    assert tree(rendered) == before


def test_label_maps_are_indexed_pngs_aligned_with_pictures(rendered: Path) -> None:
    for record in records(rendered):
        label, palette = read_indexed_png(rendered / record["parsing"])
        picture = read_picture(rendered / record["path"])
        assert label.shape == SIZE and picture.shape == (*SIZE, 3)
        assert palette[: len(LIP_PALETTE)] == LIP_PALETTE
        assert label.max() < len(LIP_PALETTE)
        assert np.isin(label, labels.CLOTHES).mean() > 0.08
        assert np.isin(label, (labels.FACE, labels.HAIR, labels.HAT)).mean() > 0.005
        x, y, width, height = record["box_xywh"]
        inside = label[y : y + height, x : x + width]
        assert (inside > 0).sum() == (label > 0).sum()


def test_identity_stays_and_clothes_change(rendered: Path) -> None:
    mine = [r for r in records(rendered) if r["pid"] == 1]
    assert len({json.dumps([r["identity"], r["measurements"]], sort_keys=True) for r in mine}) == 1
    clothes = {camera: {r["clothes_id"] for r in mine if r["camera"] == camera} for camera in "ABC"}
    assert clothes == {"A": {"001_0"}, "B": {"001_0"}, "C": {"001_1", "001_2"}}
    worn = {r["clothes_id"]: json.dumps(r["outfit"]) for r in mine}
    assert len(set(worn.values())) == 3


def test_control_wears_the_clothes_of_camera_a(rendered: Path) -> None:
    control = [r for r in records(rendered) if "/C_same/" in r["path"]]
    assert {r["clothes_id"] for r in control} == {"003_0"}
    assert {r["camera"] for r in control} == {"C"}


def test_captions(rendered: Path) -> None:
    for record in records(rendered):
        assert 3 <= len(record["captions"]) <= 5
        assert len(record["identity_captions"]) == 2
        assert all(c == c.strip() and "  " not in c and len(c.split()) >= 3 for c in record["captions"] + record["identity_captions"])
        assert record["outfit"]["top"]["colour"] in " ".join(record["captions"]) or "jacket" in record["outfit"]
        assert not any("wearing a " in c for c in record["identity_captions"])


def test_more_pictures_do_not_change_earlier_people(rendered: Path, tmp_path: Path) -> None:
    """Streams are per identity: a larger set starts with the same people."""
    synth(tmp_path / "more", **{**SMALL, "ids": 4, "images_per_camera": 1, "val_images": 0})
    first = {r["pid"]: r["measurements"] for r in records(tmp_path / "more")}
    assert all(first[r["pid"]] == r["measurements"] for r in records(rendered))


def test_pairs_wear_a_new_outfit_in_every_picture(tmp_path: Path) -> None:
    summary = synth(tmp_path / "pairs", layout="pairs", ids=2, outfits=0, images_per_camera=4, size=SIZE)
    assert summary.pictures == 8
    described = records(tmp_path / "pairs")
    assert [r["path"] for r in described[:2]] == ["images/001_00.jpg", "images/001_01.jpg"]
    assert len({r["clothes_id"] for r in described}) == 8


def test_other_parameters_are_refused(rendered: Path) -> None:
    with pytest.raises(UserError) as error:
        synth(rendered, **{**SMALL, "seed": 5})
    assert "seed 4 (now 5)" in error.value.what
    assert error.value.remedy


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        synth(tmp_path, ids=1)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"layout": "prc"}, "Unknown layout 'prc'"),
        ({"ids": 0}, "ids must be at least 1"),
        ({"ids": 3, "test_ids": 4}, "test_ids must lie between 0 and ids"),
        ({"outfits": 1}, "outfits must be at least 2"),
        ({"images_per_camera": 0}, "images_per_camera"),
        ({"images_per_camera": 1000}, "images_per_camera"),
        ({"val_images": -1}, "val_images"),
        ({"seed": -1}, "seed"),
        ({"size": (8, 8)}, "size"),
    ],
)
def test_wrong_parameters(changes: dict, what: str) -> None:
    with pytest.raises(UserError) as error:
        plan_synth(**changes)
    assert what in error.value.what


def test_a_third_is_for_testing_and_names_grow() -> None:
    assert plan_synth(ids=60).test_ids == 20
    from reidclip.synth.layouts.base import pid_name

    assert pid_name(plan_synth(ids=60), 7) == "007"
    assert pid_name(plan_synth(ids=1500), 7) == "0007"
