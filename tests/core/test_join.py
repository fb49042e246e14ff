"""Several data sets as one: what is one person, camera or outfit in a source is one number, and no two sources share one."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.data.join import join, place_of, roots_of, with_halves_joined
from reidclip.data.open_several import open_datasets
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Sample, training_labels
from tests import trees

HALVES = {"train": 0, "val": 0, "query": 1, "gallery": 1}


def _below(folder: str, given: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """No two data sets have all their paths in common: they would be copies."""
    return tuple(replace(s, path=f"{folder}/{s.path}") for s in given)


samples = st.lists(
    st.builds(
        Sample,
        path=st.just(""),
        pid=st.integers(-1, 4),
        camid=st.integers(0, 3),
        clothes_id=st.integers(-1, 4),
        split=st.sampled_from(sorted(HALVES)),
        camera=st.one_of(st.none(), st.integers(-1, 3)),
    ),
    min_size=1,
    max_size=12,
).map(lambda found: tuple(replace(s, path=f"p/{n}.png") for n, s in enumerate(found)))
sources = st.lists(st.tuples(samples, st.booleans(), st.frozensets(st.integers(0, 4))), min_size=2, max_size=4).map(
    lambda found: [
        Dataset("folder", Path(f"/nowhere/set-{n}"), _below(str(n), given), numbered_apart=apart, distractors=nobody)
        for n, (given, apart, nobody) in enumerate(found)
    ]
)


def pairs(datasets: list[Dataset]) -> list[tuple[str, Dataset, Sample, Sample]]:
    """Domain, data set, sample in it, the same sample joined."""
    joined = {s.path: s for s in join(datasets).samples}
    return [(d.name, d, s, joined[f"{d.name}/{s.path}"]) for d in datasets for s in d.samples]


def one_to_one(found: set[tuple[object, int]]) -> None:
    """Keys and numbers belong to each other, and the numbers are 0 to N-1 in the order of the keys."""
    assert sorted(number for _, number in found) == list(range(len(found)))
    assert len({key for key, _ in found}) == len(found)


@settings(max_examples=60, deadline=None)
@given(datasets=sources)
def test_numbers_are_those_of_the_sources_and_nothing_collides(datasets: list[Dataset]) -> None:
    found = pairs(datasets)
    assert len(found) == len(join(datasets).samples)
    people = {((name, HALVES[s.split] * d.numbered_apart, s.pid), new.pid) for name, d, s, new in found if s.pid >= 0}
    one_to_one(people)
    assert [number for _, number in sorted(people)] == list(range(len(people))), "by domain, half and integer id"
    one_to_one({((name, HALVES[s.split], s.clothes_id), new.clothes_id) for name, _, s, new in found if s.clothes_id >= 0})
    keys = {((name, s.camid), new.camid) for name, _, s, new in found}
    true = {((name, s.camera), new.camera) for name, _, s, new in found if s.camera is not None and s.camera >= 0}
    one_to_one(keys | true)
    for name, _, s, new in found:
        assert new.split == s.split and new.domain == name
        assert (new.pid < 0) == (s.pid < 0) and (new.clothes_id < 0) == (s.clothes_id < 0)
        assert new.camera == s.camera if s.camera in (None, -1) else new.camera >= 0


@settings(max_examples=40, deadline=None)
@given(datasets=sources, seed=st.integers(0, 9))
def test_the_order_of_the_command_line_changes_nothing(datasets: list[Dataset], seed: int) -> None:
    other = random.Random(seed).sample(datasets, len(datasets))
    first, second = join(datasets), join(other)
    assert first == second and list(first.sources) == list(second.sources) == sorted(first.sources)
    assert [s.path for s in first.samples] == [s.path for s in second.samples]


@settings(max_examples=60, deadline=None)
@given(dataset=sources.map(lambda found: found[0]))
def test_halves_of_one_data_set_are_told_apart_where_they_are_numbered_apart(dataset: Dataset) -> None:
    new = with_halves_joined(dataset)
    assert [s.path for s in new] == [s.path for s in dataset.samples]
    if dataset.numbered_apart:
        one_to_one({((HALVES[s.split], s.pid), t.pid) for s, t in zip(dataset.samples, new, strict=True) if s.pid >= 0})
    else:
        assert [s.pid for s in new] == [s.pid for s in dataset.samples]
    one_to_one({((HALVES[s.split], s.clothes_id), t.clothes_id) for s, t in zip(dataset.samples, new, strict=True) if s.clothes_id >= 0})


@settings(max_examples=40, deadline=None)
@given(datasets=sources)
def test_distractors_stay_distractors_in_the_half_that_has_them(datasets: list[Dataset]) -> None:
    joined = join(datasets)
    by_path = {s.path: s for s in joined.samples}
    for d in datasets:
        for s in d.samples:
            meant = s.pid in d.distractors and (HALVES[s.split] == 1 or not d.numbered_apart)
            assert (by_path[f"{d.name}/{s.path}"].pid in joined.distractors) == meant


# ------------------------------------------------------------------------------------------------------------ real trees
def _market(root: Path, number: int) -> Path:
    """A tree whose names are those of its like, but not its pictures."""
    trees.market1501(root)
    trees.write_picture(next((root / "query").iterdir()), seed=number, height=24 + 8 * number)
    return root


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return trees.market1501(tmp_path / "Market"), trees.msmt17(tmp_path / "msmt17")


def test_two_trees_joined_open_their_own_files(places: tuple[Path, Path]) -> None:
    joined = open_datasets(places)
    assert (joined.layout, joined.name, joined.root) == ("joined", "market+msmt17", places[0].parent)
    assert list(joined.sources) == ["market", "msmt17"] and joined.protocols == ()
    assert all(joined.absolute(s).is_file() for s in joined.samples)
    assert joined.file("market/query/0001_c1s1_001051_00.jpg") == places[0] / "query/0001_c1s1_001051_00.jpg"
    assert roots_of(joined) == places and place_of(joined) == f"{places[0]} + {places[1]}"
    labels = training_labels(joined.split("train"))
    assert labels.domains == {"market": 0, "msmt17": 1} and labels.pid_to_domain == (0, 0, 0, 1, 1)
    # Market's five people and its distractor, 0, 1, 2, 7, 1500, 1501; then MSMT17's train people 0 and 2, and its test people 0 and 1
    assert {s.pid for s in joined.split("train")} == {2, 3, 4, 6, 7}
    assert {s.pid for s in joined.split("query")} == {1, 5, 8, 9} and joined.distractors == {0}
    # six cameras with pictures in Market; those of MSMT17 overlap in number
    assert {s.camid for s in joined.samples if s.domain == "market"} == set(range(6))
    assert min(s.camid for s in joined.samples if s.domain == "msmt17") == 6
    assert {s.camid for s in joined.samples} == set(range(max(s.camid for s in joined.samples) + 1))


def test_the_fingerprint_is_that_of_the_data_in_any_order(places: tuple[Path, Path]) -> None:
    first = open_datasets(places).fingerprint
    assert open_datasets(places[::-1]).fingerprint == first != open_datasets(places[:1]).fingerprint
    trees.write_picture(places[1] / "train/0000/0000_000_01_0303morning_0015_0.jpg", seed=99, height=40)
    assert open_datasets(places).fingerprint != first


def test_one_folder_is_the_data_set_itself(places: tuple[Path, Path]) -> None:
    alone = open_datasets(places[0])
    assert alone == open_datasets([places[0]]) and alone.sources == {} and alone.layout == "market1501"
    assert {s.path for s in alone.samples if s.path.startswith("query/")} == {s.path for s in alone.split("query")}


def test_equal_names_are_told_apart_by_the_folders_above(tmp_path: Path) -> None:
    roots = [_market(tmp_path / place, n) for n, place in enumerate(("a/one/data", "b/one/data", "b/two/data", "other"))]
    joined = open_datasets(roots)
    assert list(joined.sources) == ["a-one-data", "b-one-data", "other", "two-data"]
    assert all(joined.absolute(s).is_file() for s in joined.samples)


def test_names_that_differ_in_case_alone_get_numbers(tmp_path: Path) -> None:
    roots = [_market(tmp_path / name, n) for n, name in enumerate(("Set", "set"))]
    if os.path.samefile(*roots):
        pytest.skip("this file system knows no upper and lower case")
    joined = open_datasets(roots)
    assert len(joined.sources) == 2 and open_datasets(roots[::-1]).sources.keys() == joined.sources.keys()


@pytest.mark.parametrize("twin", [".", "link"])
def test_the_same_folder_twice_is_refused(places: tuple[Path, Path], twin: str) -> None:
    other = places[0] / "."
    if twin == "link":
        other = places[0].parent / "link"
        other.symlink_to(places[0])
    with pytest.raises(UserError, match="is given twice"):
        open_datasets([places[0], other])


def test_a_copy_elsewhere_is_refused_and_another_data_set_of_equal_names_is_not(places: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "mirror" / "m1501"
    shutil.copytree(places[0], copy)
    with pytest.raises(UserError) as caught:
        open_datasets([places[0], places[1], copy])
    assert f"The data sets {places[0]} and {copy} are one" in caught.value.what and "two people" in caught.value.remedy
    next((copy / "query").iterdir()).write_bytes(b"other picture")
    assert list(open_datasets([places[0], copy]).sources) == ["m1501", "market"]


def test_domains_of_a_data_set_keep_their_names_below_its_own(tmp_path: Path) -> None:
    rows = [(f"{d}{n}.png", n, 0, -1, "train", d) for d in "xy" for n in range(2)]
    root = tmp_path / "city"
    trees.write_pictures(root, (row[0] for row in rows))
    trees.folder(root, trees.table(rows, "path,pid,camid,clothes_id,split,domain"))
    joined = open_datasets([root, trees.market1501(tmp_path / "market")])
    assert {s.domain for s in joined.samples} == {"city/x", "city/y", "market"}
    assert all(s.path.startswith("city/") and joined.absolute(s).is_file() for s in joined.samples if s.domain != "market")


def test_tracklets_and_divisions_keep_their_paths_below_the_domain(tmp_path: Path) -> None:
    video = Dataset("ccvid", tmp_path / "video", (Sample("s1/1", 1, 0, 0, "train", frames=("s1/1/a.jpg", "s1/1/b.jpg")),))
    people = tuple(Sample(f"cam_a/{n}.png", n, 0, -1, "all") for n in range(2))
    draw = Draw(("cam_a/0.png",), ("cam_a/1.png",), ())
    small = Dataset("prid", tmp_path / "small", people, draws={"split-0": draw})
    joined = join([video, small])
    assert joined.samples[-1].frames == ("video/s1/1/a.jpg", "video/s1/1/b.jpg")
    assert joined.draws["split-0"] == Draw(("small/cam_a/0.png",), ("small/cam_a/1.png",), ())


def test_many_names_make_a_short_one(tmp_path: Path) -> None:
    parts = [Dataset("folder", tmp_path / f"a-rather-long-name-{n}", ()) for n in range(4)]
    assert join(parts[:2]).name == "a-rather-long-name-0+a-rather-long-name-1"
    assert join(parts).name == "a-rather-long-name-0-and-3-more"


def test_layouts_are_named_once_or_for_each(places: tuple[Path, Path]) -> None:
    assert open_datasets(places, ["market1501", "msmt17"]) == open_datasets(places)
    with pytest.raises(UserError, match=r"--dataset names 3 layouts for 2 data sets"):
        open_datasets(places, ["market1501", "msmt17", "prcc"])
    with pytest.raises(UserError, match="MSMT17"):
        open_datasets(places, "msmt17")
