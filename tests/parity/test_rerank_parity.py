"""k-reciprocal re-ranking against the published program as CLIP-ReID runs it, whose encodings are in half precision.

`looped` is the paper typed as loops, in the precision that is asked for: in half precision it gives the recorded numbers, in double
those of `reidclip.evaluation.rerank`.
"""

import numpy as np
import pytest
import torch

from reidclip.evaluation.matching import Labels
from reidclip.evaluation.ranking import Ranking, cmc, rank_blocks, rank_features, summarise
from reidclip.evaluation.rerank import rerank_candidates, rerank_distances, reranked_blocks
from reidclip.evaluation.settings import RerankSettings
from reidclip.records import Rule
from tests.parity.fixtures import load

RECORDED = [
    ("rerank_k50_15_03", (50, 15, 0.3), True),
    ("rerank_k20_6_03", (20, 6, 0.3), True),
    ("rerank_k20_1_03", (20, 1, 0.3), True),
    ("rerank_raw_k20_6_03", (20, 6, 0.3), False),
]


def looped(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, lambda_: float, precision: type) -> np.ndarray:
    rows = np.concatenate([query, gallery]).astype(np.float64)
    distance = ((rows[:, None] - rows[None]) ** 2).sum(2)
    distance /= distance.max(1, keepdims=True)
    order = np.argsort(distance, 1, kind="stable")

    within = {k: [set(row[: k + 1].tolist()) for row in order] for k in (k1, int(np.around(k1 / 2)))}

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in order[i, : k + 1].tolist() if i in within[k][j]}

    encoded = np.zeros(distance.shape, precision)
    for i in range(len(rows)):
        near = mutual(i, k1)
        found = set(near)
        for j in near:
            theirs = mutual(j, int(np.around(k1 / 2)))
            if len(theirs & near) > 2 / 3 * len(theirs):
                found |= theirs
        members = sorted(found)
        weights = np.exp(-distance[i, members])
        encoded[i, members] = weights / weights.sum()
    if k2 > 1:
        encoded = np.stack([encoded[order[i, :k2]].mean(0) for i in range(len(rows))]).astype(precision)
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        smaller = np.minimum(encoded[i], encoded[len(query) :]).cumsum(axis=1, dtype=precision)[:, -1]  # one after the other
        result[i] = (1 - smaller / (2 - smaller)) * (1 - lambda_) + distance[i, len(query) :] * lambda_
    return result


def features(normalised: bool) -> tuple[np.ndarray, np.ndarray]:
    data = load("eval_rerank")
    sides = [data["query_features"], data["gallery_features"]]
    query, gallery = [s / np.linalg.norm(s, axis=1, keepdims=True) if normalised else s for s in sides]
    return query, gallery


def labels(side: str) -> Labels:
    data = load("eval_rerank")
    pids = data[f"{side}_pids"]
    return Labels(pids, data[f"{side}_camids"], np.zeros_like(pids))


def found(values: tuple[int, int, float], normalised: bool, block_elements: int = 1 << 24) -> torch.Tensor:
    settings = RerankSettings(k1=values[0], k2=values[1], lambda_=values[2])
    query, gallery = map(torch.from_numpy, features(normalised))
    return rerank_distances(query, gallery, settings, block_elements)


@pytest.mark.parametrize(("name", "values", "normalised"), RECORDED)
def test_published_distances(name: str, values: tuple[int, int, float], normalised: bool) -> None:
    recorded = load("eval_rerank")[name]
    ours = found(values, normalised).numpy()
    np.testing.assert_allclose(ours, recorded, atol=5e-3, rtol=0)  # between half precision and single
    np.testing.assert_allclose(looped(*features(normalised), *values, np.float64), ours, atol=2e-6, rtol=0)
    np.testing.assert_allclose(looped(*features(normalised), *values, np.float16), recorded, atol=1e-3, rtol=0)


@pytest.mark.parametrize("block_elements", [1, 700, 1 << 24])
def test_blocks_of_any_size(block_elements: int) -> None:
    ours = found((20, 6, 0.3), True, block_elements)
    np.testing.assert_allclose(ours, load("eval_rerank")["rerank_k20_6_03"], atol=5e-3, rtol=0)


def assert_published(ranking: Ranking, name: str, map_atol: float = 1e-6) -> None:
    data = load("eval_rerank")
    np.testing.assert_allclose(cmc(ranking, 50), data[f"evaluator_{name}_cmc"], atol=1e-6, rtol=0)
    np.testing.assert_allclose(summarise(ranking).mAP, data[f"evaluator_{name}_mAP"], atol=map_atol, rtol=0)


def test_published_evaluator() -> None:
    query, gallery = map(torch.from_numpy, features(True))
    sides = (labels("q"), labels("g"), Rule.STD)
    assert_published(rank_features(query, gallery, *sides), "plain")
    recorded = torch.from_numpy(load("eval_rerank")["evaluator_rerank_distmat"])
    assert_published(rank_blocks(recorded.split(7), *sides), "rerank")
    halves = torch.from_numpy(looped(*features(True), 50, 15, 0.3, np.float16))
    assert_published(rank_blocks([halves], *sides), "rerank")
    # In single precision two pictures that half precision cannot tell apart change places: one step of one query's average precision.
    assert_published(rank_blocks(reranked_blocks(query, gallery, RerankSettings(k1=50, k2=15)), *sides), "rerank", map_atol=2e-3)
    raw = map(torch.from_numpy, features(False))
    assert_published(rank_features(*raw, *sides, measure="distance"), "unnormalised")


def test_candidates_are_re_ranked_as_a_gallery_of_their_own() -> None:
    query, gallery = features(True)
    for row in (0, 7):
        ours = rerank_candidates(query[row], gallery, k1=20, k2=6, lambda_=0.3)
        np.testing.assert_allclose(ours, looped(query[row][None], gallery, 20, 6, 0.3, np.float64)[0], atol=2e-6, rtol=0)
