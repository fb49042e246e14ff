"""Market-1501: every label and split against values written by hand; junk leaves, distractors stay in the gallery."""

from pathlib import Path

import pytest

from reidclip.data.layouts.market1501 import LAYOUT
from reidclip.errors import UserError
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import Rule, Sample, training_labels
from tests.trees import MARKET1501_FILES, market1501, write_picture, write_pictures

# path -> pid, camid; clothes are unknown
EXPECTED = {
    "train": {
        "bounding_box_train/0002_c1s1_000451_03.jpg": (2, 0),
        "bounding_box_train/0002_c2s1_000452_01.jpg": (2, 1),
        "bounding_box_train/0007_c3s3_077419_03.jpg": (7, 2),
        "bounding_box_train/0007_c6s1_000453_11.jpg": (7, 5),
        "bounding_box_train/1500_c4s6_000454_01.jpg": (1500, 3),
        "bounding_box_train/1500_c5s6_000455_02.jpg.jpg": (1500, 4),
    },
    "query": {
        "query/0001_c1s1_001051_00.jpg": (1, 0),
        "query/1501_c6s4_001877_00.jpg": (1501, 5),
    },
    "gallery": {
        "bounding_box_test/0000_c1s1_000151_01.jpg": (0, 0),
        "bounding_box_test/0001_c1s1_001052_01.jpg": (1, 0),
        "bounding_box_test/0001_c2s1_000301_00.jpg": (1, 1),
        "bounding_box_test/1501_c3s3_064744_04.jpg": (1501, 2),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, pid, camid, -1, split) for split, pictures in EXPECTED.items() for path, (pid, camid) in pictures.items()]


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(market1501(tmp_path / "Market"))
    assert list(dataset.samples) == expected_samples()
    assert (dataset.layout, dataset.name) == ("market1501", "market")
    assert training_labels(dataset.split("train")).pids == {2: 0, 7: 1, 1500: 2}


def test_junk_is_left_out_and_counted(tmp_path: Path) -> None:
    dataset = LAYOUT.load(market1501(tmp_path, ["query/-1_c1s1_000001_00.jpg"]))
    assert list(dataset.samples) == expected_samples()
    assert dataset.left_out == {"junk": 3}
    assert dataset.notes[0] == "3 pictures were left out: junk."


def test_distractors_are_nobody_to_look_for_or_to_learn(tmp_path: Path) -> None:
    dataset = LAYOUT.load(market1501(tmp_path, ["query/0000_c1s1_000001_00.jpg", "bounding_box_train/0000_c1s1_000001_00.jpg"]))
    assert list(dataset.samples) == expected_samples()
    assert dataset.left_out == {"junk": 2, "distractors outside the gallery": 2}


def test_the_only_protocol_and_why_there_are_no_others(tmp_path: Path) -> None:
    dataset = LAYOUT.load(market1501(tmp_path))
    assert [(p.name, p.rule, p.query, p.gallery) for p in dataset.protocols] == [("general", Rule.STD, "query", "gallery")]
    with pytest.raises(UserError) as caught:
        find_protocol(dataset, "cloth-changing")
    assert "Known: general." in caught.value.remedy and "Market-1501 has no clothes labels" in caught.value.remedy


@pytest.mark.parametrize("given", ["market1501", "market1501/Market-1501-v15.09.15"])
def test_the_root_may_hold_the_archives_folder(tmp_path: Path, given: str) -> None:
    market1501(tmp_path / "market1501" / "Market-1501-v15.09.15")
    (tmp_path / "market1501" / "splits.json").write_text("{}")
    assert LAYOUT.recognises(tmp_path / given)
    dataset = LAYOUT.load(tmp_path / given)
    assert list(dataset.samples) == expected_samples()
    assert dataset.root == tmp_path / "market1501" / "Market-1501-v15.09.15"


def test_the_folder_given_comes_before_the_one_inside(tmp_path: Path) -> None:
    root = market1501(tmp_path)
    write_picture(root / "Market-1501-v15.09.15" / "query" / "0009_c1s1_001051_00.jpg")
    assert list(LAYOUT.load(root).samples) == expected_samples()


@pytest.mark.parametrize("folder", ["bounding_box_train", "bounding_box_test", "query"])
def test_a_copy_with_one_folder_is_recognised_and_loads(tmp_path: Path, folder: str) -> None:
    root = write_pictures(tmp_path, [name for name in MARKET1501_FILES if name.startswith(folder)])
    assert LAYOUT.recognises(root)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == [s for s in expected_samples() if s.path.startswith(folder)]
    assert dataset.protocols == ()
    assert any(note.startswith("No protocol general: there are no ") for note in dataset.notes)


def test_what_else_the_release_holds_is_not_read(tmp_path: Path) -> None:
    extra = ["gt_bbox/0001_c1s1_001051_00.jpg", "gt_query/0001_c1s1_001051_00.jpg", "images/0001_c1s1_001051_00.jpg"]
    root = market1501(tmp_path, extra)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder / "Thumbs.db").write_bytes(b"x")
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()
    assert any("3 files that are no pictures" in note for note in dataset.notes)
    assert any("500,000 distractors in images/ are not read" in note for note in dataset.notes)


@pytest.mark.parametrize(
    "wrong",
    [
        "bounding_box_train/002_c1s1_000451_03.jpg",
        "bounding_box_train/0002_c7s1_000451_03.jpg",
        "bounding_box_train/0002_c0s1_000451_03.jpg",
        "bounding_box_test/-2_c1s1_000451_03.jpg",
        "bounding_box_test/0002_c1_000451_03.jpg",
        "query/0002_c1s1_000451.jpg",
        "query/0002_c1s1_000451_03.png",
        "query/copy of 0002_c1s1_000451_03.jpg",
    ],
)
def test_wrong_names_are_named(tmp_path: Path, wrong: str) -> None:
    root = market1501(tmp_path, [wrong])
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert str(root / wrong) in caught.value.what and "0022_c6s1_002976_01.jpg" in caught.value.remedy


@pytest.mark.parametrize("name", ["0001_c2_f0046182.jpg", "0001_c1_1.png", "a.jpg"])
def test_other_data_in_the_same_folders_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    root = write_pictures(tmp_path, [f"{folder}/{name}" for folder in ("bounding_box_train", "query", "bounding_box_test")])
    assert not LAYOUT.recognises(root)
    with pytest.raises(UserError, match="not named as in Market-1501"):
        LAYOUT.load(root)


def test_no_tree_no_pictures_and_nothing_but_junk(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Market-1501 tree"):
        LAYOUT.load(tmp_path)
    (tmp_path / "query").mkdir()
    with pytest.raises(UserError, match="no pictures"):
        LAYOUT.load(tmp_path)
    write_picture(tmp_path / "query" / "-1_c1s1_000451_03.jpg")
    with pytest.raises(UserError, match=r"no pictures.* 1 pictures were left out: junk"):
        LAYOUT.load(tmp_path)


def test_published_counts_on_the_small_tree(tmp_path: Path) -> None:
    dataset = LAYOUT.load(market1501(tmp_path))
    assert {row.what: row.of(dataset) for row in LAYOUT.published} == {
        "train: identities": 3,
        "train: images": 6,
        "train: cameras": 6,
        "query: identities": 2,
        "query: images": 2,
        "gallery: images": 4,
        "gallery, people: identities": 2,
        "gallery, people: images": 3,
        "gallery, distractors: images": 1,
        "query + gallery: cameras": 4,
        "left out, junk: images": 2,
    }
