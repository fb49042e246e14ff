"""LTCC: every label, split and protocol against values written by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.layouts.flat import sorted_ranks
from reidclip.data.layouts.ltcc import LAYOUT
from reidclip.errors import UserError
from reidclip.records import Rule, Sample, training_labels
from tests.trees import LTCC_FILES, ltcc, write_picture, write_pictures

# path -> pid, camid, clothes_id. Keys as text: 000_1, 000_10, 000_2, 001_1, 014_11, 014_3 and 005_1, 005_12, 005_2, 151_1.
EXPECTED = {
    "train": {
        "train/000_10_c12_000030.png": (0, 11, 1),
        "train/000_1_c1_000010.png": (0, 0, 0),
        "train/000_1_c2_000011.png": (0, 1, 0),
        "train/000_2_c3_000020.png": (0, 2, 2),
        "train/001_1_c2_000040.png": (1, 1, 3),
        "train/001_1_c4_000041.png": (1, 3, 3),
        "train/014_11_c2_015861.png": (14, 1, 4),
        "train/014_3_c1_000050.png": (14, 0, 5),
    },
    "query": {
        "query/005_1_c1_000100.png": (5, 0, 0),
        "query/151_1_c5_000101.png": (151, 4, 3),
    },
    "gallery": {
        "test/005_12_c4_000111.png": (5, 3, 1),
        "test/005_1_c1_000110.png": (5, 0, 0),
        "test/005_1_c2_000112.png": (5, 1, 0),
        "test/005_2_c3_000113.png": (5, 2, 2),
        "test/151_1_c1_000114.png": (151, 0, 3),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, *labels, split=split) for split, pictures in EXPECTED.items() for path, labels in pictures.items()]


def published(name: str) -> list[int]:
    """Published values of that name."""
    return [row.value for row in LAYOUT.published if row.what == name]


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(ltcc(tmp_path / "LTCC_ReID"))
    assert list(dataset.samples) == expected_samples()
    assert (dataset.layout, dataset.name, dataset.notes, dataset.left_out) == ("ltcc", "ltcc_reid", (), {})


def test_training_labels(tmp_path: Path) -> None:
    labels = training_labels(LAYOUT.load(ltcc(tmp_path)).split("train"))
    assert labels.pids == {0: 0, 1: 1, 14: 2}
    assert labels.clothes_to_pid == (0, 0, 0, 1, 2, 2)


def test_protocols_keep_everybody(tmp_path: Path) -> None:
    dataset = LAYOUT.load(ltcc(tmp_path))
    assert [(p.name, p.rule, p.query, p.gallery, p.query_cams, p.gallery_cams) for p in dataset.protocols] == [
        ("general", Rule.STD, "query", "gallery", None, None),
        ("same-clothes", Rule.SC, "query", "gallery", None, None),
        ("cloth-changing", Rule.CC, "query", "gallery", None, None),
    ]
    for protocol in dataset.protocols:
        query, gallery = dataset.query_and_gallery(protocol)
        assert (len(query), len(gallery)) == (2, 5)


@pytest.mark.parametrize("above", ["my_ccreid", "001_1_c4_015861.png", "2024-11-19-1", "train/query/test"])
def test_names_of_folders_above_do_not_matter(tmp_path: Path, above: str) -> None:
    root = ltcc(tmp_path / above / "LTCC_c9_1")
    assert LAYOUT.recognises(root)
    assert list(LAYOUT.load(root).samples) == expected_samples()


def test_a_copy_for_training_loads_and_says_what_it_lacks(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, [name for name in LTCC_FILES if name.startswith("train/")])
    assert LAYOUT.recognises(root)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()[:8] and dataset.protocols == ()
    assert dataset.notes == ("No protocol general or same-clothes or cloth-changing: there are no query and no gallery pictures.",)


def test_a_copy_for_testing_has_the_same_test_labels(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, [name for name in LTCC_FILES if not name.startswith("train/")]))
    assert list(dataset.samples) == expected_samples()[8:]
    assert len(dataset.protocols) == 3 and dataset.notes == ()


def test_queries_without_a_gallery(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, [name for name in LTCC_FILES if not name.startswith("test/")]))
    assert dataset.protocols == () and dataset.notes[0].endswith("there are no gallery pictures.")


def test_leftovers_are_skipped_with_a_note(tmp_path: Path) -> None:
    root = ltcc(tmp_path)
    for name in ("train/Thumbs.db", "train/.DS_Store", "test/._005_1_c1_000110.png", "query/notes.txt"):
        (root / name).write_bytes(b"x")
    write_picture(root / "test/more/005_1_c1_000110.png")
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()
    assert len(dataset.notes) == 2
    assert "2 files" in dataset.notes[0] and "Thumbs.db" in dataset.notes[0]
    assert "1 sub-folders" in dataset.notes[1] and str(root / "test" / "more") in dataset.notes[1]


@pytest.mark.parametrize(
    "wrong",
    [
        "train/01_1_c4_015861.png",
        "train/0001_1_c4_015861.png",
        "train/001_1_4_015861.png",
        "train/001_100_c4_015861.png",
        "query/001_1_c4_15861.png",
        "query/001_1_c4_015861.jpg",
        "test/001_1_c13_015861.png",
        "test/x001_1_c4_015861.png",
        "test/001_1_c4_015861_copy.png",
        "test/001_1_c0_015861.png",  # cameras are numbered from 1
    ],
)
def test_wrong_names_are_named(tmp_path: Path, wrong: str) -> None:
    root = ltcc(tmp_path, [wrong])
    assert LAYOUT.recognises(root)
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert str(root / wrong) in caught.value.what and "001_1_c4_015861.png" in caught.value.remedy


def test_no_tree_and_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no LTCC tree"):
        LAYOUT.load(tmp_path)
    (tmp_path / "train").mkdir()
    write_picture(tmp_path / "train" / "001" / "001_1_c4_015861.png")
    assert not LAYOUT.recognises(tmp_path)
    with pytest.raises(UserError, match=r"no pictures in them.*1 sub-folders were skipped"):
        LAYOUT.load(tmp_path)


def test_a_picture_that_is_gone_does_not_vanish(tmp_path: Path) -> None:
    root = ltcc(tmp_path)
    (root / "test" / "005_2_c7_000120.png").symlink_to(tmp_path / "gone.png")
    dataset = LAYOUT.load(root)
    assert "test/005_2_c7_000120.png" in {s.path for s in dataset.samples}
    with pytest.raises(FileNotFoundError, match="005_2_c7_000120"):
        assert dataset.fingerprint


INFO = {
    "cloth-change_id_train.txt": "000\n014\n",
    "cloth-unchange_id_train.txt": "1\r\n",
    "cloth-change_id_test.txt": "005",
    "cloth-unchange_id_test.txt": "151\n",
}


def with_info(root: Path, changed: dict[str, str | bytes] | None = None) -> Path:
    """The tree with the release's lists of who changes clothes, some of them changed."""
    (root / "info").mkdir()
    for name, text in {**INFO, **(changed or {})}.items():
        (root / "info" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_lists_that_agree_say_nothing(tmp_path: Path) -> None:
    assert LAYOUT.load(with_info(ltcc(tmp_path))).notes == ()


def test_a_list_that_differs_is_noted_and_the_pictures_decide(tmp_path: Path) -> None:
    dataset = LAYOUT.load(with_info(ltcc(tmp_path), {"cloth-unchange_id_test.txt": "151\n005\n077\n"}))
    assert list(dataset.samples) == expected_samples()
    (note,) = dataset.notes
    assert "cloth-unchange_id_test.txt lists 3 identities, the pictures show 1; they disagree on 2, the first is 005" in note


@pytest.mark.parametrize("content", ["no ids here", b"\xff\xfe\x00"])
def test_a_list_that_is_none_is_noted(tmp_path: Path, content: str | bytes) -> None:
    (note,) = LAYOUT.load(with_info(ltcc(tmp_path), {"cloth-change_id_train.txt": content})).notes
    assert "cloth-change_id_train.txt is no list of identities" in note


def test_the_half_that_is_not_there_is_not_compared(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, [name for name in LTCC_FILES if name.startswith("train/")])
    assert len(LAYOUT.load(with_info(root)).notes) == 1  # on the protocols


def test_published_counts_on_the_small_tree(tmp_path: Path) -> None:
    dataset = LAYOUT.load(ltcc(tmp_path))
    counted = {row.what: row.of(dataset) for row in LAYOUT.published}
    assert len(counted) == len(LAYOUT.published)
    for what, number in {
        "train: identities": 3,
        "train: images": 8,
        "train: clothes": 6,
        "train: cameras": 5,
        "train, camera 1: images": 2,
        "train, camera 12: images": 1,
        "train, clothes change: identities": 2,
        "train, clothes change: images": 6,
        "train, clothes change: clothes": 5,
        "train, constant clothes: identities": 1,
        "train, constant clothes: images": 2,
        "train, constant clothes: clothes": 1,
        "query: identities": 2,
        "gallery: images": 5,
        "gallery: cameras": 4,
        "query + gallery: clothes": 4,
        "query + gallery, clothes change: identities": 1,
        "query + gallery, constant clothes: identities": 1,
        "all: identities": 5,
        "all: images": 15,
        "all: clothes": 10,
        "all: cameras": 6,
        "all, clothes change: identities": 3,
        "all, constant clothes: identities": 2,
        "all, clothes change: images": 11,
        "all, constant clothes: images": 4,
    }.items():
        assert counted[what] == number, what


def test_published_counts_add_up() -> None:
    assert sum(row.value for row in LAYOUT.published if row.what.startswith("train, camera ")) == 9_576
    assert published("train, clothes change: images") + published("train, constant clothes: images") == [8_367, 1_209]
    assert 8_367 + 1_209 == 9_576 and published("all: images") == [9_576 + 493 + 7_050]
    assert published("all, clothes change: images")[0] + published("all, constant clothes: images")[0] == 17_119


@given(st.sets(st.tuples(st.integers(0, 999), st.integers(1, 99)), min_size=1, max_size=40))
def test_labels_follow_the_keys_sorted_as_text(outfits: set[tuple[int, int]]) -> None:
    keys = [f"{pid:03d}_{clothes}" for pid, clothes in outfits]
    ranks = sorted_ranks(keys)
    assert sorted(ranks.values()) == list(range(len(keys)))
    for a in keys:
        assert ranks[a] == sum(b < a for b in keys)
