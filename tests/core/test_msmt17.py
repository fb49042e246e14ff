"""MSMT17: every label and split against values written by hand; the lists decide, whatever the folders hold."""

from pathlib import Path

import pytest

from reidclip.data.layouts.msmt17 import LAYOUT
from reidclip.errors import UserError
from reidclip.records import Rule, Sample, training_labels
from tests.trees import MSMT17_LISTS, msmt17, write_picture

# path in the folder -> pid, camid; identities 0 of both halves are different people
EXPECTED = {
    "train": {
        "0000/0000_000_01_0303morning_0015_0.jpg": (0, 0),
        "0000/0000_001_15_0303noon_0016_1.jpg": (0, 14),
        "0002/0002_000_03_0303morning_0020_0.jpg": (2, 2),
        "0002/0002_001_04_0303morning_0021_0.jpg": (2, 3),
    },
    "val": {"0000/0000_002_05_0303afternoon_0017_0.jpg": (0, 4)},
    "query": {"0000/0000_000_01_0113morning_0003_0.jpg": (0, 0), "0001/0001_000_02_0113morning_0004_0.jpg": (1, 1)},
    "gallery": {
        "0000/0000_001_14_0113morning_0005_0.jpg": (0, 13),
        "0000/0000_002_01_0113noon_0006_0.jpg": (0, 0),
        "0001/0001_001_03_0113noon_0007_2.jpg": (1, 2),
    },
}
NO_CLOTHES = "No protocol same-clothes or cloth-changing: MSMT17 has no clothes labels, and nobody changes."


def expected_samples(train: str = "train", test: str = "test") -> list[Sample]:
    folder = {"train": train, "val": train, "query": test, "gallery": test}
    return [Sample(f"{folder[split]}/{path}", *ids, -1, split) for split, pictures in EXPECTED.items() for path, ids in pictures.items()]


def rewrite(root: Path, name: str, *lines: str) -> Path:
    (root / name).write_text("\n".join(lines), encoding="utf-8")
    return root


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(msmt17(tmp_path / "MSMT17_V1"))
    assert list(dataset.samples) == expected_samples()
    assert (dataset.layout, dataset.name, dataset.notes) == ("msmt17", "msmt17_v1", (NO_CLOTHES,))


def test_identities_of_the_halves_keep_their_numbers(tmp_path: Path) -> None:
    dataset = LAYOUT.load(msmt17(tmp_path))
    assert training_labels((*dataset.split("train"), *dataset.split("val"))).pids == {0: 0, 2: 1}
    assert {s.pid for s in dataset.split("query")} == {s.pid for s in dataset.split("gallery")} == {0, 1}
    assert dataset.numbered_apart


def test_the_only_protocol(tmp_path: Path) -> None:
    dataset = LAYOUT.load(msmt17(tmp_path))
    assert [(p.name, p.rule, p.query, p.gallery) for p in dataset.protocols] == [("general", Rule.STD, "query", "gallery")]


def test_the_lists_decide(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    write_picture(root / "train/0009/0009_000_01_0303morning_0015_0.jpg")
    write_picture(root / "test/0000/not_listed.jpg")
    (root / "train/0000/Thumbs.db").write_bytes(b"x")
    assert list(LAYOUT.load(root).samples) == expected_samples()
    rewrite(root, "list_train.txt", "", "0002/0002_001_04_0303morning_0021_0.jpg 7\r", "")
    (sample,) = LAYOUT.load(root).split("train")
    assert sample == Sample("train/0002/0002_001_04_0303morning_0021_0.jpg", 7, 3, -1, "train")


def test_version_2(tmp_path: Path) -> None:
    root = msmt17(tmp_path, "mask_train_v2", "mask_test_v2")
    assert LAYOUT.recognises(root)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples("mask_train_v2", "mask_test_v2")
    assert "faces are blurred" in dataset.notes[0]


@pytest.mark.parametrize("inner", ["MSMT17_V1", "MSMT17_V2", "MSMT17"])
def test_the_root_may_hold_the_data_sets_folder(tmp_path: Path, inner: str) -> None:
    msmt17(tmp_path / inner)
    assert LAYOUT.recognises(tmp_path)
    dataset = LAYOUT.load(tmp_path)
    assert list(dataset.samples) == expected_samples() and dataset.root == tmp_path / inner


def test_version_1_comes_first(tmp_path: Path) -> None:
    msmt17(tmp_path / "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    msmt17(tmp_path / "MSMT17_V1")
    dataset = LAYOUT.load(tmp_path)
    assert list(dataset.samples) == expected_samples() and dataset.root == tmp_path / "MSMT17_V1"
    assert str(tmp_path / "MSMT17_V2" / "mask_train_v2") in dataset.notes[0]
    assert LAYOUT.load(tmp_path / "MSMT17_V2").samples[0].path.startswith("mask_train_v2/")


def test_version_1_comes_first_within_one_folder(tmp_path: Path) -> None:
    dataset = LAYOUT.load(msmt17(msmt17(tmp_path), "mask_train_v2", "mask_test_v2"))
    assert list(dataset.samples) == expected_samples()
    assert "mask_train_v2" in dataset.notes[0]


def test_a_copy_for_training_loads_and_says_what_it_lacks(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    (root / "test").rename(tmp_path / "elsewhere")
    assert LAYOUT.recognises(root)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()[:5] and dataset.protocols == ()
    assert dataset.notes[0] == f"There are no query pictures: {root / 'test'} is missing."


def test_a_copy_for_testing_loads(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    (root / "list_train.txt").unlink()
    (root / "list_val.txt").unlink()
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()[5:] and len(dataset.protocols) == 1
    assert dataset.notes[0] == f"There are no train pictures: {root / 'list_train.txt'} is missing."


GOOD = MSMT17_LISTS["query"][1][0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (GOOD, ["line 3", "listed already in list_query.txt, line 1"]),
        (MSMT17_LISTS["gallery"][1][0], ["list_gallery.txt, line 1", "listed already in list_query.txt, line 3"]),
        ("0000/0000_009_01_0113morning_0003_0.jpg 0", ["line 3", "no file", "0000_009_01"]),
        ("0009/0009_009_01_0113morning_0003_0.jpg 0", ["line 3", "no file", "0009_009_01"]),
        (GOOD.split()[0], ["line 3", "is not a path and an identity"]),
        (GOOD + " 4", ["line 3", "is not a path and an identity"]),
        (GOOD.split()[0] + " -1", ["line 3", "is not a path and an identity"]),
        (GOOD.split()[0] + " x", ["line 3", "is not a path and an identity"]),
        ("../train/0000/0000_000_01_0303morning_0015_0.jpg 0", ["line 3", "no plain relative path"]),
        ("/0000/0000_000_01_0303morning_0015_0.jpg 0", ["line 3", "no plain relative path"]),
        ("0000\\0000_000_01_0303morning_0015_0.jpg 0", ["line 3", "no plain relative path"]),
        ("0000/./0000_000_01_0113morning_0003_0.jpg 0", ["line 3", "no plain relative path"]),
        ("0000/odd.jpg 0", ["line 3", "not named as in MSMT17"]),
        ("0000/0000_000_00_x.jpg 0", ["line 3", "not named as in MSMT17"]),
        ("0000/0000_000_01_x.txt 0", ["line 3", "not named as in MSMT17"]),
        ("0000/0000_000_16_x.jpg 0", ["line 3", "not named as in MSMT17"]),  # there are 15 cameras
    ],
)
def test_faults_name_list_and_line(tmp_path: Path, line: str, told: list[str]) -> None:
    root = msmt17(tmp_path)
    for odd in ("odd.jpg", "0000_000_00_x.jpg", "0000_000_16_x.jpg", "0000_000_01_x.txt"):
        write_picture(root / "test" / "0000" / odd.replace(".txt", ".png")).rename(root / "test" / "0000" / odd)
    rewrite(root, "list_query.txt", *MSMT17_LISTS["query"][1], line)
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert caught.value.remedy and "list_" in caught.value.what
    assert [part for part in told if part not in caught.value.what] == []


def test_the_number_of_missing_files_is_told(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    for line in MSMT17_LISTS["gallery"][1][1:]:
        (root / "test" / line.split()[0]).unlink()
    with pytest.raises(UserError, match=r"list_gallery.txt, line 2: .*0000_002_01.*\(and 1 more fault\)\."):
        LAYOUT.load(root)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    (root / "list_val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"list_val.txt is not UTF-8 text"):
        LAYOUT.load(root)


def test_empty_lists(tmp_path: Path) -> None:
    root = msmt17(tmp_path)
    for split in MSMT17_LISTS:
        rewrite(root, f"list_{split}.txt", "")
    assert not LAYOUT.recognises(root)
    with pytest.raises(UserError, match="no pictures"):
        LAYOUT.load(root)


@pytest.mark.parametrize("lists", [[], ["list_train.txt"]])
def test_other_trees_with_the_same_folders(tmp_path: Path, lists: list[str]) -> None:
    write_picture(tmp_path / "train" / "a.jpg")
    for name in lists:
        rewrite(tmp_path, name, "train/a.jpg 0")
    assert not LAYOUT.recognises(tmp_path)


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no MSMT17 tree"):
        LAYOUT.load(tmp_path)


def test_published_counts_on_the_small_tree(tmp_path: Path) -> None:
    dataset = LAYOUT.load(msmt17(tmp_path))
    assert {row.what: row.of(dataset) for row in LAYOUT.published} == {
        "train + val: identities": 2,
        "train: images": 4,
        "val: images": 1,
        "train + val: images": 5,
        "train + val: cameras": 5,
        "query: identities": 2,
        "query: images": 2,
        "gallery: identities": 2,
        "gallery: images": 3,
        "query + gallery: cameras": 4,
    }
