"""Celeb-reID: labels, the five readings of its "camera", and which of two releases a folder is counted as."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.data.blurred_copies import is_blurred_copy
from reidclip.data.join import join, with_halves_joined
from reidclip.data.layouts.celeb_reid import LAYOUT
from reidclip.data.open import open_dataset
from reidclip.data.published import published_of
from reidclip.errors import UserError
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import Dataset, Rule, Sample, training_labels
from reidclip.stages.verify import verify
from tests.trees import CELEB_REID_FILES, celeb_reid, market1501, write_picture, write_pictures

# path -> pid, camera of celeb-a (first digit of the second field, minus 1)
EXPECTED = {
    "train": {
        "train/10_1_2.jpg": (10, 0),
        "train/10_4_2.jpg": (10, 3),
        "train/1_10_0.jpg": (1, 0),  # one leading digit, as picture 1
        "train/1_1_0.jpg": (1, 0),
        "train/1_2_1.jpg": (1, 1),
        "train/2_1_0.jpg": (2, 0),
        "train/2_3_0.jpg": (2, 2),
    },
    "query": {"query/1_12_3.jpg": (1, 0), "query/1_1_0.jpg": (1, 0), "query/2_3_0.jpg": (2, 2)},
    "gallery": {
        "gallery/1_19_3.jpg": (1, 0),
        "gallery/1_1_1.jpg": (1, 0),
        "gallery/1_2_0.jpg": (1, 1),
        "gallery/2_3_0.jpg": (2, 2),
        "gallery/2_4_1.jpg": (2, 3),
    },
}
# protocol -> what it ignores, (query, gallery) names
IGNORED = {
    "celeb-a": {("1_1_0", "1_1_1"), ("1_1_0", "1_19_3"), ("1_12_3", "1_1_1"), ("1_12_3", "1_19_3"), ("2_3_0", "2_3_0")},
    "celeb-b": {("1_1_0", "1_1_1"), ("2_3_0", "2_3_0")},
    "celeb-c": {("1_12_3", "1_19_3"), ("1_1_0", "1_1_1")},  # first and second of their folders
    "celeb-d": {("1_1_0", "1_2_0"), ("1_12_3", "1_19_3"), ("2_3_0", "2_3_0")},
    "celeb-nocam": set(),
}


def expected_samples() -> list[Sample]:
    return [Sample(path, pid, camid, -1, split, camera=-1) for split, of in EXPECTED.items() for path, (pid, camid) in of.items()]


def ignored(dataset: Dataset, name: str) -> set[tuple[str, str]]:
    """Pairs of one person that a protocol takes out, from its samples and the definition of its rule."""
    protocol = find_protocol(dataset, name)
    query, gallery = dataset.query_and_gallery(protocol)
    pairs = {(Path(q.path).stem, Path(g.path).stem) for q in query for g in gallery if q.pid == g.pid and q.camid == g.camid}
    return pairs if protocol.rule is Rule.STD else set()


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(celeb_reid(tmp_path / "2024_1_1.jpg"))  # a folder that looks like a name is none
    assert list(dataset.samples) == expected_samples()
    assert training_labels(dataset.split("train")).pids == {1: 0, 2: 1, 10: 2}


@pytest.mark.parametrize("name", IGNORED)
def test_each_protocol_ignores_what_its_programs_do(name: str, tmp_path: Path) -> None:
    assert ignored(LAYOUT.load(celeb_reid(tmp_path)), name) == IGNORED[name]


def test_the_first_is_that_of_the_papers_code_and_says_what_the_official_one_differs_in(tmp_path: Path) -> None:
    dataset = LAYOUT.load(celeb_reid(tmp_path))
    assert [p.name for p in dataset.protocols] == list(IGNORED)
    assert "Clip3DReid" in dataset.protocols[0].note and "trapezoid" in dataset.protocols[0].note
    with pytest.raises(UserError) as caught:
        find_protocol(dataset, "celeb-official")
    assert "celeb-a with another AP" in caught.value.remedy


def test_a_leading_zero_is_a_camera_of_its_own(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, ["query/1_01_0.jpg", "gallery/1_09_0.jpg", "gallery/1_1_0.jpg", "gallery/1_9_0.jpg"]))
    assert ignored(dataset, "celeb-a") == {("1_01_0", "1_09_0")} and min(s.camid for s in dataset.samples) >= 0


def test_the_halves_hold_other_people_of_the_same_numbers(tmp_path: Path) -> None:
    dataset = LAYOUT.load(celeb_reid(tmp_path / "celeb"))
    assert len({s.pid for s in with_halves_joined(dataset)}) == 5
    joined = join([dataset, open_dataset(market1501(tmp_path / "market"))])
    assert len({s.pid for s in joined.samples if s.path.startswith("celeb/")}) == 5


@pytest.mark.parametrize(
    ("folder", "title"),
    [("Celeb-reID", "Celeb-reID,"), ("celeb_reid_light", "Celeb-reID-light,"), ("Celeb-reID-light-blur", "Celeb-reID-light,")],
)
def test_the_folders_name_says_which_release_it_is_counted_as(folder: str, title: str, tmp_path: Path) -> None:
    report = verify(celeb_reid(tmp_path / folder), open_pictures=False)
    assert len(report.counts) == 6 and all(row.what.startswith(title) for row in report.counts)
    assert [row.found for row in report.counts] == [3, 7, 2, 3, 2, 5]


@pytest.mark.parametrize(("pictures", "title"), [(10_842, "Celeb-reID-light,"), (34_000, "Celeb-reID,"), (15, "Celeb-reID-light,")])
def test_under_another_name_the_number_of_pictures_says_it(pictures: int, title: str, tmp_path: Path) -> None:
    dataset = Dataset("celeb_reid", tmp_path / "data", tuple(Sample(f"train/1_{n}_0.jpg", 1, 0, -1, "train") for n in range(pictures)))
    assert all(row.what.startswith(title) for row in published_of(LAYOUT, dataset))


def test_a_blurred_copy_says_so(tmp_path: Path) -> None:
    blurred, plain = (LAYOUT.load(celeb_reid(tmp_path / name)) for name in ("Celeb-reID-blur", "Celeb-reID"))
    assert is_blurred_copy(blurred) and not is_blurred_copy(plain)
    assert blurred.samples == plain.samples


@pytest.mark.parametrize("wrong", ["train/1_1.jpg", "query/a_1_0.jpg", "gallery/-1_1_0.jpg", "gallery/1_1_0.png"])
def test_wrong_names_are_named(wrong: str, tmp_path: Path) -> None:
    root = celeb_reid(tmp_path, [wrong])
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert str(root / wrong) in caught.value.what and "12_3_0.jpg" in caught.value.remedy


def test_a_copy_for_training_and_one_without_pictures(tmp_path: Path) -> None:
    train = LAYOUT.load(write_pictures(tmp_path / "a", [name for name in CELEB_REID_FILES if name.startswith("train/")]))
    assert list(train.samples) == expected_samples()[:7] and train.protocols == ()
    (tmp_path / "b" / "query").mkdir(parents=True)
    with pytest.raises(UserError, match="no pictures"):
        LAYOUT.load(tmp_path / "b")


def test_a_folder_called_ccda_is_not_taken_for_it(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "CCDA", ["query/1_1_0.jpg", "gallery/1_2_0.jpg"])
    assert open_dataset(root).layout == "ccda" and not LAYOUT.recognises(root)
    write_picture(root / "Celeb" / "query" / "1_1_0.jpg")
    assert LAYOUT.recognises(root / "Celeb")
