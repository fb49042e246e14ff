"""DeepChange: every label, split and protocol against values written by hand."""

from pathlib import Path

import pytest

from reidclip.data.faults import DataFaultsError
from reidclip.data.layouts.deepchange import LAYOUT
from reidclip.errors import UserError
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.records import Dataset, Sample, training_labels
from tests.trees import DEEPCHANGE_LISTS, deepchange

# path -> pid, tracklet, clothes, camera. Outfits as text: training 0001_20200813, 0001_20201101, 0010_20200813, 0010_20210101; test
# 0702_20200813, 0702_20201224, 0703_20200901, 0703_20200902; behind them validation 0300_20200814, 0300_20200815.
EXPECTED = {
    "train": {
        "train-set/P0001_c02_20201101_090000_000007_bbox.jpg": (1, 6, 1, 1),
        "train-set/p0001_c01_20200813_154757_000038_bbox.jpg": (1, 4, 0, 0),
        "train-set/p0001_c17_20200813_161500_000001_bbox.jpg": (1, 5, 0, 16),
        "train-set/p0010_c02_20200813_154757_000040_bbox.jpg": (10, 7, 2, 1),
        "train-set/p0010_c03_20210101_154757_000041_bbox.jpg": (10, 8, 3, 2),
    },
    "val-query": {"val-set-query/p0300_c04_20200814_100000_000001_bbox.jpg": (300, 0, 4, 3)},
    "val-gallery": {"val-set-gallery/p0300_c04_20200815_100000_000002_bbox.jpg": (300, 1, 5, 3)},
    "query": {
        "test-set-query/p0702_c13_20200813_154757_000038_bbox.jpg": (702, 12, 0, 12),
        "test-set-query/p0703_c05_20200901_110000_000001_bbox.jpg": (703, 20, 2, 4),
    },
    "gallery": {
        "test-set-gallery/p0702_c02_20201224_080000_000003_bbox.jpg": (702, 14, 1, 1),
        "test-set-gallery/p0702_c13_20200813_154757_000041_bbox.jpg": (702, 12, 0, 12),
        "test-set-gallery/p0702_c13_20200813_170000_000002_bbox.jpg": (702, 13, 0, 12),
        "test-set-gallery/p0703_c05_20200902_110000_000009_bbox.jpg": (703, 21, 3, 4),
    },
}


def expected_samples() -> list[Sample]:
    return [Sample(path, *labels[:3], split, camera=labels[3]) for split, found in EXPECTED.items() for path, labels in found.items()]


def matches(dataset: Dataset, name: str) -> dict[str, set[str]]:
    """Query -> the gallery pictures that count for it, by the frame number in their names."""
    protocol = dataset.protocol(name)
    assert protocol is not None
    query, gallery = dataset.query_and_gallery(protocol)
    pairs, _ = GalleryIndex(Labels.of(gallery)).pairs(Labels.of(query), protocol.rule)
    found: dict[str, set[str]] = {s.path.split("_")[4]: set() for s in query}
    for q, g in zip(pairs.query, pairs.gallery, strict=True):
        found[query[q].path.split("_")[4]].add(gallery[g].path.split("_")[4])
    return found


@pytest.mark.parametrize("above", ["", "my_ccreid", "2020-11-19_c9", "p0001_c01_20200813_154757_000038_bbox.jpg/query"])
def test_every_label_and_split_in_order_wherever_it_lies(tmp_path: Path, above: str) -> None:
    root = deepchange(tmp_path / above / "DeepChangeDataset")
    assert LAYOUT.recognises(root) and LAYOUT.recognises(root.parent)
    assert list(LAYOUT.load(root).samples) == expected_samples()
    assert LAYOUT.load(root.parent).samples == LAYOUT.load(root).samples and LAYOUT.load(root.parent).root == root


def test_the_lists_decide_not_the_folders(tmp_path: Path) -> None:
    root = deepchange(tmp_path)
    assert (root / "train-set/p0999_c01_20200813_154757_000000_bbox.jpg").is_file()
    assert 999 not in {s.pid for s in LAYOUT.load(root).samples}


def test_training_labels(tmp_path: Path) -> None:
    labels = training_labels(LAYOUT.load(deepchange(tmp_path)).split("train"))
    assert labels.pids == {1: 0, 10: 1} and labels.clothes_to_pid == (0, 0, 1, 1)


def test_the_tracklet_is_the_camera_of_the_rule(tmp_path: Path) -> None:
    """Of the query's own tracklet nothing counts; of its camera another tracklet does."""
    dataset = LAYOUT.load(deepchange(tmp_path))
    assert matches(dataset, "general") == {"000038": {"000002", "000003"}, "000001": {"000009"}}
    assert matches(dataset, "val") == {"000001": {"000002"}}


def test_the_variant_with_the_true_camera(tmp_path: Path) -> None:
    dataset = LAYOUT.load(deepchange(tmp_path))
    assert matches(dataset, "general-true-camera") == {"000038": {"000003"}, "000001": set()}
    protocol = dataset.protocol("general-true-camera")
    assert protocol is not None and "not to be mixed" in protocol.note
    assert [s.camid for s in dataset.query_and_gallery(protocol)[0]] == [12, 4]
    assert [s.camid for s in dataset.split("query")] == [12, 20]  # the samples themselves keep their key


def test_there_are_no_labels_of_clothes(tmp_path: Path) -> None:
    dataset = LAYOUT.load(deepchange(tmp_path))
    assert [p.name for p in dataset.protocols] == ["general", "val", "general-true-camera"]
    assert dataset.notes[-1].startswith("No protocol same-clothes or cloth-changing: DeepChange has no labels of clothes.")


def test_a_copy_for_training(tmp_path: Path) -> None:
    root = deepchange(tmp_path)
    for path in [p for p in root.iterdir() if p.is_file() and not p.name.startswith("train")]:
        path.unlink()
    dataset = LAYOUT.load(root)
    assert list(dataset.samples) == expected_samples()[:5] and dataset.protocols == ()
    assert f"There are no query pictures: {root / 'test-set-query-bbox.txt'} is missing." in dataset.notes


def test_all_faults_of_the_lists_at_once(tmp_path: Path) -> None:
    root = deepchange(tmp_path)
    good = DEEPCHANGE_LISTS["train-set"][0]
    lines = [good, "no comma", "", f"sub/{good}", good, "IMG_1.jpg,3", "p0001_c01_20200813_154757_999999_bbox.jpg,4"]
    (root / "train-set-bbox.txt").write_text("\n".join(lines))
    with pytest.raises(DataFaultsError) as caught:
        LAYOUT.load(root)
    assert [fault.file.split(": ")[0] for fault in caught.value.faults] == [f"train-set-bbox.txt, line {n}" for n in (2, 4, 5, 6, 7)]
    assert len(caught.value.rest.split("train")) == 1


def test_no_tree_and_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no DeepChange tree"):
        LAYOUT.load(tmp_path)
    (tmp_path / "train-set").mkdir()
    (tmp_path / "train-set-bbox.txt").write_text("\n")
    with pytest.raises(UserError, match="DeepChange's folders but no pictures"):
        LAYOUT.load(tmp_path)
