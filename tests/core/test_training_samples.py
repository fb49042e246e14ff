"""Which pictures are trained on: of both halves of a data set, of random divisions, of several data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reidclip.data.join import join
from reidclip.data.open import open_dataset
from reidclip.data.open_several import open_datasets
from reidclip.data.training_samples import choose_samples, training_samples
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Sample, training_labels
from tests import trees


def test_all_of_market_is_every_person_and_no_distractor(tmp_path: Path) -> None:
    dataset = open_dataset(trees.market1501(tmp_path / "market"))
    chosen = choose_samples(dataset, ("all",))
    assert chosen.distractors == 1 and "1 distractor, a picture of nobody, is left out of the training." in chosen.notes
    assert {s.pid for s in chosen.samples} == {1, 2, 7, 1500, 1501} and len(chosen.samples) == len(dataset.samples) - 1
    one_more = choose_samples(dataset, ("all",), "identity")
    assert {s.pid for s in one_more.samples} == {0, 1, 2, 7, 1500, 1501} and len(one_more.samples) == len(dataset.samples)
    assert "is trained on as an identity" in one_more.notes[0]


def test_all_of_msmt17_numbers_its_halves_apart(tmp_path: Path) -> None:
    dataset = open_dataset(trees.msmt17(tmp_path / "msmt17"))
    train, everything = training_samples(dataset), training_samples(dataset, ("all",))
    assert {s.pid for s in train} == {0, 2}, "the training half alone keeps its numbers"
    # trains 0 and 2, then tests 0 and 1
    assert {s.split: {t.pid for t in everything if t.split == s.split} for s in everything} == {
        "train": {0, 1},
        "val": {0},
        "query": {2, 3},
        "gallery": {2, 3},
    }
    assert training_labels(everything).pids == {0: 0, 1: 1, 2: 2, 3: 3}
    named = training_samples(dataset, ("train", "val", "query", "gallery"))
    assert named == everything, "naming the halves is the same"


def test_outfits_of_both_halves_keep_their_owners(tmp_path: Path) -> None:
    dataset = open_dataset(trees.prcc(tmp_path / "prcc"))
    everything = training_samples(dataset, ("all",))
    labels = training_labels(everything)
    for s in everything:
        assert labels.clothes_to_pid[labels.clothes[s.clothes_id]] == labels.pids[s.pid]
    assert {s.split for s in everything} == {s.split for s in dataset.samples}


def test_a_picture_of_two_splits_comes_once() -> None:
    twice = tuple(Sample(f"{n}.png", n % 2, n, -1, split) for split in ("query", "gallery") for n in range(4))
    assert [s.path for s in training_samples(Dataset("cuhk03", Path("/x"), twice), ("all",))] == ["0.png", "1.png", "2.png", "3.png"]


def small(name: str = "prid", split: str = "people") -> Dataset:
    people = tuple(Sample(f"{camera}/{pid}.png", pid, camera, -1, split) for camera in range(2) for pid in range(4))
    draws = {"split-9": Draw(("0/0.png", "1/0.png", "0/2.png"), ("0/1.png",), ("1/1.png",))}
    return Dataset(name, Path("/nowhere") / name, people, draws=draws)


def test_a_division_is_a_split_to_train_on() -> None:
    assert [s.path for s in training_samples(small(), ("split-9",))] == ["0/0.png", "0/2.png", "1/0.png"]
    with pytest.raises(UserError, match=r"train_splits names 'split-8', but .* \(splits: people, split-9\)"):
        training_samples(small(), ("split-8",))


def test_a_split_need_not_be_in_every_source(tmp_path: Path) -> None:
    market = open_dataset(trees.market1501(tmp_path / "market"))
    joined = join([market, small()])
    train = training_samples(joined, ("train", "split-9"))
    assert [s.path for s in train if s.domain == "prid"] == ["prid/0/0.png", "prid/0/2.png", "prid/1/0.png"]
    assert len(train) == 3 + len(market.split("train"))


def test_every_source_must_give_pictures(tmp_path: Path) -> None:
    joined = join([open_dataset(trees.market1501(tmp_path / "market")), small()])
    with pytest.raises(
        UserError, match=r"Data set 'prid' \(/nowhere/prid\) has no pictures of the splits that are trained on \(train\)"
    ) as told:
        training_samples(joined)
    assert "people, split-9, or all" in told.value.remedy


def test_distractors_of_every_source_are_left_out(tmp_path: Path) -> None:
    joined = open_datasets([trees.market1501(tmp_path / "market"), trees.last(tmp_path / "last")])
    nobody = [s for s in joined.samples if s.pid in joined.distractors]
    chosen = choose_samples(joined, ("all",))
    assert chosen.distractors == len(nobody) == 3 and not {s.pid for s in chosen.samples} & joined.distractors
    assert len({s.pid for s in choose_samples(joined, ("all",), "identity").samples}) == len({s.pid for s in chosen.samples}) + 2


def test_a_source_without_identities_is_told_by_whole_path(tmp_path: Path) -> None:
    nameless = small()
    nameless = replace(nameless, samples=tuple(replace(s, pid=-1) for s in nameless.samples))
    joined = join([open_dataset(trees.market1501(tmp_path / "market")), nameless])
    with pytest.raises(UserError, match=r"8 training pictures have no identity; the first is /nowhere/prid/0/0.png"):
        training_samples(joined, ("all",))
