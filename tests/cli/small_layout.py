"""A small data set whose published counts a test can choose, and reading the report of verify."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reidclip.data.layouts.prcc import PrccLayout
from reidclip.data.published import count, left_out
from reidclip.records import Dataset, PublishedCount

Register = Callable[..., None]
"""Lets the layouts given, and one that is broken, be the only ones."""

GOOD_COUNTS = (
    count("identities", 3, "C", "train"),
    count("images", 9, "R", "train"),
    count("images", 18, "T"),
    count("clothes", 4, "S", "test-A", "test-B", "test-C"),
    left_out("junk", 2, "T"),
    count("images", 2, "G", "val"),
)

# Pictures of `tests.trees.prcc`.
TRAIN, TRAIN_AGAIN = "rgb/train/092/A_cropped_rgb001.jpg", "rgb/train/092/A_cropped_rgb1002.jpg"
OTHER, VAL = "rgb/train/095/A_cropped_rgb010.jpg", "rgb/val/092/B_cropped_rgb100.jpg"
GALLERY, QUERY = "rgb/test/A/001/cropped_rgb001.jpg", "rgb/test/C/001/cropped_rgb001.jpg"


class SmallLayout(PrccLayout):
    """PRCC whose published counts are, unless others are given, those of `tests.trees.prcc`."""

    name = "small"
    title = "A small PRCC"
    source = "Ask nobody."

    def __init__(self, *counts: PublishedCount) -> None:
        self.published = counts or GOOD_COUNTS

    def load(self, root: Path) -> Dataset:
        return dataclasses.replace(super().load(root), layout=self.name, left_out={"junk": 2})


def findings(report: Any, level: str, check: str) -> list[dict[str, Any]]:
    """Those of one level and check in a report as JSON."""
    return [f for f in report["findings"] if f["level"] == level and f["check"] == check]


def one(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The only finding."""
    assert len(found) == 1, found
    return found[0]
