"""evaluate --rerank and --expand: numbers beside the plain ones, which stay as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reidclip.evaluation.expansion import expand_queries
from reidclip.evaluation.rerank import rerank_distances
from reidclip.evaluation.settings import ExpansionSettings, RerankSettings
from tests import trees
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip
from tests.fakes import write_prcc

ZERO = ("--zero-shot", "--clip", "tiny.safetensors", "--workers", "0")
SMALL = assigned("rerank_k1=3", "rerank_k2=2", "resamples=20")  # galleries hold four pictures


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    write_prcc(tmp_path / "data")
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def plain(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: {k: v for k, v in told.items() if k not in ("expanded", "reranked")} for name, told in metrics.items()}


def first_ranks(artifact: Path, beginning: str, protocol: str) -> list[int]:
    with (artifact / f"{beginning}-{protocol}.csv").open(newline="") as file:
        return [int(row["first_rank"]) for row in csv.DictReader(file)]


def test_stands_beside_the_plain_numbers(reidclip: CommandLine) -> None:
    words = ("evaluate", "data", *ZERO, *SMALL, "--json")
    before = reidclip(*words).json["metrics"]
    again = reidclip(*words, "--rerank", "--expand", "1").json
    assert plain(again["metrics"]) == before == plain(before)
    for protocol, told in again["metrics"].items():
        assert told["expanded"]["settings"] == {"expand": 1, "alpha": 3.0, "gallery": False}
        assert told["reranked"]["settings"] == {"k1": 3, "k2": 2, "lambda": 0.3, "expand": 1, "alpha": 3.0, "gallery": False}
        for way in ("expanded", "reranked"):
            assert [told[way][key] for key in ("queries", "valid", "gallery")] == [told[key] for key in ("queries", "valid", "gallery")]
            ranks = first_ranks(Path(again["path"]), way, protocol)
            assert told[way]["R1"] == np.mean([rank == 1 for rank in ranks])
            low, high = told[way]["R1_interval"]
            assert low <= told[way]["R1"] <= high


def test_ranks_are_those_of_the_distances(reidclip: CommandLine) -> None:
    call = ("evaluate", "data", *ZERO, *SMALL, "--rerank", "--expand", "2", "--protocol", "cloth-changing", "--json")
    artifact = Path(reidclip(*call).json["path"])
    rows = dict(
        zip(json.loads((artifact / "paths.json").read_text()), load_file(artifact / "features.safetensors")["features"], strict=True)
    )
    with (artifact / "ranks-cloth-changing.csv").open(newline="") as file:
        queries = [(row["query"], int(row["pid"])) for row in csv.DictReader(file)]
    items = [path for path in rows if path not in dict(queries)]
    gallery = torch.stack([rows[path] for path in items])
    asked, gallery = expand_queries(torch.stack([rows[path] for path, _ in queries]), gallery, ExpansionSettings(count=2))
    distances = rerank_distances(asked, gallery, RerankSettings(k1=3, k2=2)).numpy()
    for (_, pid), row, rank in zip(queries, distances, first_ranks(artifact, "reranked", "cloth-changing"), strict=True):
        own = np.array([int(path.split("/")[-2]) == pid for path in items])
        assert rank == min(1 + int((row < row[g]).sum() + (row[:g] == row[g]).sum()) for g in np.flatnonzero(own))


def test_all_of_the_original_distance_gives_the_plain_numbers(reidclip: CommandLine) -> None:
    told = reidclip("evaluate", "data", *ZERO, *SMALL, "--rerank", "--set", "rerank_lambda=1", "--json").json["metrics"]
    for metrics in told.values():
        assert {key: metrics["reranked"][key] for key in ("R1", "mAP", "mINP")} == {key: metrics[key] for key in ("R1", "mAP", "mINP")}


def test_table_has_a_row_of_each_way(reidclip: CommandLine) -> None:
    out = reidclip("evaluate", "data", *ZERO, *SMALL, "--rerank", "--expand", "1", "--protocol", "cloth-changing").out
    begins = [line.split()[0] for line in out.splitlines() if line.split()]
    assert begins.index("cloth-changing") + 1 == begins.index("expanded") == begins.index("reranked") - 1


def test_each_random_division_is_ranked_again(reidclip: CommandLine, tmp_path: Path) -> None:
    trees.prid(tmp_path / "prid")
    call = ("evaluate", "prid", *ZERO, *SMALL, "--rerank", "--json")
    both = reidclip(*call, "--split", "0", "--split", "3").json
    each = [reidclip(*call, "--split", number).json["metrics"]["general"]["reranked"] for number in ("0", "3")]
    for share in ("R1", "mAP"):
        assert both["metrics"]["general"]["reranked"][share] == pytest.approx(np.mean([one[share] for one in each]))
    ranks = Path(both["path"]) / "reranked-general.csv"
    assert {line.split(",")[0] for line in ranks.read_text().splitlines()[1:]} == {"split-0", "split-3"}


def test_averages_over_data_sets(reidclip: CommandLine, tmp_path: Path) -> None:
    write_prcc(tmp_path / "other")
    next((tmp_path / "other").rglob("rgb/test/A/001/*.jpg")).unlink()
    call = ("evaluate", "data", "other", *ZERO, *SMALL, "--rerank", "--set", "rerank_k1=2", "--protocol", "cloth-changing")
    told = reidclip(*call, "--json").json
    (average,) = told["summary"]["reranked"]["average"]
    shares = [one["metrics"]["cloth-changing"]["reranked"]["mAP"] for one in told["evaluations"]]
    assert average["mAP"] == pytest.approx(np.mean(shares))
    assert "cloth-changing, reranked" in reidclip(*call).out


def test_single_shot_protocols_are_left_alone_and_told(reidclip: CommandLine) -> None:
    run = reidclip("evaluate", "data", *ZERO, *SMALL, "--rerank", "--protocol", "cloth-changing-single-shot", "--json")
    assert "reranked" not in run.json["metrics"]["cloth-changing-single-shot"]
    assert "cloth-changing-single-shot is not ranked again" in run.err
