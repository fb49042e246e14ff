"""PRCC: every label, split and protocol against values written by hand (three training and two test identities)."""

import shutil
from pathlib import Path

import pytest

from reidclip.data.layouts.prcc import LAYOUT
from reidclip.errors import UserError
from reidclip.records import Rule, Sample, training_labels
from tests.trees import prcc, write_picture

# path -> pid, camid, clothes_id. Training keys in lexicographic order: 092, 092C, 095, 095C, 101, 101C.
EXPECTED = {
    "train": {
        "rgb/train/092/A_cropped_rgb001.jpg": (92, 0, 0),
        "rgb/train/092/A_cropped_rgb1002.jpg": (92, 0, 0),
        "rgb/train/092/B_cropped_rgb001.jpg": (92, 1, 0),
        "rgb/train/092/C_cropped_rgb001.jpg": (92, 2, 1),
        "rgb/train/095/A_cropped_rgb010.jpg": (95, 0, 2),
        "rgb/train/095/C_cropped_rgb010.jpg": (95, 2, 3),
        "rgb/train/101/A_cropped_rgb005.jpg": (101, 0, 4),
        "rgb/train/101/B_cropped_rgb005.jpg": (101, 1, 4),
        "rgb/train/101/C_cropped_rgb005.jpg": (101, 2, 5),
    },
    "val": {
        "rgb/val/092/B_cropped_rgb100.jpg": (92, 1, 0),
        "rgb/val/101/C_cropped_rgb100.jpg": (101, 2, 5),
    },
    "test-A": {
        "rgb/test/A/001/cropped_rgb001.jpg": (1, 0, 0),
        "rgb/test/A/001/cropped_rgb002.jpg": (1, 0, 0),
        "rgb/test/A/300/cropped_rgb001.jpg": (300, 0, 2),
    },
    "test-B": {
        "rgb/test/B/001/cropped_rgb001.jpg": (1, 1, 0),
        "rgb/test/B/300/cropped_rgb1.jpg": (300, 1, 2),
    },
    "test-C": {
        "rgb/test/C/001/cropped_rgb001.jpg": (1, 2, 1),
        "rgb/test/C/300/cropped_rgb001.jpg": (300, 2, 3),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, *labels, split=split) for split, pictures in EXPECTED.items() for path, labels in pictures.items()]


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path / "PRCC"))
    assert list(dataset.samples) == expected_samples()
    assert (dataset.layout, dataset.name, dataset.notes) == ("prcc", "prcc", ())


def test_training_labels_are_the_published_ones(tmp_path: Path) -> None:
    labels = training_labels(LAYOUT.load(prcc(tmp_path)).split("train"))
    assert labels.pids == {92: 0, 95: 1, 101: 2}
    assert labels.clothes == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
    assert labels.clothes_to_pid == (0, 0, 1, 1, 2, 2)


def test_protocols_compare_the_stated_splits(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path))
    stated = {p.name: (p.rule, p.query, p.gallery, p.single_shot_repeats) for p in dataset.protocols}
    assert stated == {
        "same-clothes": (Rule.STD, "test-B", "test-A", 0),
        "cloth-changing": (Rule.STD, "test-C", "test-A", 0),
        "same-clothes-single-shot": (Rule.STD, "test-B", "test-A", 10),
        "cloth-changing-single-shot": (Rule.STD, "test-C", "test-A", 10),
    }
    protocol = dataset.protocol("cloth-changing")
    assert protocol is not None
    query, gallery = dataset.query_and_gallery(protocol)
    assert [s.path for s in query] == list(EXPECTED["test-C"])
    assert [s.path for s in gallery] == list(EXPECTED["test-A"])


def test_rendered_control_set(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path, ["rgb/test/C_same/300/cropped_rgb001.jpg"]))
    assert dataset.split("test-C-same") == (Sample("rgb/test/C_same/300/cropped_rgb001.jpg", 300, 2, 2, "test-C-same"),)
    protocol = dataset.protocol("same-clothes-control")
    assert protocol is not None and (protocol.query, protocol.gallery, protocol.rule) == ("test-C-same", "test-A", Rule.STD)


@pytest.mark.parametrize("given", [".", "rgb"])
def test_root_may_be_the_folder_rgb(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = prcc(tmp_path / "prcc")
    assert LAYOUT.recognises(root / given)
    dataset = LAYOUT.load(root / given)
    assert list(dataset.samples) == expected_samples()
    assert dataset.absolute(dataset.samples[0]).is_file()
    monkeypatch.chdir(root / given)
    relative = LAYOUT.load(Path("."))
    assert relative.samples == dataset.samples and relative.fingerprint == dataset.fingerprint


def test_root_may_be_a_renamed_rgb(tmp_path: Path) -> None:
    root = (prcc(tmp_path) / "rgb").rename(tmp_path / "pictures")
    assert [s.path for s in LAYOUT.load(root).split("test-B")] == ["test/B/001/cropped_rgb001.jpg", "test/B/300/cropped_rgb1.jpg"]


def test_missing_parts_are_tolerated(tmp_path: Path) -> None:
    write_picture(tmp_path / "rgb/train/092/A_cropped_rgb001.jpg")
    dataset = LAYOUT.load(tmp_path)
    assert [s.split for s in dataset.samples] == ["train"] and dataset.protocols == ()
    (note,) = dataset.notes
    assert note.startswith("No protocol same-clothes or cloth-changing or ") and "control" not in note


def test_a_camera_without_pictures_drops_its_protocols(tmp_path: Path) -> None:
    write_picture(tmp_path / "rgb/test/A/001/cropped_rgb001.jpg")
    write_picture(tmp_path / "rgb/test/C/001/cropped_rgb001.jpg")
    dataset = LAYOUT.load(tmp_path)
    assert [p.name for p in dataset.protocols] == ["cloth-changing", "cloth-changing-single-shot"]
    assert dataset.notes == ("No protocol same-clothes or same-clothes-single-shot: there are no query pictures.",)


def test_without_camera_a_or_the_test_half_the_reason_is_told(tmp_path: Path) -> None:
    names = "No protocol same-clothes or cloth-changing or same-clothes-single-shot or cloth-changing-single-shot: there are "
    root = prcc(tmp_path)
    shutil.rmtree(root / "rgb/test/A")
    assert LAYOUT.load(root).notes == (names + "no gallery pictures.",)
    shutil.rmtree(root / "rgb/test")
    assert LAYOUT.load(root).notes == (names + "no query and no gallery pictures.",)


def test_leftovers_are_skipped_with_a_note(tmp_path: Path) -> None:
    root = prcc(tmp_path)
    for name in ("rgb/train/092/Thumbs.db", "rgb/train/092/.DS_Store", "rgb/train/092/._A_cropped_rgb001.jpg", "rgb/test/A/001/notes.txt"):
        (root / name).write_bytes(b"x")
    write_picture(root / "rgb/train/.ipynb_checkpoints/x.jpg")
    write_picture(root / "rgb/test/D/001/cropped_rgb001.jpg")
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()
    assert len(dataset.notes) == 2
    assert "2 files" in dataset.notes[0] and "Thumbs.db" in dataset.notes[0]
    assert str(Path("test/D")) in dataset.notes[1]


@pytest.mark.parametrize(
    "wrong",
    [
        "rgb/train/092/cropped_rgb001.jpg",  # the test half's name
        "rgb/train/092/D_cropped_rgb001.jpg",
        "rgb/train/092/A_cropped_rgb01.jpg",
        "rgb/train/092/A_cropped_rgb001.png",
        "rgb/val/092/A_cropped_rgb00x.jpg",
        "rgb/test/A/001/A_cropped_rgb001.jpg",  # the training half's name
        "rgb/test/B/001/cropped_rgb.jpg",
        "rgb/train/92/A_cropped_rgb001.jpg",  # the folder's name
        "rgb/test/C/person1/cropped_rgb001.jpg",
    ],
)
def test_wrong_names_are_named(tmp_path: Path, wrong: str) -> None:
    root = prcc(tmp_path, [wrong])
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    named = wrong if Path(wrong).parent.name in ("092", "001") else str(Path(wrong).parent)
    assert str(root / named) in caught.value.what and caught.value.remedy


def test_camera_letters_in_the_path_above_do_not_matter(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path / "A_cropped_rgb001.jpg" / "C" / "092C"))
    assert list(dataset.samples) == expected_samples()


@pytest.mark.parametrize("tree", [["train/0001/a.jpg", "test/0002/b.jpg"], ["bounding_box_train/0002_c1s1_1_01.jpg"], ["rgb/a.jpg"], []])
def test_other_trees_are_not_recognised(tmp_path: Path, tree: list[str]) -> None:
    for name in tree:
        write_picture(tmp_path / name)
    assert not LAYOUT.recognises(tmp_path)
    with pytest.raises(UserError, match="no PRCC tree"):
        LAYOUT.load(tmp_path)


def test_empty_folders(tmp_path: Path) -> None:
    for name in ("rgb/test/A", "rgb/test/C", "rgb/train/092"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match="no pictures"):
        LAYOUT.load(tmp_path)


def test_published_counts_on_the_small_tree(tmp_path: Path) -> None:
    dataset = LAYOUT.load(prcc(tmp_path))
    assert {row.what: row.of(dataset) for row in LAYOUT.published} == {
        "train: identities": 3,
        "train: images": 9,
        "train, camera A: images": 4,
        "train, camera B: images": 2,
        "train, camera C: images": 3,
        "train: clothes": 6,
        "train: cameras": 3,
        "val: identities": 2,
        "val: images": 2,
        "val: clothes": 2,
        "test-A: identities": 2,
        "test-A: images": 3,
        "test-B: identities": 2,
        "test-B: images": 2,
        "test-C: identities": 2,
        "test-C: images": 2,
        "test-A + test-B + test-C: clothes": 4,
        "test-A + test-B + test-C: cameras": 3,
        "all: identities": 5,
        "all: images": 18,
        "all: clothes": 10,
        "all: cameras": 3,
    }
