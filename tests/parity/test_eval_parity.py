"""CMC and mAP against the published evaluators of CLIP-ReID (market) and Simple-CCReID (clothes)."""

import numpy as np
import pytest

from reidclip.evaluation.matching import Labels
from reidclip.evaluation.ranking import Ranking, cmc, rank_matrix, summarise
from reidclip.records import Rule
from tests.parity.fixtures import load


def labels(data: dict[str, np.ndarray], side: str) -> Labels:
    pids = data[f"{side}_pids"]
    return Labels(pids, data[f"{side}_camids"], data.get(f"{side}_clothids", np.zeros_like(pids)))


def assert_result(ranking: Ranking, recorded_cmc: np.ndarray, recorded_map: np.ndarray) -> None:
    np.testing.assert_allclose(cmc(ranking, len(recorded_cmc)), recorded_cmc, atol=1e-6, rtol=0)
    metrics = summarise(ranking)
    np.testing.assert_allclose(metrics.mAP, recorded_map, atol=1e-6, rtol=0)
    for k, value in ((1, metrics.R1), (5, metrics.R5), (10, metrics.R10), (20, metrics.R20)):
        np.testing.assert_allclose(value, recorded_cmc[k - 1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("block_elements", [1, 1000, 1 << 24])
def test_market(block_elements: int) -> None:
    data = load("eval_market")
    ranking = rank_matrix(data["distmat"], labels(data, "q"), labels(data, "g"), Rule.STD, "distance", block_elements)
    assert_result(ranking, data["cmc"], data["mAP"])
    assert not ranking.valid.all()  # the set has queries without a match on purpose


def test_market_part() -> None:
    data = load("eval_market")
    rows, columns = data["sub_rows"], slice(int(data["sub_cols"]))
    query, gallery = labels(data, "q"), labels(data, "g")
    query = Labels(query.pids[rows], query.camids[rows], query.clothes[rows])
    ranking = rank_matrix(data["distmat"][rows][:, columns], query, gallery.rows(columns), Rule.STD, "distance")
    assert_result(ranking, data["sub_cmc"], data["sub_mAP"])


@pytest.mark.parametrize(("name", "rule"), [("standard", Rule.STD), ("CC", Rule.CC), ("SC", Rule.SC)])
def test_clothes(name: str, rule: Rule) -> None:
    data = load("eval_clothes")
    ranking = rank_matrix(data["distmat"], labels(data, "q"), labels(data, "g"), rule, "distance")
    assert_result(ranking, data[f"{name}_cmc"], data[f"{name}_mAP"])
