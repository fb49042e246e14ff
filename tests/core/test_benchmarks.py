"""The fixed rendered benchmarks: what they are made of, how a copy is checked, and that clothes tell nothing of who wears them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from reidclip.cli import synth as command
from reidclip.cli.app import app
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, WorkError
from reidclip.stages.benchmarks import benchmark_in, check_benchmark, render_benchmark
from reidclip.stages.synth import plan_synth, synth
from reidclip.stages.verify import verify
from reidclip.synth import benchmarks, labels, writer
from reidclip.synth.benchmarks import BENCHMARKS, Benchmark, drawn_digest, file_digest
from reidclip.synth.files import GENERATOR_VERSION, SHARDS
from reidclip.synth.layouts import LAYOUTS
from reidclip.synth.outfit import Trousers, outfit_rng
from reidclip.synth.people import describe_outfit
from reidclip.synth.scenery import kind_of, scenery
from reidclip.synth.styles import STYLES, outfit_for, suits
from tests.core.synth_fixtures import all_shots

RUN = CliRunner().invoke
SMALL = {"ids": 3, "test_ids": 1, "images_per_camera": 1, "control": True, "style": "even", "seed": 9, "size": (64, 32)}
SPLITS = (("train", 2, 6), ("test-A", 1, 1), ("test-B", 1, 1), ("test-C", 1, 1), ("test-C-same", 1, 1))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "set"
    synth(out, **SMALL)
    return out


@pytest.fixture
def small(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Benchmark]:
    known = Benchmark("A small one.", SMALL, GENERATOR_VERSION, drawn_digest(rendered), file_digest(rendered), SPLITS)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "synth-small", known)
    yield known


def pinned(name: str, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setitem(benchmarks.BENCHMARKS, name, replace(BENCHMARKS[name], **changes))


# ---------------------------------------------------------------------------------------------------------- what they are
@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_numbers_are_those_of_the_plan(name: str, tmp_path: Path) -> None:
    """Every picture as an empty file, read by the toolkit as the real tree would be."""
    known = BENCHMARKS[name]
    plan = plan_synth(**known.parameters)
    for shot in all_shots(plan):
        file = tmp_path / shot.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for path, text in LAYOUTS[plan.layout].lists(plan).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    dataset = open_dataset(tmp_path)
    assert all(count.of(dataset) == count.value for count in known.counts)
    assert len(dataset.samples) == sum(pictures for _, _, pictures in known.splits)
    assert known.generator == GENERATOR_VERSION  # after a change of pixels the digests are to be recorded anew


def test_the_benchmarks_are_as_large_as_promised() -> None:
    splits = {split: identities for split, identities, _ in BENCHMARKS["synthcc"].splits}
    assert splits["train"] >= 300 and min(splits[s] for s in ("test-A", "test-B", "test-C", "test-C-same")) >= 100
    worn = Counter((s.pid, s.outfit) for s in all_shots(plan_synth(**BENCHMARKS["synthcc-ltcc"].parameters)))
    outfits = Counter(pid for pid, _ in worn)
    assert max(outfits.values()) == 8 and {n for n in outfits.values() if n > 1} == set(range(2, 9))
    domains = [BENCHMARKS[f"synthcc-dom-{number}"].parameters for number in (1, 2, 3, 4)]
    assert len({d["style"] for d in domains}) == len({d["seed"] for d in domains}) == 4


def test_the_command_knows_every_benchmark_and_style() -> None:
    assert set(command.PRESETS) == set(BENCHMARKS)
    assert set(command.STYLES) == set(STYLES)


def test_digests_are_recorded() -> None:
    digests = [digest for known in BENCHMARKS.values() for digest in (known.drawn, known.pixels)]
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert len(set(digests)) == 2 * len(BENCHMARKS)


LAST_PERSON = {
    "synthcc": "2c7e12ca41cd65e3649bb654c3e4c9840a2cc2ec6aa74f0ad28ac35667e165ad",
    "synthcc-ltcc": "594a88a080f41b1bcfc0f3d92649018fe64ec6728c7901bd892a601c59a128a0",
    "synthcc-dom-1": "f80d9fbbd346896ec834f21d770fbe69b49660480edfc624d8a2cbab1bf32c36",
    "synthcc-dom-2": "95ef2d1ebfbfd5ea83b849e3121b74ec1dfe2c2713cb85d68aea65d15b7d5f60",
    "synthcc-dom-3": "063f88bfb4b548e682e1d1bff999994f8166215c2f3fad09daeb8ce1b622dec5",
    "synthcc-dom-4": "4b5d691dde790a93402850ea0ca14da301693ef5add09dcf70c1c13c0d70439f",
}


@pytest.mark.parametrize("name", LAST_PERSON)
def test_benchmarks_stay_as_they_are(name: str, tmp_path: Path) -> None:
    """Published numbers rest on them: what is drawn for one person must go on being drawn; whole sets take minutes."""
    plan = plan_synth(**BENCHMARKS[name].parameters)
    writer.write_person(tmp_path, plan, plan.ids)
    (shard,) = (tmp_path / SHARDS).iterdir()
    (tmp_path / "attributes.jsonl").write_bytes(shard.read_bytes())
    assert drawn_digest(tmp_path) == LAST_PERSON[name]


# ------------------------------------------------------------------------------------------------------- making and checking
def test_rendering_by_name(small: Benchmark, rendered: Path, tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--preset", "synth-small", "--workers", "1", "-q", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["pictures"], told["preset"], told["same_pixels"]) == (10, "synth-small", True)
    assert file_digest(tmp_path / "set") == file_digest(rendered)


def test_other_pixels_are_told_and_other_draws_refused(
    small: Benchmark, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned("synth-small", monkeypatch, pixels="0" * 64)
    _, check = render_benchmark("synth-small", tmp_path / "set")
    assert (check.drawn, check.pixels) == (True, False)
    pinned("synth-small", monkeypatch, drawn="0" * 64)
    with pytest.raises(WorkError) as error:
        render_benchmark("synth-small", tmp_path / "set")
    assert "is not synth-small" in error.value.what and "NumPy" in error.value.what and "compared" in error.value.remedy


def test_digest_of_what_was_drawn_ignores_measured_numbers_alone(small: Benchmark, rendered: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (rendered / "attributes.jsonl").read_text("utf-8").splitlines()]
    for change, same in (({"measurements": {}, "box_xywh": [0, 0, 1, 1]}, True), ({"clothes_id": "001_7"}, False), ({"pid": 77}, False)):
        changed = [lines[0] | change, *lines[1:]]
        (tmp_path / "attributes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
        assert (drawn_digest(tmp_path) == small.drawn) is same
    (tmp_path / "attributes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[1:]))
    assert drawn_digest(tmp_path) != small.drawn


def test_verify_counts_a_benchmark(small: Benchmark, rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = verify(rendered, workers=0)
    assert report.passed(strict=False) and report.title.startswith("synth-small")
    assert {c.what: c.state for c in report.counts} == {f"{s}: {what}": "same" for s, _, _ in SPLITS for what in ("identities", "images")}
    pinned("synth-small", monkeypatch, splits=(("train", 2, 7),))
    assert not verify(rendered, workers=0).passed(strict=False)


def test_verify_finds_other_content(small: Benchmark, rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def texts(level: str) -> str:
        return " ".join(f.text for f in verify(rendered, workers=0).findings if f.level == level)

    assert "synth-small" not in texts("fault") + texts("warning")
    pinned("synth-small", monkeypatch, pixels="0" * 64)
    assert "not the same pixels" in texts("warning") and "synth-small" not in texts("fault")
    pinned("synth-small", monkeypatch, drawn="0" * 64)
    assert "This is not synth-small" in texts("fault")


def test_sets_of_other_parameters_are_no_benchmark(small: Benchmark, rendered: Path, tmp_path: Path) -> None:
    assert benchmark_in(rendered) == "synth-small"
    synth(tmp_path / "other", **{**SMALL, "seed": 10, "ids": 1, "test_ids": 0, "control": False})
    assert benchmark_in(tmp_path / "other") is None
    assert benchmark_in(tmp_path) is None
    (tmp_path / "synth.json").write_text("[]")
    assert benchmark_in(tmp_path) is None
    assert check_benchmark(tmp_path / "other", "synth-small", pixels=False).drawn is False


def test_a_preset_fixes_everything(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--preset", "synthcc", "--ids", "5", "--images-per-camera", "2"])
    assert isinstance(result.exception, UserError)
    assert "fixes --ids, --images-per-camera" in result.exception.what
    result = RUN(app, ["synth", str(tmp_path / "set"), "--preset", "synthc"])
    assert isinstance(result.exception, UserError) and "Did you mean 'synthcc'?" in result.exception.remedy
    result = RUN(app, ["synth", str(tmp_path / "set"), "--preset", "synthcc", "--dry-run"])
    assert json.loads(result.stdout)["pictures"] == sum(pictures for _, _, pictures in BENCHMARKS["synthcc"].splits)
    assert not (tmp_path / "set").exists()


# ------------------------------------------------------------------------------------------------------------------- styles
def test_unknown_style_and_layout_without_styles() -> None:
    with pytest.raises(UserError, match="Unknown style 'evn'"):
        plan_synth(style="evn")
    with pytest.raises(UserError, match="pairs has no option style"):
        plan_synth(layout="pairs", style="even")


def test_style_is_one_of_the_parameters_of_a_set(rendered: Path) -> None:
    """A set of a style is not gone on with when the style is left out."""
    with pytest.raises(UserError, match="style even"):
        synth(rendered, **{**SMALL, "style": None})


@pytest.mark.parametrize("name", STYLES)
def test_cameras_see_places_of_the_styles_kinds(name: str) -> None:
    plan = plan_synth(style=name, ids=3, images_per_camera=1)
    cameras = {shot.camera.number: shot.camera for shot in all_shots(plan)}
    for camera in cameras.values():
        assert len(set(camera.places)) == STYLES[name].rooms
        assert {kind_of(place) for place in camera.places} <= set(STYLES[name].kinds)
        assert camera.elevation == STYLES[name].elevation
    first = cameras[0].places[0]
    assert scenery(first).kind == kind_of(first)


def test_seasons() -> None:
    drawn = {
        s: [outfit_for(s, np.random.default_rng(i), male=i % 2 == 0) for i in range(30)] for s in ("summer", "winter", "mild", "alike")
    }
    assert all(o.top.sleeve < 0.3 and o.jacket is None and o.scarf is None for o in drawn["summer"])
    assert all(o.jacket is not None and o.jacket.label == labels.COAT for o in drawn["winter"])
    assert all(o.hat is None and o.sunglasses is None and o.gloves is None for o in drawn["mild"])
    for outfit in drawn["alike"]:
        assert outfit.top.label == labels.UPPER and isinstance(outfit.bottom, Trousers) and outfit.bottom.end < -0.6
        assert not any((outfit.jacket, outfit.hat, outfit.scarf, outfit.gloves, outfit.sunglasses, outfit.bag))
    with pytest.raises(ValueError, match="unknown season"):
        suits("rain", drawn["mild"][0])


# -------------------------------------------------------------------------------------------- clothes and who wears them
def test_clothes_of_synthcc_do_not_depend_on_the_person() -> None:
    """By construction: the same stream gives the same outfit whoever wears it."""
    for number in range(40):
        worn = [describe_outfit(outfit_for("alike", outfit_rng(1, number, 0), male)) for male in (True, False)]
        assert worn[0] == worn[1]


def test_clothes_of_camera_c_do_not_tell_who_wore_what_under_camera_a() -> None:
    """The outfits of synthcc itself: a person's two outfits have no more words in common than those of two strangers."""
    seed, people = BENCHMARKS["synthcc"].parameters["seed"], range(1, BENCHMARKS["synthcc"].parameters["ids"] + 1)
    season = STYLES[BENCHMARKS["synthcc"].parameters["style"]].season
    first, other = (_words(season, seed, people, outfit) for outfit in (0, 1))
    alike = first @ other.T  # (A, C) number of common words
    rng = np.random.default_rng(0)
    strangers = [alike[np.arange(len(alike)), rng.permutation(len(alike))].mean() for _ in range(2000)]
    low, high = np.quantile(strangers, [0.005, 0.995])
    assert low <= np.diag(alike).mean() <= high
    assert (first @ first.T).diagonal().mean() > high + 1  # the measure does see equal clothes
    nearest = alike.argmax(1) == np.arange(len(alike))
    assert nearest.mean() <= 0.02  # chance is one in 400


def _words(season: str, seed: int, people: range, outfit: int) -> np.ndarray:
    """(people, words) zeros and ones: kind, colours and pattern of everything worn."""
    rows = []
    for pid in people:
        worn = describe_outfit(outfit_for(season, outfit_rng(seed, pid, outfit), male=pid % 2 == 0))
        rows.append({f"{slot} {k} {v}" for slot, thing in worn.items() if isinstance(thing, dict) for k, v in thing.items()})
    known = sorted(set().union(*rows))
    return np.array([[word in row for word in known] for row in rows], np.float32)
