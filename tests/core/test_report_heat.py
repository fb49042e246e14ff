"""Heat maps of a report: every query has its own, laid over its own picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reidclip.data.images import UInt8
from reidclip.explain.placing import Cells
from reidclip.records import Dataset, Sample
from reidclip.stages import report_heat
from reidclip.stages.report_heat import draw_heat_maps

CELLS = Cells((4, 2), (8.0, 8.0), 16.0, (64, 32))


def hot(row: int, column: int) -> np.ndarray:
    heat = np.zeros((4, 2))
    heat[row, column] = 1
    return heat


def black(height: int, width: int) -> UInt8:
    return np.zeros((height, width, 3), np.uint8)


def brightest(picture: UInt8) -> tuple[int, int]:
    """Cell of the brightest place."""
    height, width = picture.shape[:2]
    cells = picture.sum(axis=2, dtype=np.int64).reshape(4, height // 4, 2, width // 2).sum(axis=(1, 3))
    row, column = np.unravel_index(cells.argmax(), (4, 2))
    return int(row), int(column)


def test_each_query_has_its_own_map_of_each_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pictures of any size: a map is no larger than a thumbnail."""
    places = (((0, 0), (1, 1), (3, 0)), ((2, 1), (0, 1), (1, 0)))  # by checkpoint and query
    results = [SimpleNamespace(title=f"c{i}", heat=np.stack([hot(*one) for one in row]), cells=CELLS) for i, row in enumerate(places)]
    monkeypatch.setattr(report_heat, "checkpoint_of", lambda artifact, store: SimpleNamespace(digest=artifact))
    monkeypatch.setattr(report_heat, "explain", lambda job, progress: results)
    monkeypatch.setattr(report_heat, "ExplainJob", lambda *parts, **more: None)
    samples = [Sample(f"{i}.png", i, 0, 0, "query") for i in range(3)]
    sizes = ((64, 32), (800, 400), (160, 80))
    readers = [lambda size=size: black(*size) for size in sizes]
    nothing: Any = None
    dataset = Dataset("folder", Path("data"), tuple(samples))
    common: dict[str, Any] = {"device": "cpu", "workers": 0, "say": print, "progress": print}
    drawn = draw_heat_maps(dataset, samples, readers, ["a", "b"], nothing, **common)  # type: ignore[list-item]
    assert drawn is not None and drawn.checkpoints == ("c0", "c1")
    for query, overlays in enumerate(drawn.overlays):
        pictures = [read() for read in overlays]
        assert [brightest(one) for one in pictures] == [row[query] for row in places]
        assert [one.shape for one in pictures] == [((64, 32, 3), (160, 80, 3), (160, 80, 3))[query]] * 2
