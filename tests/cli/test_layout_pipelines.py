"""Every layout as its user goes: verify, mask, prompt-learn, finetune, evaluate with every protocol.

Results are compared with a ranking in plain loops over the features that evaluate wrote, with labels from the tests' own tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reidclip import registry
from tests.cli import test_divided_pipelines
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip
from tests.cli.layout_trees import TREES, Expected, Shot, Tree

SMALL = ("height=32", "width=16", "epochs=1")
BATCHES = ("identities=2", "images_per_identity=2", "pad=2")


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_every_bundled_layout_goes_through() -> None:
    bundled = {i.name for i in registry.all_infos("reidclip.layouts") if i.distribution == registry.BUNDLED_DISTRIBUTION}
    assert {*TREES, *test_divided_pipelines.TREES} == bundled


@pytest.mark.parametrize("tree", TREES.values(), ids=list(TREES))
def test_pipeline(tree: Tree, tmp_path: Path, reidclip: CommandLine) -> None:
    tree.write(tmp_path / "data")
    verified(tree, reidclip("datasets", "verify", "data", "--no-counts", "--strict", "--json").json)
    masked = reidclip("mask", "data", "--json").json
    assert masked["kind"] == "masks" and "schp-tiny" in masked["artifact"]
    used = {name for shot in tree.shots if shot.part for name in shot.files}
    keep = tmp_path / "artifacts/masks" / "schp-tiny-data" / "v0001" / "keep"
    assert {p.relative_to(keep).with_suffix("").as_posix() for p in keep.rglob("*.png")} == {path.rsplit(".", 1)[0] for path in used}

    common = ("--method", tree.method, "--json")
    clip = ("--clip", "tiny.safetensors")
    learned = reidclip("prompt-learn", "data", *common, *clip, *assigned(*SMALL, *tree.prompt_settings))
    assert learned.json["artifact"] == f"{tree.method}-data@v1"
    tuned = reidclip("finetune", *common, *assigned(*SMALL, *BATCHES, *tree.finetune_settings))  # data, prompts, masks: the newest
    assert f"prompts: {tree.method}-data@v1" in tuned.err

    protocols = [word for name in tree.protocols for word in ("--protocol", name)]
    told = reidclip("evaluate", "--json", *protocols).json
    assert told["artifact"] == f"{tree.method}-data@v1" and list(told["metrics"]) == list(tree.protocols)
    for name, expected in tree.protocols.items():
        evaluated(tree, expected, told["metrics"][name], Path(told["path"]))
    assert reidclip("artifacts", "verify", "--json").json["ok"] is True


def verified(tree: Tree, report: Any) -> None:
    """The report of verify says what is known by hand."""
    assert report["layout"] == tree.name and report["ok"] is True
    assert report["pictures"]["opened"] == len([name for shot in tree.shots if shot.part for name in shot.files])
    assert report["pictures"]["duplicates"] == [] and report["pictures"]["unreadable"] == {}
    found = {p["name"]: (p["rule"], p["queries"], p["valid"], p["gallery"]) for p in report["protocols"]}
    assert found == {name: (e.rule, e.queries, e.valid, e.gallery) for name, e in tree.protocols.items()}


def evaluated(tree: Tree, expected: Expected, metrics: Any, artifact: Path) -> None:
    """Counts known by hand, and the numbers of a ranking in loops."""
    assert (metrics["queries"], metrics["valid"]) == (expected.queries, expected.valid)
    if expected.single_shot:  # one match per query: AP is 1 / rank, never less than a hit at rank 1
        assert metrics["mAP"] >= metrics["R1"] and metrics["gallery"] == len({s.pid for s in tree.part("gallery")})
        return
    assert metrics["gallery"] == expected.gallery
    rows = load_file(artifact / "features.safetensors")["features"]
    features = dict(zip(json.loads((artifact / "paths.json").read_text()), rows, strict=True))
    first, mean = ranked(tree, expected, features)
    assert metrics["R1"] == pytest.approx(first, abs=1e-9) and metrics["mAP"] == pytest.approx(mean, abs=1e-9)


def ranked(tree: Tree, expected: Expected, features: dict[str, np.ndarray]) -> tuple[float, float]:
    """R1 and mAP (precision at hit), one query and one gallery picture at a time."""
    sides = [
        [s for s in tree.part(part) if expected.cameras is None or s.camera in expected.cameras]
        for part in (expected.query_part, expected.gallery_part)
    ]
    hits, precisions = [], []
    for query in sides[0]:
        kept = [g for g in sides[1] if not ignored(query, g, expected)]
        order = sorted(kept, key=lambda g: (-float(features[query.path] @ features[g.path]), g.path))
        ranks = [rank for rank, g in enumerate(order, start=1) if g.pid == query.pid]
        if ranks:
            hits.append(ranks[0] == 1)
            precisions.append(sum(i / rank for i, rank in enumerate(ranks, start=1)) / len(ranks))
    assert len(hits) == expected.valid
    return sum(hits) / len(hits), sum(precisions) / len(precisions)


def ignored(query: Shot, other: Shot, expected: Expected) -> bool:
    if query.pid != other.pid or expected.rule == "none":
        return False
    keys = [_key(shot, expected) for shot in (query, other)]
    same_outfit = query.outfit == other.outfit
    return keys[0] == keys[1] or (expected.rule == "cc" and same_outfit) or (expected.rule == "sc" and not same_outfit)


def _key(shot: Shot, expected: Expected) -> int:
    """What the protocol takes for the camera."""
    if expected.key:
        return shot.keys[expected.key]
    return shot.camera if shot.key is None or expected.true_camera else shot.key


@pytest.mark.parametrize("name", ["market1501", "msmt17"])
def test_ccaf_says_what_it_lacks_where_there_are_no_clothes(name: str, tmp_path: Path, reidclip: CommandLine) -> None:
    TREES[name].write(tmp_path / "data")
    small = assigned(*SMALL)
    without_masks = reidclip("prompt-learn", "data", "--method", "ccaf", "--clip", "tiny.safetensors", *small, code=2).err
    assert "There are no masks of" in without_masks and "reidclip mask" in without_masks
    reidclip("mask", "data")
    without_clothes = reidclip("prompt-learn", "data", "--method", "ccaf", "--clip", "tiny.safetensors", *small, code=2).err
    assert "have no clothes label" in without_clothes and "--set clothes_prompts=false" in without_clothes
    assert f"take the recipe for this data: --recipe {name} (CCAF on M" in without_clothes
    assert (
        "No protocol same-clothes or cloth-changing"
        in reidclip("evaluate", "data", "--zero-shot", "--protocol", "cloth-changing", code=2).err
    )
