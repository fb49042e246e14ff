"""VC-Clothes: every label, split and protocol against values written by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.layouts.vcclothes import LAYOUT
from reidclip.errors import UserError
from reidclip.records import Dataset, Rule, Sample
from tests.trees import VCCLOTHES_FILES, vcclothes, write_pictures

# path -> pid, camid, clothes_id. Keys as text: 000101, 000102, 000110, 000301, 001002 and 000201, 000203, 030001, 030002.
EXPECTED = {
    "train": {
        "train/0001-01-01-01.jpg": (1, 0, 0),
        "train/0001-02-02-01.jpg": (1, 1, 1),
        "train/0001-04-10-02.jpg": (1, 3, 2),
        "train/0003-02-01-03.jpg": (3, 1, 3),
        "train/0003-03-01-04.jpg": (3, 2, 3),
        "train/0010-04-02-01.jpg": (10, 3, 4),
        "train/0010-04-02-02.jpg": (10, 3, 4),
    },
    "query": {
        "query/0002-02-01-01.jpg": (2, 1, 0),
        "query/0002-03-01-01.jpg": (2, 2, 0),
        "query/0300-04-02-01.jpg": (300, 3, 3),
    },
    "gallery": {
        "gallery/0002-02-01-02.jpg": (2, 1, 0),
        "gallery/0002-03-01-02.jpg": (2, 2, 0),
        "gallery/0002-04-03-02.jpg": (2, 3, 1),
        "gallery/0300-01-02-02.jpg": (300, 0, 3),
        "gallery/0300-03-01-02.jpg": (300, 2, 2),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, *labels, split=split) for split, pictures in EXPECTED.items() for path, labels in pictures.items()]


def compared(dataset: Dataset, name: str) -> tuple[list[str], list[str]]:
    """Base names of a protocol's queries and gallery."""
    protocol = dataset.protocol(name)
    assert protocol is not None
    query, gallery = dataset.query_and_gallery(protocol)
    return [Path(s.path).stem for s in query], [Path(s.path).stem for s in gallery]


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(vcclothes(tmp_path / "VC-Clothes"))
    assert list(dataset.samples) == expected_samples()
    assert (dataset.layout, dataset.name, dataset.notes) == ("vcclothes", "vc-clothes", ())


def test_camera_subsets_and_labels_are_different_protocols(tmp_path: Path) -> None:
    dataset = LAYOUT.load(vcclothes(tmp_path))
    assert [(p.name, p.rule) for p in dataset.protocols] == [
        ("general", Rule.STD),
        ("same-clothes", Rule.STD),
        ("cloth-changing", Rule.STD),
        ("sc-labels", Rule.SC),
        ("cc-labels", Rule.CC),
    ]
    everything = ([Path(p).stem for p in EXPECTED["query"]], [Path(p).stem for p in EXPECTED["gallery"]])
    for name in ("general", "sc-labels", "cc-labels"):
        assert compared(dataset, name) == everything
    # cameras 2 and 3 of the names
    assert compared(dataset, "same-clothes") == (
        ["0002-02-01-01", "0002-03-01-01"],
        ["0002-02-01-02", "0002-03-01-02", "0300-03-01-02"],
    )
    # cameras 3 and 4 of the names
    assert compared(dataset, "cloth-changing") == (
        ["0002-03-01-01", "0300-04-02-01"],
        ["0002-03-01-02", "0002-04-03-02", "0300-03-01-02"],
    )


def test_notes_of_the_protocols_name_their_counterparts(tmp_path: Path) -> None:
    notes = {p.name: p.note for p in LAYOUT.load(vcclothes(tmp_path)).protocols}
    assert "cameras 2 and 3" in notes["same-clothes"] and "sc-labels" in notes["same-clothes"]
    assert "cameras 3 and 4" in notes["cloth-changing"] and "cc-labels" in notes["cloth-changing"]
    assert "cloth-changing" in notes["cc-labels"] and "same-clothes" in notes["sc-labels"]


@pytest.mark.parametrize("above", ["2024-11-19-1", "0001-02-01-03.jpg", "gallery"])
def test_names_of_folders_above_do_not_matter(tmp_path: Path, above: str) -> None:
    root = vcclothes(tmp_path / above / "data")
    assert LAYOUT.recognises(root)
    assert list(LAYOUT.load(root).samples) == expected_samples()


def test_cameras_that_are_not_there_take_their_protocols_along(tmp_path: Path) -> None:
    names = [name for name in VCCLOTHES_FILES if not (name.startswith("query/") and "-04-" not in name)]
    dataset = LAYOUT.load(write_pictures(tmp_path, names))
    assert [p.name for p in dataset.protocols] == ["general", "cloth-changing", "sc-labels", "cc-labels"]
    assert dataset.notes == ("No protocol same-clothes: there are no query pictures of its cameras.",)


def test_a_copy_for_training_loads_and_says_what_it_lacks(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, [name for name in VCCLOTHES_FILES if name.startswith("train/")])
    assert LAYOUT.recognises(root)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()[:7] and dataset.protocols == ()
    assert [note.split(":")[0] for note in dataset.notes] == [
        "No protocol general or sc-labels or cc-labels",
        "No protocol same-clothes or cloth-changing",
    ]


@pytest.mark.parametrize("names", [["train/1_2_0.jpg", "query/1_12_0.jpg", "gallery/2_1_0.jpg"], ["train/0001-02-01.jpg"], ["train/a.jpg"]])
def test_trees_of_the_same_folders_are_not_taken_for_it(tmp_path: Path, names: list[str]) -> None:
    root = write_pictures(tmp_path, names)  # the first is Celeb-reID's
    assert not LAYOUT.recognises(root)
    with pytest.raises(UserError, match="is not named as in VC-Clothes"):
        LAYOUT.load(root)


@pytest.mark.parametrize(
    "wrong",
    [
        "train/0001-02-01.jpg",
        "query/0001-02-01-03.png",
        "gallery/0001_02_01_03.jpg",
        "gallery/0001-00-01-03.jpg",
        "gallery/0001-05-01-03.jpg",  # there are four cameras
        "train/0001-02-01-03-1.jpg",
    ],
)
def test_wrong_names_are_named(tmp_path: Path, wrong: str) -> None:
    root = vcclothes(tmp_path, [wrong])
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert str(root / wrong) in caught.value.what and "0001-02-01-03.jpg" in caught.value.remedy


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no VC-Clothes tree"):
        LAYOUT.load(tmp_path)


def test_people_keep_their_outfits_apart_without_fixed_widths(tmp_path: Path) -> None:
    # 1 + 11 and 11 + 1 are the same text
    dataset = LAYOUT.load(write_pictures(tmp_path, ["train/11-1-1-1.jpg", "train/1-1-11-1.jpg", "train/1-1-2-1.jpg"]))
    assert {s.path: s.clothes_id for s in dataset.samples} == {"train/1-1-11-1.jpg": 0, "train/11-1-1-1.jpg": 1, "train/1-1-2-1.jpg": 2}


@given(st.sets(st.tuples(st.integers(1, 9999), st.integers(1, 99)), min_size=1, max_size=20))
def test_labels_are_ranks_of_pid_and_clothes_without_separator(
    tmp_path_factory: pytest.TempPathFactory, outfits: set[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("vc")
    (root / "train").mkdir()
    for pid, clothes in outfits:
        (root / "train" / f"{pid:04d}-01-{clothes:02d}-01.jpg").touch()
    expected = sorted(f"{pid:04d}{clothes:02d}" for pid, clothes in outfits)
    for sample in LAYOUT.load(root).samples:
        pid, _, clothes, _ = Path(sample.path).stem.split("-")
        assert expected[sample.clothes_id] == pid + clothes


def test_published_counts_on_the_small_tree(tmp_path: Path) -> None:
    dataset = LAYOUT.load(vcclothes(tmp_path))
    assert {row.what: row.of(dataset) for row in LAYOUT.published} == {
        "train: identities": 3,
        "train: images": 7,
        "train: cameras": 4,
        "query: identities": 2,
        "query: images": 3,
        "gallery: identities": 2,
        "gallery: images": 5,
        "all: identities": 5,
        "all: images": 15,
        "all: cameras": 4,
    }
    assert {row.status for row in LAYOUT.published if row.what.startswith("all")} == {"T"}
    assert {row.status for row in LAYOUT.published if not row.what.startswith("all")} == {"G"}
