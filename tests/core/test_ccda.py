"""CCDA: labels, junk, and people of one side alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.data.layouts.ccda import LAYOUT
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.records import Rule, Sample
from tests.trees import ccda, write_pictures

# path -> pid, first digit of the second field, minus 1
EXPECTED = {
    "train": {"train/7_2_walk.jpg": (7, 1), "train/8_1_walk.jpg": (8, 0), "train/9_1_walk.jpg": (9, 0)},
    "query": {"query/12_30_sit.jpg": (12, 2), "query/7_1_walk.jpg": (7, 0)},
    "gallery": {"gallery/12_4_sit.jpg": (12, 3), "gallery/7_1_stand.jpg": (7, 0), "gallery/7_2_walk.jpg": (7, 1)},
}


def expected_samples() -> list[Sample]:
    return [Sample(path, pid, camid, -1, split, camera=-1) for split, of in EXPECTED.items() for path, (pid, camid) in of.items()]


def test_every_label_and_split_in_order_without_the_junk(tmp_path: Path) -> None:
    dataset = LAYOUT.load(ccda(tmp_path))
    assert list(dataset.samples) == expected_samples()
    assert dataset.left_out == {"junk": 1} and "1 pictures were left out: junk." in dataset.notes
    assert [(p.name, p.rule) for p in dataset.protocols] == [("general", Rule.STD)] and dataset.numbered_apart


def test_people_of_one_side_alone_are_noted_and_kept(tmp_path: Path) -> None:
    extra = ["query/20_1_a.jpg", *(f"gallery/{pid}_1_a.jpg" for pid in range(21, 28)), "gallery/21_2_a.jpg"]
    dataset = LAYOUT.load(ccda(tmp_path, extra))
    assert {s.pid for s in dataset.split("query")} == {7, 12, 20} and {s.pid for s in dataset.split("gallery")} == {7, 12, *range(21, 28)}
    told = [note for note in dataset.notes if "are not in" in note]
    assert told == [
        "Of 3 identities in query, 1 are not in gallery: 20. Is the copy whole?",
        "Of 9 identities in gallery, 7 are not in query: 21, 22, 23, 24, 25 and others. Is the copy whole?",
    ]
    assert not any("are not in" in note for note in LAYOUT.load(ccda(tmp_path / "whole")).notes)


def test_one_side_alone_is_no_fault(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, ["train/1_1_a.jpg", "query/3_1_a.jpg"]))
    assert dataset.protocols == () and any(note.startswith("No protocol general: there are no gallery") for note in dataset.notes)


def test_names_of_celeb_reid_are_its_own_where_the_folder_says_so(tmp_path: Path) -> None:
    files = ["query/1_1_0.jpg", "gallery/1_2_0.jpg"]
    assert open_dataset(write_pictures(tmp_path / "ccda-test", files)).layout == "ccda"
    assert open_dataset(write_pictures(tmp_path / "other", files)).layout == "celeb_reid"


@pytest.mark.parametrize("files", [["query/1_1_a.jpg"], ["gallery/1_1_a.jpg", "train/1_1_a.jpg"], ["query/1_1_a.jpg", "gallery/b.jpg"]])
def test_names_on_one_side_alone_are_too_little_to_recognise_it_by(files: list[str], tmp_path: Path) -> None:
    assert not LAYOUT.recognises(write_pictures(tmp_path / "data", files))
    assert LAYOUT.recognises(write_pictures(tmp_path / "CCDA", files))


def test_wrong_names_and_nothing_but_junk(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"walk_1.jpg is not named as in CCDA"):
        LAYOUT.load(ccda(tmp_path / "a", ["query/walk_1.jpg"]))
    with pytest.raises(UserError, match=r"no pictures.* 1 pictures were left out: junk"):
        LAYOUT.load(write_pictures(tmp_path / "b", ["gallery/-1_1_a.jpg"]))
