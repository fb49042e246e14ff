"""Files of random splits: our own, and those that published programs keep, moved to another machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.draws import generator, halves, shuffled
from reidclip.data.open import open_dataset
from reidclip.data.split_files import digest_of, splits_document
from reidclip.errors import UserError
from reidclip.records import Draw
from tests import trees

A = ["cam_a/000_45.bmp", "cam_a/001_0.bmp", "cam_a/005_90.bmp", "cam_a/010_45.bmp"]
B = ["cam_b/000_0.bmp", "cam_b/001_90.bmp", "cam_b/005_180.bmp", "cam_b/010_135.bmp"]


def torchreid(prefix: str, sep: str = "/") -> list[dict[str, Any]]:
    """One division as torchreid writes it: people 0 and 2 train."""

    def entries(paths: list[str], camera: int) -> list[list[Any]]:
        return [[f"{prefix}{sep}{path.replace('/', sep)}", pid, camera] for pid, path in enumerate(paths)]

    train = entries([A[0], A[2]], 0) + entries([B[0], B[2]], 1)
    return [{"train": train, "query": entries([A[1], A[3]], 0), "gallery": entries([B[1], B[3]], 1), "num_train_pids": 2}]


@given(st.lists(st.integers(), unique=True, max_size=30))
def test_halves_are_a_division(people: list[int]) -> None:
    train, test = halves(people, generator())
    assert train | test == set(people) and not train & test and len(test) - len(train) in (0, 1)
    assert (train, test) == halves(people[::-1], generator())


def test_every_order_is_as_likely() -> None:
    numbers = generator()
    drawn = [tuple(shuffled("abc", numbers)) for _ in range(6000)]
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 6 and max(abs(count - 1000) for count in counts) < 150  # five standard deviations


@pytest.mark.parametrize(("prefix", "sep"), [("/home/else/reid-data/viper/VIPeR", "/"), (r"D:\data\VIPeR", "\\"), ("VIPeR", "/")])
def test_absolute_paths_of_another_machine_are_found_by_their_last_parts(prefix: str, sep: str, tmp_path: Path) -> None:
    trees.viper(tmp_path / "VIPeR")
    (tmp_path / "splits.json").write_text(json.dumps(torchreid(prefix, sep)))  # torchreid's place; CLIP-FGDI's is further down
    dataset = open_dataset(tmp_path)
    assert dataset.draws == {"split-0": Draw((A[0], A[2], B[0], B[2]), (A[1], A[3]), (B[1], B[3]))}
    assert dataset.protocols[0].draws == ("split-0",) and str(tmp_path / "splits.json") in dataset.notes[0]


def test_entries_of_four_are_read(tmp_path: Path) -> None:
    document = torchreid("/x")
    for side in ("train", "query", "gallery"):
        document[0][side] = [[*entry, 3] for entry in document[0][side]]  # CLIP-FGDI adds the data set
    (trees.viper(tmp_path) / "splits.json").write_text(json.dumps(document))
    assert open_dataset(tmp_path).draws["split-0"].query == (A[1], A[3])


def test_prid_keeps_numbers_of_people(tmp_path: Path) -> None:
    (trees.prid(tmp_path) / "splits_single_shot.json").write_text(
        json.dumps([{"train": [3, 9], "test": [4, 7]}, {"train": [4, 7], "test": [3, 9]}])
    )
    draws = open_dataset(tmp_path).draws
    assert draws["split-1"].query == ("cam_a/person_0003.png", "cam_a/person_0009.png")
    assert draws["split-0"].gallery == tuple(f"cam_b/person_{pid:04d}.png" for pid in (4, 7, 201, 300, 749))


def test_ilids_keeps_names_alone(tmp_path: Path) -> None:
    split = {"train": ["0001001.jpg", "0001002.jpg"], "query": ["0003001.jpg"], "gallery": ["0003003.jpg"]}
    (trees.ilids(tmp_path) / "splits.json").write_text(json.dumps([split]))
    draw = open_dataset(tmp_path).draws["split-0"]
    assert draw == Draw(("Persons/0001001.jpg", "Persons/0001002.jpg"), ("Persons/0003001.jpg",), ("Persons/0003003.jpg",))


def test_written_and_put_in_the_folder_they_are_the_same(tmp_path: Path) -> None:
    root = trees.viper(tmp_path)
    drawn = open_dataset(root)
    document = splits_document(drawn)
    assert document["seed"] == 0 and document["digest"] == digest_of(drawn.draws)
    assert not any(str(tmp_path) in path for sides in document["splits"].values() for side in sides.values() for path in side)
    document["splits"] = dict(list(document["splits"].items())[:2])
    document["digest"] = digest_of({name: drawn.draws[name] for name in document["splits"]})
    (root / "reidclip-splits.json").write_text(json.dumps(document))
    (root / "splits.json").write_text("no JSON, and not read")
    read = open_dataset(root)
    assert read.draws == {name: drawn.draws[name] for name in ("split-0", "split-1")}
    assert splits_document(read)["seed"] is None  # a file says nothing of how its splits were drawn, ours or not


def _own(**changes: Any) -> dict[str, Any]:
    draws = {"split-0": Draw((A[0], B[0]), (A[1],), (B[1],))}
    sides = {side: list(getattr(draws["split-0"], side)) for side in ("train", "query", "gallery")}
    return {"format": "reidclip splits 1", "digest": digest_of(draws), "splits": {"split-0": sides}, **changes}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("{", "is not valid JSON"),
        ({}, "is no list of splits"),
        ([], "is no list of splits"),
        ([{"train": []}], "is no list of splits"),
        (torchreid("/x")[0], "is no list of splits"),
        (
            [{"train": [], "query": [["/x/cam_a/999_1.bmp", 1, 0]], "gallery": []}],
            "names /x/cam_a/999_1.bmp, which is no picture of",
        ),
        ([{"train": [], "query": [["/x/cam_b/000_45.bmp", 1, 0]], "gallery": []}], "names /x/cam_b/000_45.bmp, which is no picture"),
        ([{"train": [], "query": [[A[0], 0, 0]], "gallery": [[B[1], 1, 1]]}], "split-0: no query has anybody to find"),
        ([{"train": [[A[0], 0, 0]], "query": [[A[0], 0, 0]], "gallery": [[B[0], 0, 1]]}], "identity 0 is in training and in test"),
        (_own(format="reidclip splits 2"), "has the format 'reidclip splits 2'"),
        (_own(digest="0"), "was changed"),
        (_own(splits=[]), "lacks something"),
        (_own(splits={}, digest=digest_of({})), "holds no splits"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(document: Any, told: str, tmp_path: Path) -> None:
    path = trees.viper(tmp_path) / "splits.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    assert told in caught.value.what and str(path) in caught.value.what and caught.value.remedy


def test_prid_people_who_are_not_there(tmp_path: Path) -> None:
    (trees.prid(tmp_path) / "splits_single_shot.json").write_text(json.dumps([{"train": [3], "test": [201]}]))
    with pytest.raises(UserError, match="names person 201, who is not before both cameras"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("person", [[3], {"pid": 3}, "3", 3.0, True, None])
@pytest.mark.parametrize("side", ["train", "test"])
def test_prid_people_who_are_no_numbers(side: str, person: Any, tmp_path: Path) -> None:
    path = trees.prid(tmp_path) / "splits_single_shot.json"
    path.write_text(json.dumps([{"train": [3, 9], "test": [4, 7], side: [person]}]))
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    assert f"{path} names {person!r} where the number of a person is expected" in caught.value.what and caught.value.remedy
