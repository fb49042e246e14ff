"""CUHK02: people are a pair and a number, cameras are counted over all pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.data.layouts.cuhk02 import LAYOUT
from reidclip.errors import UserError
from tests.trees import cuhk02, write_picture, write_pictures


def test_labels_and_splits(tmp_path: Path) -> None:
    dataset = LAYOUT.load(cuhk02(tmp_path))
    assert [(s.path, s.pid, s.camid, s.split) for s in dataset.samples] == [
        ("P1/cam1/001_045.png", 100_001, 0, "train"),
        ("P1/cam1/001_090.png", 100_001, 0, "train"),
        ("P1/cam1/010_045.png", 100_010, 0, "train"),
        ("P1/cam2/001_180.png", 100_001, 1, "train"),
        ("P1/cam2/010_135.png", 100_010, 1, "train"),
        ("P4/cam1/001_045.png", 400_001, 6, "train"),
        ("P4/cam2/001_090.png", 400_001, 7, "train"),
        ("P5/cam1/001_000.png", 500_001, 8, "query"),
        ("P5/cam1/002_000.png", 500_002, 8, "query"),
        ("P5/cam2/001_090.png", 500_001, 9, "gallery"),
        ("P5/cam2/002_090.png", 500_002, 9, "gallery"),
    ]
    assert [p.name for p in dataset.protocols] == ["general"]
    found = {row.what: row.of(dataset) for row in LAYOUT.published}
    assert found["pair 1: identities"] == 2 and found["pair 4: identities"] == 1 and found["train: identities"] == 3
    assert found["all: identities"] == 5 and found["all: cameras"] == 6


def test_one_folder_further_down_is_the_same(tmp_path: Path) -> None:
    cuhk02(tmp_path / "a" / "Dataset")
    inner = LAYOUT.load(tmp_path / "a")
    assert inner.samples == LAYOUT.load(cuhk02(tmp_path / "b")).samples and inner.root == tmp_path / "a" / "Dataset"


def test_a_copy_of_some_pairs_says_what_it_lacks(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, ["P2/cam1/001_1.png", "P2/cam2/001_2.png"]))
    assert not dataset.protocols and "No protocol general: there are no query and no gallery pictures." in dataset.notes


@pytest.mark.parametrize("wrong", ["P1/cam1/001.png", "P5/cam2/a_1.png", "P1/cam1/001_045.jpg"])
def test_wrong_names_are_named(wrong: str, tmp_path: Path) -> None:
    write_picture(cuhk02(tmp_path) / wrong)
    with pytest.raises(UserError) as caught:
        LAYOUT.load(tmp_path)
    assert str(tmp_path / wrong) in caught.value.what and "001_045.png" in caught.value.remedy
