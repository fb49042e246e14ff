"""PRID, GRID, VIPeR, i-LIDS and CUHK-SYSU: labels by hand, and what their divisions must be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reidclip import registry
from reidclip.data.layouts import cuhk_sysu, grid, ilids, prid, viper
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Draw
from tests import trees

DIVIDED = {"prid": trees.prid, "grid": trees.grid, "viper": trees.viper, "ilids": trees.ilids}


def labels(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """Base name -> identity, camera key."""
    return {s.path: (s.pid, s.camid) for s in dataset.samples}


def test_viper_pairs_people_by_their_place(tmp_path: Path) -> None:
    dataset = viper.LAYOUT.load(trees.viper(tmp_path))
    assert labels(dataset) == {
        "cam_a/000_45.bmp": (0, 0),
        "cam_a/001_0.bmp": (1, 0),
        "cam_a/005_90.bmp": (2, 0),
        "cam_a/010_45.bmp": (3, 0),
        "cam_b/000_0.bmp": (0, 1),
        "cam_b/001_90.bmp": (1, 1),
        "cam_b/005_180.bmp": (2, 1),
        "cam_b/010_135.bmp": (3, 1),
    }


def test_viper_takes_each_half_in_both_directions(tmp_path: Path) -> None:
    draws = list(viper.LAYOUT.load(trees.viper(tmp_path)).draws.values())
    assert len(draws) == 20
    for even, odd in zip(draws[::2], draws[1::2], strict=True):
        assert all(path.startswith("cam_a/") for path in even.query) and all(path.startswith("cam_b/") for path in even.gallery)
        assert odd == Draw(even.train, even.gallery, even.query)
        assert len(even.query) == len(even.gallery) == 2 and len(even.train) == 4


def test_viper_refuses_cameras_of_different_numbers(tmp_path: Path) -> None:
    root = trees.viper(tmp_path, ["cam_a/011_0.bmp"])
    with pytest.raises(UserError, match="5 pictures in cam_a and 4 in cam_b"):
        viper.LAYOUT.load(root)


def test_viper_notes_pairs_whose_numbers_differ(tmp_path: Path) -> None:
    """Each camera lacks another picture: the counts agree, and whoever stands between the two places is paired with somebody else."""
    root = trees.viper(tmp_path)
    assert not any("doubtful" in note for note in viper.LAYOUT.load(root).notes)
    (root / "cam_a/001_0.bmp").unlink()
    (root / "cam_b/010_135.bmp").unlink()
    (note,) = (note for note in viper.LAYOUT.load(root).notes if "doubtful" in note)
    assert note.startswith("2 pairs are doubtful") and f"{root / 'cam_a/005_90.bmp'} and {root / 'cam_b/001_90.bmp'}" in note
    assert "unpack VIPeR again" in note


def test_prid_joins_people_1_to_200_and_no_others(tmp_path: Path) -> None:
    dataset = prid.LAYOUT.load(trees.prid(tmp_path))
    assert sorted(s.path for s in dataset.samples if s.camid == 0) == [f"cam_a/person_{n:04d}.png" for n in (3, 4, 7, 9)]
    assert dataset.left_out == {"further people of camera A": 2}
    assert {s.pid for s in dataset.samples if s.camid == 1} == {3, 4, 7, 9, 201, 300, 749}
    for draw in dataset.draws.values():
        test = {path[-8:-4] for path in draw.query}
        assert len(test) == 2 and {path[-8:-4] for path in draw.train} == {"0003", "0004", "0007", "0009"} - test
        assert {path[-8:-4] for path in draw.gallery} == test | {"0201", "0300", "0749"}
        assert len(draw.train) == 4 and all(path.startswith("cam_b/") for path in draw.gallery)


def test_grid_takes_the_published_divisions_and_keeps_distractors(tmp_path: Path) -> None:
    dataset = grid.LAYOUT.load(trees.grid(tmp_path))
    assert dataset.distractors == {0} and list(dataset.draws) == ["split-0", "split-1", "split-2"]
    for (first, second), draw in zip(trees.GRID_TRAINING, dataset.draws.values(), strict=True):
        test = {f"{pid:04d}" for pid in set(trees.GRID_PEOPLE) - {first, second}}
        assert {path[:10] for path in draw.query} == {f"probe/{pid}" for pid in test}
        assert {path[:12] for path in draw.gallery} == {f"gallery/{pid}" for pid in test | {"0000"}}
        assert len(draw.gallery) == 4 and len(draw.train) == 4
    assert labels(dataset)["gallery/0003_8_25023_116_134_128_330.jpeg"] == (3, 7)


def test_ilids_takes_the_picture_number_for_the_camera_key_and_knows_no_camera(tmp_path: Path) -> None:
    dataset = ilids.LAYOUT.load(trees.ilids(tmp_path, ["Persons/0009001.jpg"]))
    assert {s.camera for s in dataset.samples} == {-1}
    assert labels(dataset)["Persons/0002004.jpg"] == (2, 3)
    for draw in dataset.draws.values():
        asked, found = [path[8:12] for path in draw.query], [path[8:12] for path in draw.gallery]
        assert asked == found and len(set(asked)) == 2 and set(draw.query).isdisjoint(draw.gallery)
        assert {s.path for s in dataset.samples if s.path[8:12] not in asked} == set(draw.train)
        assert "0009" not in asked  # a single picture has nothing to be found in


def test_cuhk_sysu_trains_and_is_never_tested(tmp_path: Path) -> None:
    dataset = cuhk_sysu.LAYOUT.load(trees.cuhk_sysu(tmp_path))
    assert {(s.pid, s.camid, s.camera, s.split) for s in dataset.samples} == {(pid, 0, -1, "train") for pid in (1, 2, 11422)}
    assert dataset.protocols == () and "for training alone" in dataset.notes[-1]


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("viper", "VIPeR"),
        ("prid", "single_shot"),
        ("prid", "prid_2011/single_shot"),
        ("grid", "underground_reid"),
        ("ilids", "i-LIDS_Pedestrian"),
    ],
)
def test_the_folder_above_gives_the_same(name: str, inner: str, tmp_path: Path) -> None:
    DIVIDED[name](tmp_path / "above" / inner)
    here, above = open_dataset(DIVIDED[name](tmp_path / "here")), open_dataset(tmp_path / "above")
    assert above.root == tmp_path / "above" / inner
    assert (above.layout, above.samples, above.draws) == (here.layout, here.samples, here.draws)


@pytest.mark.parametrize("name", ["viper", "prid", "ilids"])
def test_draws_are_the_same_on_every_machine(name: str, tmp_path: Path) -> None:
    """The digests of the release's names: they may not move between versions, or results stop being comparable."""
    release: dict[str, Callable[[], list[str]]] = {
        "viper": lambda: [f"cam_{side}/{pid:03d}_{45 * turn}.bmp" for turn, side in enumerate("ab") for pid in range(632)],
        "prid": lambda: [f"cam_{side}/person_{pid:04d}.png" for side, people in (("a", 385), ("b", 749)) for pid in range(1, people + 1)],
        "ilids": lambda: [f"Persons/{pid:04d}{number:03d}.jpg" for pid in range(1, 120) for number in range(1, 5)],
    }
    for path in release[name]():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    dataset = registry.get("reidclip.layouts", name).load(tmp_path)
    sizes = {"viper": (632, 316, 316), "prid": (200, 100, 649), "ilids": (236, 60, 60)}
    assert {(len(d.train), len(d.query), len(d.gallery)) for d in dataset.draws.values()} == {sizes[name]}
    digest = next(note for note in dataset.notes if "digest" in note)
    assert {"viper": "19125d0cff99", "prid": "35a1151681fd", "ilids": "6c596e8183a1"}[name] in digest
    assert len({draw.query for draw in dataset.draws.values()}) == len(dataset.draws)
    assert {row.what: row.of(dataset) for row in registry.get("reidclip.layouts", name).published if row.value != row.of(dataset)} == {}


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("prid", "cam_a/person_1.png", "not named as in PRID"),
        ("grid", "probe/0001_9_x.jpeg", "names camera 9"),
        ("grid", "gallery/1_1_x.jpeg", "not named as in GRID"),
        ("viper", "cam_b/000_0.png", "not named as in VIPeR"),
        ("ilids", "Persons/001001.jpg", "not named as in i-LIDS"),
    ],
)
def test_wrong_names_are_named(name: str, wrong: str, told: str, tmp_path: Path) -> None:
    trees.write_picture(DIVIDED[name](tmp_path) / wrong)
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path, name)
    assert told in caught.value.what and str(tmp_path / wrong) in caught.value.what


def test_grid_says_what_its_divisions_lack(tmp_path: Path) -> None:
    path = trees.grid(tmp_path) / "features_and_partitions.mat"
    path.write_bytes(b"no such file")
    with pytest.raises(WorkError, match=r"features_and_partitions\.mat cannot be read as a MATLAB file"):
        grid.LAYOUT.load(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"There is no .*features_and_partitions\.mat"):
        grid.LAYOUT.load(tmp_path)
    entries = [[f"/old/grid/underground_reid/{s}", 1, 0] for s in trees.GRID_FILES]
    split = {"train": entries[:1] + entries[4:5], "query": entries[1:4], "gallery": entries[5:]}
    (tmp_path / "splits.json").write_text(json.dumps([split]))
    draw = grid.LAYOUT.load(tmp_path).draws["split-0"]
    assert [len(side) for side in (draw.train, draw.query, draw.gallery)] == [2, 3, 5]


def test_grid_of_other_people_is_refused(tmp_path: Path) -> None:
    trees.grid(tmp_path)
    for path in tmp_path.glob("*/0005_*"):
        path.unlink()
    with pytest.raises(UserError, match="names person 5, of whom there is no picture"):
        grid.LAYOUT.load(tmp_path)
