"""CCVID: every label, split and protocol against values written by hand."""

from pathlib import Path

import pytest

from reidclip.data.faults import DataFaultsError
from reidclip.data.layouts.ccvid import LAYOUT
from reidclip.errors import UserError
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.records import Sample, training_labels
from reidclip.stages.verify import verify
from tests.trees import ccvid

# split -> tracklet: pid, camera (from 0; session 3 has other ones, +12), clothes, frames.
# Outfits as text: training 001_u0..., 001_u1..., 010_u0..., 010_u2...; test 002_u0..., 002_u1..., 003_u0....
EXPECTED = {
    "train": {
        "session1/001_01": (1, 0, 0, 3),
        "session1/001_02": (1, 1, 0, 1),
        "session1/010_12": (10, 11, 2, 2),
        "session2/001_01": (1, 0, 1, 2),
        "session3/010_12": (10, 23, 3, 2),
    },
    "query": {"session1/002_01": (2, 0, 0, 2), "session1/003_02": (3, 1, 2, 1)},
    "gallery": {
        "session1/002_02": (2, 1, 0, 2),
        "session1/003_01": (3, 0, 2, 2),
        "session2/002_01": (2, 0, 1, 1),
        "session3/002_01": (2, 12, 1, 2),
    },
}


def expected_samples() -> list[Sample]:
    return [
        Sample(path, pid, camera, clothes, split, frames=tuple(f"{path}/{n:05d}.jpg" for n in range(1, frames + 1)))
        for split, tracklets in EXPECTED.items()
        for path, (pid, camera, clothes, frames) in tracklets.items()
    ]


@pytest.mark.parametrize("above", ["", "session1/001_01", "2024_query"])
def test_every_label_and_frame_in_order_wherever_it_lies(tmp_path: Path, above: str) -> None:
    root = ccvid(tmp_path / above / "CCVID")
    assert LAYOUT.recognises(root) and LAYOUT.recognises(root.parent)
    assert list(LAYOUT.load(root).samples) == expected_samples()
    assert LAYOUT.load(root.parent).samples == LAYOUT.load(root).samples


def test_training_labels(tmp_path: Path) -> None:
    labels = training_labels(LAYOUT.load(ccvid(tmp_path)).split("train"))
    assert labels.pids == {1: 0, 10: 1} and labels.clothes_to_pid == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 002_01 of session 2 has the query's camera, that of session 3 has not: it is another one
        (
            "general",
            {("session1/002_01", "session1/002_02"), ("session1/002_01", "session3/002_01"), ("session1/003_02", "session1/003_01")},
        ),
        ("same-clothes", {("session1/002_01", "session1/002_02"), ("session1/003_02", "session1/003_01")}),
        ("cloth-changing", {("session1/002_01", "session3/002_01")}),
    ],
)
def test_protocols(tmp_path: Path, name: str, expected: set[tuple[str, str]]) -> None:
    dataset = LAYOUT.load(ccvid(tmp_path))
    protocol = dataset.protocol(name)
    assert protocol is not None
    query, gallery = dataset.query_and_gallery(protocol)
    assert (len(query), len(gallery)) == (2, 4)
    matches, _ = GalleryIndex(Labels.of(gallery)).pairs(Labels.of(query), protocol.rule)
    assert {(query[q].path, gallery[g].path) for q, g in zip(*matches, strict=True)} == expected


def test_frames_are_sorted_and_other_files_skipped(tmp_path: Path) -> None:
    root = ccvid(tmp_path)
    folder = root / "session1" / "001_01"
    (folder / "00001.jpg").rename(folder / "00010.jpg")
    (folder / "Thumbs.db").write_bytes(b"x")
    dataset = LAYOUT.load(root)
    assert dataset.samples[0].frames == tuple(f"session1/001_01/{n:05d}.jpg" for n in (2, 3, 10))
    assert dataset.notes == (f"1 files that are no pictures were skipped; the first is {folder / 'Thumbs.db'}.",)


def test_the_lists_decide_on_identities(tmp_path: Path) -> None:
    root = ccvid(tmp_path)
    text = (root / "query.txt").read_text()
    (root / "query.txt").write_text(text.replace("session1/003_02\t003", "session1/003_02 \t 002"))
    dataset = LAYOUT.load(root)
    assert next(s for s in dataset.samples if s.path == "session1/003_02").pid == 2
    assert dataset.notes[0].startswith("Doubtful labels: 1 of the listed tracklets")


def test_all_faults_at_once(tmp_path: Path) -> None:
    root = ccvid(tmp_path)
    lines = [
        "session1/001_01 001 u0",
        "session1/001_01 001 u0",
        "session1/001_13 001 u0",
        "a b",
        "../x_01 001 u0",
        "session2/009_01 009 u0",
    ]
    (root / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DataFaultsError) as caught:
        LAYOUT.load(root)
    assert [fault.file.split(": ")[0] for fault in caught.value.faults] == [f"train.txt, line {n}" for n in (2, 3, 4, 5, 6)]


def test_a_copy_without_a_gallery(tmp_path: Path) -> None:
    root = ccvid(tmp_path)
    (root / "gallery.txt").unlink()
    dataset = LAYOUT.load(root)
    assert dataset.protocols == () and dataset.notes[0] == f"There are no gallery tracklets: {root / 'gallery.txt'} is missing."


def test_verify_opens_every_frame(tmp_path: Path) -> None:
    report = verify(ccvid(tmp_path), counts=True)
    assert report.pictures is not None and report.pictures.opened == 20
    assert [(s.split, s.tracklets, s.pictures) for s in report.splits] == [("train", 5, 10), ("query", 2, 3), ("gallery", 4, 7)]
    found = {c.what: c.found for c in report.counts}
    assert (found["all: tracklets"], found["all: frames"], found["train: clothes"], found["query + gallery: clothes"]) == (11, 20, 4, 3)


def test_no_tree_and_no_tracklets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no CCVID tree: train.txt, query.txt, gallery.txt are missing"):
        LAYOUT.load(tmp_path)
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(UserError, match="lists no tracklets"):
        LAYOUT.load(tmp_path)
