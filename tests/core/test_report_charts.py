"""Charts and tables of a report against coordinates and cells worked out by hand.

The plot is 322 units wide, from x = 40 to 362, and 194 high, from y = 204 up to 10.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip.artifacts.store import Store
from reidclip.report.charts import cmc_chart, histogram_chart, map_chart
from reidclip.report.contents import FeatureMap, GroupView, Item, ProtocolView
from reidclip.report.pair_distances import PairDistances
from reidclip.report.results import distances, results
from reidclip.stages.report_origins import averages_of

Points = list[tuple[float, float]]


def lines(svg: str, class_: str) -> list[Points]:
    """Points of the polylines of a class."""
    found = re.findall(rf'<polyline points="([^"]+)" class="{class_}"', svg)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in one.split())] for one in found]


def test_a_cmc_curve_begins_at_rank_one() -> None:
    """Eight ranks are 46 apart; 40 % to 100 % are 194 high."""
    curve = np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0])
    svg = cmc_chart([(0, "a", curve)], "t")
    xs, ys = [40.0, 86.0, 132.0, 178.0, 224.0, 270.0, 316.0, 362.0], [171.7, 139.3, 107.0, 90.8, 74.7, 42.3, 26.2, 10.0]
    assert lines(svg, "line s0") == [list(zip(xs, ys, strict=True))]
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="3" class="dot s0"><title>([^<]+)</title>', svg)
    assert dots == [("40.0", "171.7", "a: 50.0 % at rank 1"), ("224.0", "74.7", "a: 80.0 % at rank 5")]
    assert re.findall(r'<text x="([\d.]+)" y="220.0" text-anchor="middle">(\d+)</text>', svg) == [("40.0", "1"), ("224.0", "5")]
    assert re.findall(r'<text x="35.0" y="([\d.]+)" text-anchor="end">(\d+)</text>', svg) == [
        ("207.5", "40"),
        ("142.8", "60"),
        ("78.2", "80"),
        ("13.5", "100"),
    ]
    assert 'aria-label="t. a: rank 1 50.0 %, rank 5 80.0 %"' in svg


def test_a_shorter_curve_ends_where_its_gallery_does() -> None:
    svg = cmc_chart([(0, "a", np.array([0.5, 0.75, 1.0])), (1, "b", np.array([0.6, 1.0]))], "t")
    assert lines(svg, "line s0") == [[(40.0, 171.7), (201.0, 90.8), (362.0, 10.0)]]
    assert lines(svg, "line s1") == [[(40.0, 139.3), (201.0, 10.0)]]


def test_a_histogram_shows_shares_of_each_group() -> None:
    """1 and 3 of four pairs, 20 and 20 of forty: 25, 75, 50 and 50 %, of a height of 78.75 %; an empty group is left out."""
    counts = np.array([[1, 3], [0, 0], [20, 20]])
    svg = histogram_chart(PairDistances(np.array([0.0, 0.5, 1.0]), counts, (0.6, None, 0.5), True), "t", "distance")
    assert lines(svg, "area g0") == [[(40.0, 204.0), (40.0, 142.4), (201.0, 142.4), (201.0, 19.2), (362.0, 19.2), (362.0, 204.0)]]
    assert lines(svg, "area g1") == []
    assert lines(svg, "area g2") == [[(40.0, 204.0), (40.0, 80.8), (201.0, 80.8), (201.0, 80.8), (362.0, 80.8), (362.0, 204.0)]]
    means = re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="204.0" y2="[\d.]+" class="mean (g\d)"', svg)
    assert means == [("233.2", "233.2", "g0"), ("201.0", "201.0", "g2")]


def test_axes_and_means_of_small_distances_are_told_apart() -> None:
    """From 0.001 to 0.013: a hundredth of the range is seen at the fourth digit, ticks need one less."""
    pairs = PairDistances(np.array([0.001, 0.007, 0.013]), np.array([[1, 3], [0, 0], [2, 2]]), (0.00612, None, 0.00688), True)
    svg = histogram_chart(pairs, "t", "distance")
    assert re.findall(r'y="220.0" text-anchor="middle">([\d.]+)</text>', svg) == ["0.001", "0.004", "0.007", "0.010", "0.013"]
    assert "same clothes: mean 0.0061 of 4 pairs; two people: mean 0.0069 of 4 pairs" in svg
    view = replace(protocol({"R1": 1.0}), distances=(pairs,))
    legend = distances(GroupView("d", ("a",), None, (view,)))
    assert legend is not None and "mean 0.0061, 4 pairs" in legend and "mean 0.0069, 4 pairs" in legend


def test_points_of_a_map_are_those_of_their_pictures() -> None:
    """0 to 100 with a margin of 4 on every side; a person's outfits are told by shape, in the order of their numbers."""
    points = np.array([[0.0, 0.0], [100.0, 0.0], [50.0, 100.0], [0.0, 50.0]])
    items = (Item("a", 7, clothes=3), Item("b", 7, clothes=2), Item("c", 9), Item("d", 9))
    svg = map_chart(FeatureMap("t-SNE", points, items), "t")
    found = re.findall(r'<path d="([^"]+)" transform="translate\(([\d. ]+)\)" class="point (p\d)"><title>([^<]+)</title>', svg)
    circle, square = "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-4,-4h8v8h-8z"
    assert found == [
        (square, "51.9 196.8", "p0", "person 7, clothes 3: a"),
        (circle, "350.1 196.8", "p0", "person 7, clothes 2: b"),
        (circle, "201.0 17.2", "p1", "person 9: c"),
        (circle, "51.9 107.0", "p1", "person 9: d"),
    ]
    assert "4 pictures of 2 people" in svg


def protocol(*metrics: dict[str, Any] | None) -> ProtocolView:
    nothing = (None,) * len(metrics)
    return ProtocolView("general", "", "", metrics, nothing, nothing, (), 4, nothing)


def test_the_best_of_several_is_bold() -> None:
    """Of each number on its own; of equal ones both, of one alone none."""
    metrics = ({"R1": 0.7, "R5": 0.9, "mAP": 0.31}, {"R1": 0.6, "R5": 0.9, "mAP": 0.42}, {"R1": 0.5, "R5": 0.8, "mINP": 0.2}, None)
    html = results(GroupView("d", ("a", "b", "c", "e"), None, (protocol(*metrics),)))
    assert re.findall(r"<strong>([\d.]+)</strong>", html) == ["70.0", "90.0", "90.0", "42.0"]
    assert "<strong>" not in results(GroupView("d", ("a",), None, (protocol(metrics[0]),)))


def test_differences_to_published_numbers_keep_their_sign() -> None:
    entry = {"R1": 0.5, "published": {"R1": 0.536, "mAP": 0.48, "difference": {"R1": -0.036, "mAP": 0.02}, "method": "cal"}}
    html = results(GroupView("d", ("a",), None, (protocol(entry),)))
    row = html[html.index('class="published"') :]
    assert re.findall(r'<td class="number">([^<]+)</td>', row)[:6] == ["53.6 (-3.6)", "–", "–", "–", "48.0 (+2.0)", "–"]


@pytest.mark.parametrize(("seeds", "over"), [([0, 1, 2], "seeds 0, 1, 2"), ([0], "queries")])
def test_averages_stand_with_both_ends_of_their_intervals(tmp_path: Path, seeds: list[int], over: str) -> None:
    row = {"R1": 0.5, "R1_interval": [0.4, 0.65], "mAP": 0.333, "mAP_interval": [0.3, 0.36], "protocol": "general"}
    summary = {"seeds": seeds, "targets": [{"target": "prcc", **row}], "average": [{"targets": 3, **row, "R1": 0.7, "R1_interval": None}]}
    with Store(tmp_path).create("evaluation", "s") as draft:
        draft.write("metrics.json", b"{}")
        draft.write("summary.json", json.dumps(summary).encode())
        draft.describe()
    table = averages_of(draft.artifact)
    assert table.rows == (
        ("prcc, general", ("50.0 [40.0, 65.0]", "–", "–", "–", "33.3 [30.0, 36.0]", "–")),
        ("average of 3, general", ("70.0", "–", "–", "–", "33.3 [30.0, 36.0]", "–")),
    )
    assert table.columns == ("R1", "R5", "R10", "R20", "mAP", "mINP") and table.title.endswith(over)
