"""LaST: every label, split and protocol against values written by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from reidclip.data.layouts.last import LAYOUT
from reidclip.errors import UserError
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.records import Dataset, Rule, Sample, training_labels
from reidclip.stages.verify import verify
from tests.trees import LAST_FILES, last, write_pictures

# path -> pid, clothes. Outfits as text: 000051_001, 000051_002, 000051_010, 000099_001.
EXPECTED = {
    "train": {
        "train/000051/000051_003_00013_0270_04_001.jpg": (51, 0),
        "train/000051/000051_004_00013_0280_04_010.jpg": (51, 2),
        "train/000051/000051_005_00014_0290_04_002.jpg": (51, 1),
        "train/000099/000099_001_00020_0001_01_001.jpg": (99, 3),
        "train/000099/000099_002_00021_0002_01_001.jpg": (99, 3),
    },
    "val-query": {"val/query/000007_001_00001_0001_01_000.jpg": (7, -1)},
    "val-gallery": {
        "val/gallery/000000/000000_001_00001_0003_01_000.jpg": (0, -1),
        "val/gallery/000007/000007_002_00001_0002_01_000.jpg": (7, -1),
    },
    "query": {
        "test/query/005859__001_00050_0001_01_000.jpg": (5859, -1),
        "test/query/005895_001_00051_0001_01_000.jpg": (5895, -1),
    },
    "gallery": {
        "test/gallery/000000/000000_001_00050_0002_01_000.jpg": (0, -1),
        "test/gallery/005895/005859__002_00050_0003_01_000.jpg": (5859, -1),  # the name, not the folder
        "test/gallery/005895/005895_002_00051_0002_01_000.jpg": (5895, -1),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, pid, 0, clothes, split, camera=-1) for split, of in EXPECTED.items() for path, (pid, clothes) in of.items()]


@pytest.mark.parametrize("above", ["", "my_query_sets", "000051_003_00013_0270_04_001.jpg/gallery", "2024-11-19-1_c4"])
def test_every_label_and_split_in_order_wherever_it_lies(tmp_path: Path, above: str) -> None:
    """The reference loader takes folders for flat where the whole path holds the word query."""
    root = last(tmp_path / above / "last")
    assert LAYOUT.recognises(root) and LAYOUT.recognises(root.parent)
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()
    assert LAYOUT.load(root.parent).samples == dataset.samples


def test_training_labels(tmp_path: Path) -> None:
    labels = training_labels(LAYOUT.load(last(tmp_path)).split("train"))
    assert labels.pids == {51: 0, 99: 1} and labels.clothes_to_pid == (0, 0, 0, 1)


def test_nothing_is_ignored_and_interference_matches_nobody(tmp_path: Path) -> None:
    dataset = LAYOUT.load(last(tmp_path))
    assert [(p.name, p.rule, p.query, p.gallery) for p in dataset.protocols] == [
        ("general", Rule.NONE, "query", "gallery"),
        ("val", Rule.NONE, "val-query", "val-gallery"),
    ]
    query, gallery = dataset.query_and_gallery(dataset.protocols[0])
    matches, ignored = GalleryIndex(Labels.of(gallery)).pairs(Labels.of(query), Rule.NONE)
    assert len(ignored.query) == 0 and {(query[q].pid, gallery[g].pid) for q, g in zip(*matches, strict=True)} == {
        (5859, 5859),
        (5895, 5895),
    }
    # As published: a camera per picture, with the usual rule.
    apart = [replace(s, camid=number) for number, s in enumerate((*query, *gallery))]
    published, none = GalleryIndex(Labels.of(apart[len(query) :])).pairs(Labels.of(apart[: len(query)]), Rule.STD)
    assert len(none.query) == 0
    assert [list(a) for a in published] == [list(a) for a in matches]


def test_interference_is_nobody_to_learn_or_to_look_for(tmp_path: Path) -> None:
    extra = ("train/000000/000000_001_00001_0001_01_000.jpg", "test/query/000000_002_00001_0001_01_000.jpg")
    dataset = LAYOUT.load(last(tmp_path, extra))
    assert list(dataset.samples) == expected_samples()
    assert dataset.left_out == {"interference outside the gallery": 2} and "2 pictures were left out" in dataset.notes[0]


def test_clothes_are_known_in_training_alone(tmp_path: Path) -> None:
    dataset = LAYOUT.load(last(tmp_path))
    assert dataset.notes[-1].startswith("No protocol same-clothes or cloth-changing: LaST labels clothes in its training half alone")


def of_gallery(tmp_path: Path, identities: int) -> Dataset:
    """So many identities in the gallery, one of them the interference; names alone."""
    samples = [Sample(f"test/gallery/{pid:06d}/{pid:06d}.jpg", pid, 0, -1, "gallery", camera=-1) for pid in range(identities)]
    return Dataset("last", tmp_path, tuple(samples))


@pytest.mark.parametrize(("identities", "counted"), [(5_806, 5_806), (5_807, 5_806), (5_805, 5_805), (5_808, 5_808)])
def test_both_readings_of_the_published_number_of_identities(tmp_path: Path, identities: int, counted: int) -> None:
    row = next(r for r in LAYOUT.published if r.what.startswith("gallery: identities"))
    assert row.value == 5_806 and row.of(of_gallery(tmp_path, identities)) == counted


def test_verify_prints_identities_and_names_no_camera(tmp_path: Path) -> None:
    report = verify(last(tmp_path), counts=False)
    assert [(s.split, s.identities, s.cameras, s.outfits) for s in report.splits][-1] == ("gallery", 3, 0, None)
    assert not [f for f in report.findings if "camera" in f.text and f.level == "warning"]


def test_wrong_names_and_what_lies_elsewhere(tmp_path: Path) -> None:
    root = last(tmp_path, ["train/loose.jpg", "test/query/more/005895_009_00051_0001_01_000.jpg"])
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples() and dataset.notes[0].startswith("2 files or folders that are no pictures")
    write_pictures(root, ["train/000051/000051_003_00013_0270_001.jpg"])
    with pytest.raises(UserError, match=r"000051_003_00013_0270_001.jpg is not named as in LaST") as caught:
        LAYOUT.load(root)
    assert "000051_003_00013_0270_04_001.jpg" in caught.value.remedy


def test_a_copy_for_training(tmp_path: Path) -> None:
    dataset = LAYOUT.load(write_pictures(tmp_path, [name for name in LAST_FILES if name.startswith("train/")]))
    assert list(dataset.samples) == expected_samples()[:5] and dataset.protocols == ()


def test_no_tree_and_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no LaST tree"):
        LAYOUT.load(tmp_path)
    (tmp_path / "test" / "query").mkdir(parents=True)
    with pytest.raises(UserError, match="LaST's folders but no pictures"):
        LAYOUT.load(tmp_path)
