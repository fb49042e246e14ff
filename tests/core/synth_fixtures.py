"""What the tests of rendered sets share: reading a set back, and small sets of every benchmark's tree."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reidclip.records import Rule, Sample
from reidclip.synth.layouts import LAYOUTS, Plan, Shot

SMALL: dict[str, dict[str, Any]] = {
    "ltcc": {"layout": "ltcc", "ids": 5, "test_ids": 3, "outfits": 3, "cameras": 4},
    "vcclothes": {"layout": "vcclothes", "ids": 4, "outfits": 3},
    "market1501": {"layout": "market1501", "ids": 4, "cameras": 4, "distractors": 5, "junk": 7},
}
for _parameters in SMALL.values():
    _parameters |= {"images_per_camera": 1, "size": (64, 32), "seed": 6}

NAMES = {
    "ltcc": re.compile(r"(train|query|test)/(?P<pid>\d{3})_(?P<clothes>\d{1,2})_c(?P<cam>\d{1,2})_(?P<frame>\d{6})\.png"),
    "vcclothes": re.compile(r"(train|query|gallery)/(?P<pid>\d{4})-(?P<cam>\d{2})-(?P<clothes>\d{2})-(?P<index>\d{2})\.jpg"),
    "market1501": re.compile(
        r"(bounding_box_train|query|bounding_box_test)/(?P<pid>-1|\d{4})_c(?P<cam>[1-6])s(?P<seq>\d)_(?P<frame>\d{6})_(?P<box>\d{2})\.jpg"
    ),
}
"""Relative path -> fields, as the published programs read the names."""


def tree(root: Path) -> dict[str, bytes]:
    """Relative path -> content of every file."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def digest(files: dict[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    out = hashlib.sha256()
    for name in sorted(files):
        out.update(name.encode() + b"\0" + files[name])
    return out.hexdigest()


def records(root: Path) -> list[dict[str, Any]]:
    """The descriptions of a set."""
    return [json.loads(line) for line in (root / "attributes.jsonl").read_text("utf-8").splitlines()]


def all_shots(plan: Plan) -> list[Shot]:
    """Every picture of a plan."""
    layout = LAYOUTS[plan.layout]
    return [shot for pid in range(1, layout.people(plan) + 1) for shot in layout.shots(plan, pid)]


def counts_for(query: Sample, item: Sample, rule: Rule) -> bool:
    """Whether a gallery item is a match that the rule leaves in, written from the rules' definitions."""
    if query.pid != item.pid:
        return False
    same_camera, same_clothes = query.camid == item.camid, query.clothes_id == item.clothes_id
    ignored = {
        Rule.NONE: False,
        Rule.STD: same_camera,
        Rule.CC: same_camera or same_clothes,
        Rule.SC: same_camera or not same_clothes,
    }
    return not ignored[rule]


def valid_queries(query: Iterable[Sample], gallery: Iterable[Sample], rule: Rule) -> list[Sample]:
    """Queries with a match."""
    gallery = tuple(gallery)
    return [q for q in query if any(counts_for(q, item, rule) for item in gallery)]
