"""Plans of rendered sets, without rendering: names, who is seen where, options, and what older sets recorded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.errors import UserError
from reidclip.records import Rule, Sample
from reidclip.stages.synth import plan_synth, synth
from reidclip.synth.files import BODIES, BODY_ROWS
from reidclip.synth.framing import FRAMINGS
from reidclip.synth.layouts import LAYOUTS, Plan
from tests.core.synth_fixtures import NAMES, all_shots, digest, records, tree, valid_queries


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    layout = draw(st.sampled_from(sorted(NAMES)))
    ids = draw(st.integers(1, 9))
    given: dict[str, Any] = {"layout": layout, "ids": ids, "test_ids": draw(st.integers(0, ids)), "seed": draw(st.integers(0, 99))}
    given["images_per_camera"] = draw(st.integers(1, 3))
    if layout != "market1501":
        given["outfits"] = draw(st.integers(2, 5))
    if layout != "vcclothes":
        given["cameras"] = draw(st.integers(2, 6))
    if layout == "market1501" and given["test_ids"]:
        given |= {"distractors": draw(st.integers(0, 9)), "junk": draw(st.integers(0, 25))}
    return plan_synth(**given)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_names_are_unique_and_say_what_is_shown(plan: Plan) -> None:
    shots = all_shots(plan)
    assert len({s.path for s in shots}) == len(shots)
    assert len({(s.pid, s.camera.number, s.number) for s in shots}) == len(shots)  # else two pictures were the same
    for shot in shots:
        fields = NAMES[plan.layout].fullmatch(shot.path)
        assert fields is not None
        assert int(fields["pid"]) == (shot.pid if shot.named is None else shot.named)
        assert int(fields["cam"]) == shot.camera.number + 1
        assert fields.groupdict().get("clothes") in (None, str(shot.outfit), f"{shot.outfit:02d}")
        assert shot.framing in FRAMINGS


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_query_has_a_match(plan: Plan) -> None:
    """General protocol: all of them; cloth-changing: all of people who change."""
    shots = [s for s in all_shots(plan) if s.named is None]
    samples = [Sample(s.path, s.pid, s.camera.number, s.outfit, s.split) for s in shots]
    query, gallery = ([s for s in samples if s.split == split] for split in ("query", "gallery"))
    assert {s.pid for s in query} == {s.pid for s in gallery} == set(range(plan.ids - plan.test_ids + 1, plan.ids + 1))
    assert valid_queries(query, gallery, Rule.STD) == query
    if plan.layout == "ltcc":
        worn = outfits_of(plan)
        assert valid_queries(query, gallery, Rule.CC) == [q for q in query if worn[q.pid] > 1]
        assert valid_queries(query, gallery, Rule.SC) == query
        assert not query or max(worn[q.pid] for q in query) > 1  # a testing half always has someone who changes
    assert set(Counter((s.pid, s.camid, s.clothes_id if plan.layout == "ltcc" else 0) for s in query).values()) <= {1}


def outfits_of(plan: Plan) -> dict[int, int]:
    worn = defaultdict(set)
    for shot in all_shots(plan):
        worn[shot.pid].add(shot.outfit)
    return {pid: len(outfits) for pid, outfits in worn.items()}


def test_ltcc_has_its_shares_of_people_cameras_and_outfits() -> None:
    plan = plan_synth(layout="ltcc", ids=200, outfits=4, images_per_camera=1)
    worn = outfits_of(plan)
    for half in (range(1, 101), range(101, 201)):
        assert sum(worn[pid] == 1 for pid in half) == 40  # 31 of 77 and 30 of 75 in the benchmark
        assert {worn[pid] for pid in half} == {1, 2, 3, 4}
    shots = all_shots(plan)
    assert {s.camera.name for s in shots} == {f"c{number}" for number in range(1, 13)}
    seen = defaultdict(set)
    for shot in shots:
        seen[shot.pid, shot.outfit].add(shot.camera.number)
    assert {len(cameras) for cameras in seen.values()} == {2, 3, 4, 5}


def test_ltcc_lists_say_who_changes() -> None:
    plan = plan_synth(layout="ltcc", ids=30, images_per_camera=1)
    worn, lists = outfits_of(plan), LAYOUTS["ltcc"].lists(plan)
    for half, people in (("train", range(1, 16)), ("test", range(16, 31))):
        for kind, changes in (("change", True), ("unchange", False)):
            expected = [f"{pid:03d}" for pid in people if (worn[pid] > 1) is changes]
            assert lists[f"info/cloth-{kind}_id_{half}.txt"].splitlines() == expected


def test_more_pictures_leave_people_under_their_cameras() -> None:
    """Where a person is seen depends on seed and identity, not on how often pictures are taken there."""
    for layout in ("ltcc", "market1501"):
        few, many = ({(s.pid, s.outfit, s.camera.name) for s in all_shots(plan)} for plan in (plan_of(layout, 1), plan_of(layout, 5)))
        assert few == many


def plan_of(layout: str, images: int) -> Plan:
    extras = {"distractors": 0, "junk": 0} if layout == "market1501" else {}
    return plan_synth(layout=layout, ids=6, images_per_camera=images, **extras)


def test_market_junk_is_shared_among_the_test_people() -> None:
    plan = plan_synth(layout="market1501", ids=7, test_ids=3, junk=11, distractors=7)
    extras = [s for s in all_shots(plan) if s.named is not None]
    assert Counter(s.pid for s in extras if s.named == -1) == {5: 4, 6: 4, 7: 3}
    assert [s.framing for s in extras if s.named == 0] == ["whole", "part", "beside"] * 2 + ["whole"]
    assert {s.pid for s in extras if s.named == 0} == {8, 9, 10}
    for _, mine in groupby((s for s in extras if s.named == -1), key=lambda s: s.pid):
        assert {s.framing for s in mine} == {"shifted", "cut", "loose"}  # nobody gets one kind alone


def test_defaults_of_the_layouts() -> None:
    """The halves of the benchmarks are about equal; PRCC's are two to one."""
    planned = {name: plan_synth(layout=name, ids=60) for name in LAYOUTS}
    assert {name: plan.test_ids for name, plan in planned.items()} == {
        "prcc": 20, "ltcc": 30, "vcclothes": 30, "market1501": 30, "pairs": 0,
    }  # fmt: skip
    assert {name: plan.outfits for name, plan in planned.items()} == {
        "prcc": 2, "ltcc": 4, "vcclothes": 2, "market1501": 1, "pairs": 0,
    }  # fmt: skip
    assert {name: plan.cameras for name, plan in planned.items()} == {
        "prcc": None, "ltcc": 12, "vcclothes": None, "market1501": 6, "pairs": None,
    }  # fmt: skip
    assert (planned["market1501"].distractors, planned["market1501"].junk) == (90, 90)


@pytest.mark.parametrize(
    ("given", "what", "remedy"),
    [
        ({"layout": "ltcc", "control": True}, "The layout ltcc has no option control.", "it is for prcc"),
        ({"layout": "market1501", "val_images": 2}, "The layout market1501 has no option val_images.", "it is for prcc"),
        ({"layout": "prcc", "junk": 2}, "The layout prcc has no option junk.", "it is for market1501"),
        ({"layout": "ltcc", "distractors": 2}, "The layout ltcc has no option distractors.", "it is for market1501"),
        ({"layout": "vcclothes", "cameras": 4}, "The layout vcclothes has no option cameras.", "it is for ltcc, market1501"),
        ({"layout": "pairs", "test_ids": 3}, "The layout pairs has no option test_ids.", "it is for prcc, ltcc, vcclothes, market1501"),
        ({"layout": "market1501", "outfits": 2}, "outfits must be 1 for the layout market1501, not 2.", "Change"),
        ({"layout": "vcclothes", "outfits": 1}, "outfits must lie between 2 and 99 for the layout vcclothes, not 1.", "Change"),
        ({"layout": "ltcc", "outfits": 100}, "outfits must lie between 2 and 99 for the layout ltcc, not 100.", "Change"),
        ({"layout": "ltcc", "cameras": 13}, "cameras must lie between 2 and 12 for the layout ltcc, not 13.", "Change"),
        ({"layout": "market1501", "cameras": 1}, "cameras must lie between 2 and 6 for the layout market1501, not 1.", "Change"),
        ({"layout": "ltcc", "ids": 1000}, "ids must lie between 1 and 999 for the layout ltcc, not 1000.", "Change"),
        ({"layout": "vcclothes", "images_per_camera": 99}, "images_per_camera must lie between 1 and 98", "Change"),
        ({"layout": "market1501", "distractors": -1}, "distractors must lie between 0 and 30000", "Change"),
        ({"layout": "market1501", "test_ids": 0, "junk": 1}, "junk must be 0, not 1, where test_ids is 0", "Change"),
    ],
)
def test_wrong_parameters(given: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(UserError) as error:
        plan_synth(**given)
    assert what in error.value.what and remedy in error.value.remedy


# ------------------------------------------------------------------------------------------- what must stay as it was
OLD_PARAMETERS = {
    "generator": 4, "layout": "prcc", "ids": 3, "test_ids": 1, "outfits": 3, "images_per_camera": 2, "val_images": 1, "seed": 4,
    "height": 96, "width": 48, "control": True,
}  # fmt: skip
SETS: dict[str, dict[str, Any]] = {
    "prcc": {
        "ids": 3, "test_ids": 1, "outfits": 3, "images_per_camera": 2, "size": (96, 48), "control": True, "val_images": 1, "seed": 4,
    },
    "pairs": {"layout": "pairs", "ids": 2, "outfits": 0, "images_per_camera": 3, "size": (96, 48), "seed": 4},
}  # fmt: skip
DRAWN = {
    "prcc": "de1f9ae9ab70c72ceb669d87b9012c89fd20e7cfb953d9e7210692bc0a140a44",
    "pairs": "c22a9b23d5ec6d90074f8cc04df0f24ab9032548981d33fecfd3327bf419e483",
}
WHOLE = {
    "prcc": "37b4eb9cc346839cb887cad892f6e01d3929bacb5dbf74defb7c4a28f7cc9413",
    "pairs": "91f7022a1c4e6cdad6c65ea57a0492d06773999f44c33d0d5177736490320a84",
}
RECORDED_WITH = "de4eb17072ff615b"


def environment() -> str:
    """Digest of what decides the last bit of a pixel beside this toolkit: versions, and the processor's vector units."""
    parts = (np.__version__, cv2.__version__, PIL.__version__, cv2.getCPUFeaturesLine())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def drawn(root: Path) -> str:
    """Digest of what was drawn for every picture, without measured numbers, whose last digit may depend on the machine."""
    measured = ("measurements", "view", "box_xywh")
    described = [{k: v for k, v in record.items() if k not in measured} for record in records(root)]
    return digest({"synth.json": (root / "synth.json").read_bytes(), "described": json.dumps(described).encode()})


@pytest.mark.parametrize("name", SETS)
def test_sets_of_generator_4_stay_as_they_are(name: str, tmp_path: Path) -> None:
    """Published numbers rest on rendered sets: the same parameters must go on giving the same files."""
    synth(tmp_path / name, **SETS[name])
    assert drawn(tmp_path / name) == DRAWN[name]
    if environment() == RECORDED_WITH:
        files = {path: content for path, content in tree(tmp_path / name).items() if path not in (BODIES, BODY_ROWS)}
        assert digest(files) == WHOLE[name]


def test_unfinished_set_of_an_earlier_toolkit_goes_on(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/synth.json").write_text(json.dumps(OLD_PARAMETERS, indent=2) + "\n")
    assert synth(tmp_path / "set", **SETS["prcc"]).rendered == 26
