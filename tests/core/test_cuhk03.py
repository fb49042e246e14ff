"""CUHK03: new and classic divisions of labelled and detected boxes, from the release, what programs keep, and CUHK03-NP."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.data.join import join
from reidclip.data.layouts.cuhk03 import LAYOUT
from reidclip.data.open import open_dataset
from reidclip.data.training_samples import training_samples
from reidclip.errors import UserError, WorkError
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import Dataset
from reidclip.stages.datasets_extract import extract
from reidclip.stages.trained_on import provenance
from tests import cuhk03_tree as tree
from tests.core.store_fixtures import PAYLOADS
from tests.trees import cuhk_sysu, write_picture, write_pictures

SUFFIX = {"labeled": "", "detected": "-detected"}


def test_labels_and_new_division(tmp_path: Path) -> None:
    dataset = LAYOUT.load(tree.cuhk03(tmp_path))
    expected = {
        (f"images_{boxes}/{tree.name(*place)}", place[0] * 1000 + place[1], int(place[2] > 5), tree.split_of(boxes, *place) + SUFFIX[boxes])
        for boxes in tree.BOXES
        for place in tree.places(boxes)
    }
    assert {(s.path, s.pid, s.camid, s.split) for s in dataset.samples} == expected and len(dataset.samples) == len(expected) == 23
    assert [p.name for p in dataset.protocols] == ["general", "detected", "classic-labelled", "classic-detected"]
    assert [len(side) for side in dataset.query_and_gallery(dataset.protocols[0])] == [4, 3]
    assert [len(side) for side in dataset.query_and_gallery(dataset.protocols[1])] == [4, 2]


def test_classic_divisions(tmp_path: Path) -> None:
    dataset = LAYOUT.load(tree.cuhk03(tmp_path))
    protocol = dataset.protocol("classic-detected")
    assert protocol is not None and protocol.draws == tuple(f"classic-detected-{n}" for n in range(3))
    assert protocol.single_shot_repeats == 10 and not protocol.reports_map
    for people, name in zip(tree.TESTSETS, protocol.draws, strict=True):
        draw = dataset.draws[name]
        assert (
            draw.query
            == draw.gallery
            == tuple(sorted(f"images_detected/{tree.name(*p)}" for p in tree.places("detected") if p[:2] in people))
        )
        assert sorted((*draw.train, *draw.query)) == [f"images_detected/{n}" for n in tree.names("detected")]


def test_all_pictures_are_the_labelled_ones(tmp_path: Path) -> None:
    samples = training_samples(LAYOUT.load(tree.cuhk03(tmp_path)), ("all",))
    assert sorted(s.path for s in samples) == [f"images_labeled/{name}" for name in tree.names("labeled")]


def test_all_of_detected_boxes_alone_is_refused(tmp_path: Path) -> None:
    """Alone, and among several sources, where another one does have pictures to train on."""
    root = tree.cuhk03(tmp_path / "cuhk03")
    shutil.rmtree(root / "images_labeled")
    dataset = LAYOUT.load(root)
    for data in (dataset, join([dataset, open_dataset(cuhk_sysu(tmp_path / "sysu"))])):
        with pytest.raises(UserError) as caught:
            training_samples(data, ("all",))
        assert caught.value.what == f"train_splits names 'all', which means the labelled boxes, and {root} has detected boxes only."
        assert 'train_splits=["gallery-detected", "query-detected", "train-detected"]' in caught.value.remedy
    assert len(training_samples(dataset, ("train-detected", "query-detected", "gallery-detected"))) == 11


def test_training_on_both_kinds_of_boxes_keeps_a_person_one_person(tmp_path: Path) -> None:
    """Also where the halves are numbered apart: the other boxes of the training half are no test half."""
    files = [f"bounding_box_train/{pid:04d}_c{camera}_1.png" for pid in (1, 5) for camera in (1, 2)]
    files += ["query/0001_c1_1.png", "bounding_box_test/0001_c2_6.png"]
    write_pictures(tmp_path, [f"{boxes}/{file}" for boxes in tree.BOXES for file in files])
    dataset = open_dataset(tmp_path)
    assert dataset.numbered_apart
    both = training_samples(dataset, ("train", "train-detected"))
    assert {s.split: {t.pid for t in both if t.split == s.split} for s in both} == {"train": {1, 5}, "train-detected": {1, 5}}
    with_test = training_samples(dataset, ("train", "train-detected", "query"))
    people = {split: {s.pid for s in with_test if s.split == split} for split in ("train", "train-detected", "query")}
    assert people["train"] == people["train-detected"] and len(people["train"]) == 2 and not people["train"] & people["query"]


def test_one_kind_of_boxes_is_enough(tmp_path: Path) -> None:
    root = tree.cuhk03(tmp_path)
    (root / "cuhk03_new_protocol_config_labeled.mat").unlink()
    dataset = LAYOUT.load(root)
    assert [p.name for p in dataset.protocols] == ["detected", "classic-detected"]
    notes = " ".join(dataset.notes)
    assert "labelled boxes are not read" in notes and "No protocol general: there are no query and no gallery pictures." in notes
    (root / "cuhk03_new_protocol_config_detected.mat").unlink()
    (root / "testsets.json").unlink()
    with pytest.raises(UserError, match=r"config_labeled\.mat and .*config_detected\.mat is missing"):
        LAYOUT.load(root)


def test_what_torchreid_keeps_needs_no_matlab_file(tmp_path: Path) -> None:
    root = tree.cuhk03(tmp_path)
    before = LAYOUT.load(root)
    for boxes in tree.BOXES:
        (root / f"cuhk03_new_protocol_config_{boxes}.mat").unlink()

        def entries(keep: Callable[[tuple[int, int, int]], bool], boxes: str = boxes) -> list[list[Any]]:
            return [[f"/old/cuhk03/images_{boxes}/{tree.name(*p)}", 0, 0] for p in tree.places(boxes) if keep(p)]

        new = {part: entries(lambda p, part=part, boxes=boxes: tree.split_of(boxes, *p) == part) for part in ("train", "query", "gallery")}
        (root / f"splits_new_{boxes}.json").write_text(json.dumps([new]))
        classic = [
            {
                "train": entries(lambda p, people=people: p[:2] not in people),
                **dict.fromkeys(("query", "gallery"), entries(lambda p, people=people: p[:2] in people)),
            }
            for people in tree.TESTSETS
        ]
        (root / f"splits_classic_{boxes}.json").write_text(json.dumps(classic))
    (root / "testsets.json").unlink()
    after = LAYOUT.load(root)
    assert (after.samples, after.protocols, after.draws) == (before.samples, before.protocols, before.draws)


def test_without_test_sets_the_classic_protocols_are_missing(tmp_path: Path) -> None:
    (tree.cuhk03(tmp_path) / "testsets.json").unlink()
    dataset = LAYOUT.load(tmp_path)
    assert [p.name for p in dataset.protocols] == ["general", "detected"] and not dataset.draws
    assert "No protocol classic-labelled or classic-detected: the 20 test sets are in the release alone" in dataset.notes[-1]


def test_classic_protocols_need_no_new_division(tmp_path: Path) -> None:
    root = tree.cuhk03(tmp_path)
    whole = LAYOUT.load(root)
    for boxes in tree.BOXES:
        (root / f"cuhk03_new_protocol_config_{boxes}.mat").unlink()
    dataset = open_dataset(root)
    assert [p.name for p in dataset.protocols] == ["classic-labelled", "classic-detected"]
    assert dataset.draws == whole.draws and {s.path for s in dataset.samples} == {s.path for s in whole.samples}
    assert {s.split for s in dataset.samples} == {"undivided", "undivided-detected"}
    assert any("cuhk03_new_protocol_config_labeled.mat is missing" in note for note in dataset.notes)
    assert any(note.startswith("No protocol general or detected") for note in dataset.notes)
    with pytest.raises(UserError, match="has no training pictures") as caught:
        training_samples(dataset)
    assert "cuhk03_new_protocol_config_labeled.mat is missing" in caught.value.remedy
    (root / "testsets.json").unlink()
    with pytest.raises(UserError, match="says who trains and who tests"):
        LAYOUT.load(root)


def test_pictures_and_division_must_agree(tmp_path: Path) -> None:
    root = tree.cuhk03(tmp_path)
    write_picture(root / "images_labeled" / "1_001_1_03.png")
    (root / "images_detected" / tree.names("detected")[0]).unlink()
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert f"{root / 'images_labeled/1_001_1_03.png'} is in no part of the new division (and 1 more fault)" in caught.value.what


@pytest.mark.parametrize("inner", ["", "cuhk03-np"])
def test_repackaged(inner: str, tmp_path: Path) -> None:
    files = (
        "bounding_box_train/0001_c1_1.png",
        "query/0002_c1_1.png",
        "bounding_box_test/0002_c2_6.png",
        "bounding_box_test/0003_c1_2.png",
    )
    write_pictures(tmp_path / inner, [f"{boxes}/{file}" for boxes in tree.BOXES for file in files])
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "cuhk03" and dataset.root == tmp_path / inner
    assert [(s.path, s.pid, s.camid, s.split) for s in dataset.samples][:4] == [
        ("labeled/bounding_box_train/0001_c1_1.png", 1, 0, "train"),
        ("labeled/query/0002_c1_1.png", 2, 0, "query"),
        ("labeled/bounding_box_test/0002_c2_6.png", 2, 1, "gallery"),
        ("labeled/bounding_box_test/0003_c1_2.png", 3, 0, "gallery"),
    ]
    assert [p.name for p in dataset.protocols] == ["general", "detected"] and not dataset.numbered_apart
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path / inner / "labeled")
    assert "give the folder above it" in caught.value.remedy


# ------------------------------------------------------------------------------------------- photographs that are there in two boxes
def seen(dataset: Dataset, trained: list[str], protocol: str, folder: Path) -> bool:
    """Whether a result says that its pictures were trained on, by a checkpoint trained on these splits of this data."""
    with Store(folder / "store").create("checkpoint", "mine") as draft:
        draft.write(PAYLOADS["checkpoint"], b"{}")
        draft.describe(method="baseline", config={"settings": {"train_splits": trained}}, dataset=DatasetRef.of(dataset))
    return provenance(draft.artifact, dataset, [find_protocol(dataset, protocol)]).test_seen


TRAINED = [  # splits -> under which protocols the test photographs were trained on; two people train, each is in a test set
    (["all"], {"general", "detected", "classic-labelled", "classic-detected"}),
    (["train"], {"classic-labelled", "classic-detected"}),
    (["train-detected"], {"classic-labelled", "classic-detected"}),
    (["query-detected"], {"general", "detected", "classic-labelled", "classic-detected"}),
    (["classic-detected-0"], {"general", "detected", "classic-labelled", "classic-detected"}),  # who trains there is in other test sets
]


@pytest.mark.parametrize(("trained", "expected"), TRAINED)
def test_photographs_trained_on_in_other_boxes_are_told(trained: list[str], expected: set[str], tmp_path: Path) -> None:
    dataset = LAYOUT.load(tree.cuhk03(tmp_path / "data"))
    assert {p.name for p in dataset.protocols if seen(dataset, trained, p.name, tmp_path)} == expected


@pytest.mark.parametrize(("lost", "present"), [("labeled", "detected"), ("detected", "labelled")])
@pytest.mark.parametrize(("trained", "expected"), TRAINED)
def test_so_are_those_of_boxes_that_are_not_here(trained: list[str], expected: set[str], lost: str, present: str, tmp_path: Path) -> None:
    """The checkpoint was trained on another copy, which had them."""
    root = tree.cuhk03(tmp_path / "data")
    (root / f"cuhk03_new_protocol_config_{lost}.mat").unlink()
    dataset = LAYOUT.load(root)
    here = {"detected" if present == "detected" else "general", f"classic-{present}"}
    assert {p.name for p in dataset.protocols if seen(dataset, trained, p.name, tmp_path)} == expected & here


def test_people_of_the_two_halves_are_told_apart_by_more_than_their_number(tmp_path: Path) -> None:
    files = ("bounding_box_train/0001_c1_1.png", "query/0001_c1_1.png", "bounding_box_test/0001_c2_6.png")
    write_pictures(tmp_path / "data", [f"{boxes}/{file}" for boxes in tree.BOXES for file in files])
    dataset = open_dataset(tmp_path / "data")
    assert dataset.numbered_apart
    assert not seen(dataset, ["train", "train-detected"], "detected", tmp_path)
    assert seen(dataset, ["train", "query", "gallery"], "detected", tmp_path)


# ------------------------------------------------------------------------------------------------------------- the release's file
def test_a_release_that_is_not_extracted_says_how(tmp_path: Path) -> None:
    tree.divisions(tree.release(tmp_path))
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    assert f"reidclip datasets extract {tmp_path}" in caught.value.remedy


def test_extracted_it_is_the_data_set(tmp_path: Path) -> None:
    tree.divisions(tree.release(tmp_path / "a"))
    told: list[tuple[int, int]] = []
    done = extract(tmp_path / "a", lambda *progress: told.append(progress))
    assert done.pictures == {"images_labeled": 12, "images_detected": 11} and done.written == 23
    assert told[-1] == (80, 80)  # 2 kinds of boxes, 4 people, 10 places
    for boxes in tree.BOXES:
        assert sorted(p.name for p in (tmp_path / "a" / f"images_{boxes}").iterdir()) == tree.names(boxes)
        for place in tree.places(boxes):
            with Image.open(tmp_path / "a" / f"images_{boxes}" / tree.name(*place)) as picture:
                assert np.array_equal(np.asarray(picture), tree.pixels(boxes, *place))
    by_hand = open_dataset(tree.cuhk03(tmp_path / "b"))
    extracted = open_dataset(tmp_path / "a")
    assert (extracted.samples, extracted.draws, extracted.protocols) == (by_hand.samples, by_hand.draws, by_hand.protocols)


def test_an_interrupted_extraction_goes_on(tmp_path: Path) -> None:
    root = tree.divisions(tree.release(tmp_path))

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 15:
            raise StoppedError

    with pytest.raises(StoppedError):
        extract(root, stop)
    kept = {p: p.stat().st_mtime_ns for p in root.glob("images_*/*")}
    assert kept and not (root / "testsets.json").exists()
    done = extract(root)
    assert done.written == 23 - len(kept) and sum(done.pictures.values()) == 23
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert extract(root).written == 0


def test_files_that_are_no_release(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to extract in .*: it has no cuhk03_release/cuhk-03\.mat"):
        extract(tmp_path)
    path = tmp_path / "cuhk-03.mat"
    path.write_bytes(b"MATLAB 5.0")
    with pytest.raises(WorkError, match=r"cuhk-03\.mat is no file of MATLAB 7\.3, or is cut off"):
        extract(tmp_path)
    import h5py

    with h5py.File(path, "w") as file:
        file["labeled"] = [1]
    with pytest.raises(WorkError, match="is damaged, or not CUHK03's release"):
        extract(tmp_path)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing was begun


@pytest.mark.parametrize(
    ("package", "call", "named"),
    [
        ("h5py", lambda root: extract(root), "h5py is needed to read"),
        ("scipy.io", lambda root: LAYOUT.load(tree.cuhk03(root / "extracted")), "SciPy is needed to read"),
    ],
)
def test_without_the_packages_the_extra_is_named(
    package: str, call: Callable[[Path], object], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.release(tmp_path)
    tree.cuhk03(tmp_path / "warm")  # what the tree is written with stays importable
    real = builtins.__import__

    def missing(name: str, globals_: Any = None, *rest: Any) -> Any:
        if name == package and (globals_ or {}).get("__name__", "").startswith("reidclip."):
            raise ImportError(name)
        return real(name, globals_, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError) as caught:
        call(tmp_path)
    assert named in caught.value.what and "pip install 'reidclip[cuhk03]'" in caught.value.remedy
