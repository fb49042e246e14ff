"""Rendered sets in the trees of LTCC, VC-Clothes and Market-1501: read back by their loaders, and the bytes that must not move."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from reidclip import registry
from reidclip.cli.app import app
from reidclip.data.files import mirrored
from reidclip.data.images import read_indexed_png, read_mask_png, read_picture
from reidclip.data.open import GROUP, open_dataset
from reidclip.records import Dataset
from reidclip.stages.synth import synth
from reidclip.synth import labels
from tests.core.synth_fixtures import NAMES, SMALL, records, tree, valid_queries

LAYOUT_NAMES = tuple(SMALL)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("layouts")
    for name, parameters in SMALL.items():
        synth(folder / name, **parameters)
    return {name: folder / name for name in SMALL}


@pytest.fixture(scope="module")
def datasets(roots: dict[str, Path]) -> dict[str, Dataset]:
    return {name: open_dataset(root) for name, root in roots.items()}


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_exactly_one_loader_recognises_it(name: str, roots: dict[str, Path]) -> None:
    infos = [info for info in registry.all_infos(GROUP) if info.object is not None]
    assert [info.name for info in infos if info.object.recognises(roots[name])] == [name]


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_names_are_the_benchmarks(name: str, roots: dict[str, Path]) -> None:
    described = [r["path"] for r in records(roots[name])]
    assert all(NAMES[name].fullmatch(path) for path in described)
    lists = (
        {f"info/cloth-{kind}_id_{half}.txt" for kind in ("change", "unchange") for half in ("train", "test")} if name == "ltcc" else set()
    )
    beside = {"attributes.jsonl", "synth.json", "bodies.json", "bodies.safetensors", *lists}
    assert set(tree(roots[name])) == {*described, *("parsing/" + mirrored(p) for p in described)} | beside
    assert len(set(described)) == len(described)


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_labels_agree_with_the_descriptions(name: str, roots: dict[str, Path], datasets: dict[str, Dataset]) -> None:
    described = {r["path"]: r for r in records(roots[name])}
    junk = {path for path, r in described.items() if r["pid"] == -1}
    samples = datasets[name].samples
    assert {s.path for s in samples} == set(described) - junk
    for s in samples:
        record = described[s.path]
        assert (s.pid, s.camid, s.split) == (record["pid"], record["camid"], record["subset"])
    if name != "market1501":  # which has no labels of clothes
        for half in (("train",), ("query", "gallery")):
            pairs = {(s.clothes_id, described[s.path]["clothes_id"]) for s in samples if s.split in half}
            assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert not [note for note in datasets[name].notes if "skipped" in note or "disagree" in note]


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_every_protocol_has_valid_queries(name: str, datasets: dict[str, Dataset]) -> None:
    expected = {
        "ltcc": ["general", "same-clothes", "cloth-changing"],
        "vcclothes": ["general", "same-clothes", "cloth-changing", "sc-labels", "cc-labels"],
        "market1501": ["general"],
    }
    dataset = datasets[name]
    assert [p.name for p in dataset.protocols] == expected[name]
    for protocol in dataset.protocols:
        query, gallery = dataset.query_and_gallery(protocol)
        valid = valid_queries(query, gallery, protocol.rule)
        assert valid
        if protocol.name not in ("sc-labels", "cloth-changing"):  # camera 4 alone shows other clothes; some never change
            assert len(valid) == len(query)


def test_ltcc_people_in_constant_clothes_are_distractors(roots: dict[str, Path], datasets: dict[str, Dataset]) -> None:
    dataset = datasets["ltcc"]
    constant = {int(line) for line in (roots["ltcc"] / "info/cloth-unchange_id_test.txt").read_text().split()}
    assert constant == {5}
    protocol = dataset.protocol("cloth-changing")
    assert protocol is not None
    query, gallery = dataset.query_and_gallery(protocol)
    assert {q.pid for q in query} - {q.pid for q in valid_queries(query, gallery, protocol.rule)} == constant
    assert constant <= {s.pid for s in gallery}


def test_vcclothes_cameras_2_and_3_show_one_outfit_and_4_another(datasets: dict[str, Dataset]) -> None:
    samples = datasets["vcclothes"].samples
    for pid in {s.pid for s in samples}:
        worn = [{s.clothes_id for s in samples if (s.pid, s.camid) == (pid, camera)} for camera in range(4)]
        assert worn[0] == worn[1] == worn[2] and len(worn[0]) == 1
        assert worn[2].isdisjoint(worn[3]) and worn[3]


def test_market_gallery_holds_strangers_and_useless_boxes(roots: dict[str, Path], datasets: dict[str, Dataset]) -> None:
    described = records(roots["market1501"])
    strangers = [r for r in described if r["pid"] == 0]
    useless = [r for r in described if r["pid"] == -1]
    assert [r["framing"] for r in strangers] == ["whole", "part", "beside", "whole", "part"]
    assert {r["framing"] for r in useless} == {"shifted", "cut", "loose"}
    assert len(useless) == 7 == datasets["market1501"].left_out["junk"]
    assert sum(s.pid == 0 for s in datasets["market1501"].samples) == 5
    assert {r["shown_pid"] for r in useless} == {3, 4}  # the test people
    known = {json.dumps(r["measurements"]) for r in described if r["pid"] > 0}
    assert known.isdisjoint(json.dumps(r["measurements"]) for r in strangers)
    assert all(r["path"].startswith("bounding_box_test/") for r in strangers + useless)


def test_market_boxes_show_what_their_framing_says(roots: dict[str, Path]) -> None:
    root = roots["market1501"]
    whole = [person(root, r) for r in records(root) if r["pid"] > 0]
    usual = np.mean([p.mean() for p in whole])
    for record in (r for r in records(root) if r["pid"] <= 0):
        mask = person(root, record)
        if record["framing"] == "beside":
            assert not mask.any()
            assert record["identity"] is record["outfit"] is record["clothes_id"] is record["shown_pid"] is None
        elif record["framing"] == "loose":
            assert 0 < mask.mean() < 0.6 * usual
        elif record["framing"] == "shifted":
            assert mask[:, 0].any() != mask[:, -1].any()  # cut off by one side
        elif record["framing"] in ("cut", "part"):
            assert mask[0].any() or mask[-1].any()
        assert bool(record["captions"]) == (record["framing"] == "whole")


def person(root: Path, record: dict) -> np.ndarray:
    return read_indexed_png(root / record["parsing"])[0] > 0


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_pictures_and_label_maps_fit(name: str, roots: dict[str, Path]) -> None:
    for record in records(roots[name]):
        label, _ = read_indexed_png(roots[name] / record["parsing"])
        assert label.shape == (64, 32) and read_picture(roots[name] / record["path"]).shape == (64, 32, 3)
        if record["pid"] > 0:
            assert np.isin(label, labels.CLOTHES).mean() > 0.08


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_workers_do_not_change_a_byte(name: str, roots: dict[str, Path], tmp_path: Path) -> None:
    synth(tmp_path / "two", workers=2, **SMALL[name])
    assert tree(tmp_path / "two") == tree(roots[name])


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_interrupted_run_goes_on_to_the_same_bytes(name: str, roots: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(roots[name], copy)
    described = records(copy)
    lost = next(r for r in reversed(described) if (copy / r["path"]).is_file())  # Market: a stranger's, whom the table calls 0
    (copy / lost["path"]).unlink()
    summary = synth(copy, **SMALL[name])
    assert tree(copy) == tree(roots[name])
    assert summary.rendered == (2 if name == "market1501" else sum(r["pid"] == lost["pid"] for r in described))


class InterruptedByTestError(Exception):
    pass


def test_stopped_among_the_strangers(roots: dict[str, Path], tmp_path: Path) -> None:
    total = len(records(roots["market1501"]))

    def stop(done: int, of: int) -> None:
        if done == total - 2:  # all but the second stranger
            raise InterruptedByTestError

    with pytest.raises(InterruptedByTestError):
        synth(tmp_path / "set", progress=stop, **SMALL["market1501"])
    assert synth(tmp_path / "set", **SMALL["market1501"]).rendered == 2
    assert tree(tmp_path / "set") == tree(roots["market1501"])


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_masks_are_made_from_the_true_label_maps(name: str, roots: dict[str, Path], datasets: dict[str, Dataset], tmp_path: Path) -> None:
    call = ["mask", str(roots[name]), "--parsing", str(roots[name] / "parsing"), "--store", str(tmp_path), "-q", "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    made = {p.relative_to(next(tmp_path.glob("masks/*/v0001"))).as_posix(): p for p in tmp_path.rglob("*.png")}
    samples = datasets[name].samples
    assert len(made) == len(samples)
    hidden = [1 - read_mask_png(next(p for m, p in made.items() if m.endswith(mirrored(s.path)))) for s in samples if s.pid > 0]
    assert min(h.mean() for h in hidden) > 0.05
