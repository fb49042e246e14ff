"""What must hold for every ranking, and agreement with a slow transcription of the published definitions."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.evaluation.matching import Labels
from reidclip.evaluation.ranking import Ranking, cmc, rank_features, rank_matrix, summarise
from reidclip.records import Rule

RULES = st.sampled_from(list(Rule))


@dataclass(frozen=True)
class Case:
    similarity: np.ndarray  # (Q, G)
    query: Labels
    gallery: Labels
    rule: Rule

    def rank(self) -> Ranking:
        return rank_matrix(self.similarity, self.query, self.gallery, self.rule)


@st.composite
def cases(draw: st.DrawFn, ties: bool = True, queries: int = 5, items: int = 60) -> Case:
    """Few identities, cameras and outfits, so that every kind of pair occurs; few distinct similarities when ties are wanted."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, g = draw(st.integers(1, queries)), draw(st.integers(1, items))
    people, cameras = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    distinct = rng.permutation(q * g) - (q * g) // 3
    levels = draw(st.integers(1, 6)) if ties else None
    similarity = (distinct if levels is None else distinct % levels).reshape(q, g).astype(np.float32)

    def labels(count: int) -> Labels:
        return Labels(rng.integers(-1, people, count), rng.integers(0, cameras, count), rng.integers(0, 3, count))

    return Case(similarity, labels(q), labels(g), draw(RULES))


def slow_ranks(case: Case, q: int) -> list[int]:
    """Ranks of the matches of one query, typed from the definitions: remove, order, number."""
    pid, cam, clothes = case.query.pids[q], case.query.camids[q], case.query.clothes[q]
    kept = []
    for g in range(len(case.gallery)):
        same_id = pid >= 0 and case.gallery.pids[g] == pid
        same_cam, same_clothes = case.gallery.camids[g] == cam, case.gallery.clothes[g] == clothes
        ignored = {
            Rule.NONE: False,
            Rule.STD: same_id and same_cam,
            Rule.CC: same_id and (same_cam or same_clothes),
            Rule.SC: same_id and (same_cam or not same_clothes),
        }[case.rule]
        if not ignored:
            kept.append((-case.similarity[q, g], g, same_id))
    return [rank for rank, (_, _, match) in enumerate(sorted(kept), start=1) if match]


@settings(max_examples=200, deadline=None)
@given(cases())
def test_agrees_with_a_slow_transcription(case: Case) -> None:
    ranking = case.rank()
    for q in range(len(case.query)):
        ranks = slow_ranks(case, q)
        assert ranking.valid[q] == bool(ranks)
        assert ranking.matches[q] == len(ranks)
        if ranks:
            assert ranking.first_rank[q] == ranks[0]
            np.testing.assert_allclose(ranking.average_precision[q], np.mean([i / r for i, r in enumerate(ranks, start=1)]))
            np.testing.assert_allclose(ranking.inverse_negative_penalty[q], len(ranks) / ranks[-1])


@settings(max_examples=50, deadline=None)
@given(cases(queries=2, items=300), st.integers(1, 700))
def test_agrees_with_many_matches_and_small_blocks(case: Case, block_elements: int) -> None:
    ranking = rank_matrix(case.similarity, case.query, case.gallery, case.rule, block_elements=block_elements)
    for q in range(len(case.query)):
        ranks = slow_ranks(case, q)
        assert ranking.first_rank[q] == (ranks[0] if ranks else 0)
        if ranks:
            np.testing.assert_allclose(ranking.average_precision[q], np.mean([i / r for i, r in enumerate(ranks, start=1)]))


def same(a: Ranking, b: Ranking) -> None:
    for field in ("valid", "first_rank", "average_precision", "inverse_negative_penalty", "matches"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


INCREASING = st.sampled_from([np.arctan, np.sinh, lambda x: 3 * x - 7, lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: x**3])


@settings(max_examples=100, deadline=None)
@given(cases(), INCREASING)
def test_unchanged_by_increasing_maps(case: Case, increasing: object) -> None:
    # In float64 and on small whole numbers, where these maps keep distinct values distinct.
    values = case.similarity.astype(np.float64) / 8
    assert len(np.unique(increasing(values))) == len(np.unique(values))  # type: ignore[operator]
    mapped = rank_matrix(increasing(values), case.query, case.gallery, case.rule)  # type: ignore[operator]
    same(mapped, case.rank())


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_distance_is_a_similarity_turned_round(case: Case) -> None:
    same(rank_matrix(-case.similarity, case.query, case.gallery, case.rule, "distance"), case.rank())


@settings(max_examples=100, deadline=None)
@given(cases(ties=False), st.randoms(use_true_random=False))
def test_unchanged_by_permuting_the_gallery(case: Case, random: object) -> None:
    order = list(range(len(case.gallery)))
    random.shuffle(order)  # type: ignore[attr-defined]
    gallery = Labels(case.gallery.pids[order], case.gallery.camids[order], case.gallery.clothes[order])
    same(Case(case.similarity[:, order], case.query, gallery, case.rule).rank(), case.rank())


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(-10, 10), st.booleans())
def test_a_wrong_neighbour_never_improves(case: Case, similarity: int, in_front: bool) -> None:
    """A stranger added to the gallery, wherever it lands: no query gets better, and none becomes valid or invalid."""
    stranger = np.array([99])
    column = np.full((len(case.query), 1), similarity, np.float32)
    place = 0 if in_front else len(case.gallery)
    gallery = Labels(
        np.insert(case.gallery.pids, place, stranger), np.insert(case.gallery.camids, place, 0), np.insert(case.gallery.clothes, place, 0)
    )
    worse = Case(np.insert(case.similarity, [place], column, axis=1), case.query, gallery, case.rule).rank()
    before = case.rank()
    np.testing.assert_array_equal(worse.valid, before.valid)
    valid = before.valid
    assert (worse.first_rank >= before.first_rank).all()
    assert (worse.average_precision[valid] <= before.average_precision[valid]).all()
    assert (worse.inverse_negative_penalty[valid] <= before.inverse_negative_penalty[valid]).all()
    if valid.any():
        assert summarise(worse).mAP <= summarise(before).mAP
        length = len(case.gallery)
        assert (cmc(worse, length) <= cmc(before, length)).all()


@settings(max_examples=100, deadline=None)
@given(cases())
def test_ranges(case: Case) -> None:
    ranking = case.rank()
    if not ranking.valid.any():
        return
    metrics = summarise(ranking)
    assert 0 < metrics.mAP <= 1
    assert 0 < metrics.mINP <= 1
    assert metrics.R1 <= metrics.R5 <= metrics.R10 <= metrics.R20 <= 1
    curve = cmc(ranking)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1
    assert curve[0] == metrics.R1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), RULES)
def test_a_perfect_encoder_is_perfect(seed: int, rule: Rule) -> None:
    """Features that depend on the identity alone put every match in front."""
    rng = np.random.default_rng(seed)
    query, gallery = (Labels(rng.integers(0, 4, n), rng.integers(0, 3, n), rng.integers(0, 3, n)) for n in (8, 40))
    corners = torch.eye(4)
    ranking = rank_features(corners[query.pids], corners[gallery.pids], query, gallery, rule)
    if ranking.valid.any():
        metrics = summarise(ranking)
        assert metrics.R1 == metrics.mAP == metrics.mINP == 1


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 1 << 20]), RULES)
def test_raw_features_are_ranked_by_euclidean_distance(seed: int, block: int, rule: Rule) -> None:
    """On whole numbers, where distances are exact and many of them tie: as a slow ordering of squared distances."""
    rng = np.random.default_rng(seed)
    q, g, width = rng.integers(1, 6), rng.integers(1, 40), rng.integers(1, 5)
    query, gallery = (rng.integers(-3, 4, (n, width)) for n in (q, g))
    sides = [Labels(rng.integers(-1, 3, n), rng.integers(0, 3, n), rng.integers(0, 3, n)) for n in (q, g)]
    squared = np.array([[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in gallery] for x in query])
    slow = Case(-squared.astype(np.float32), *sides, rule)
    ranking = rank_features(torch.from_numpy(query), torch.from_numpy(gallery), *sides, rule, block, measure="distance")
    for row in range(q):
        ranks = slow_ranks(slow, row)
        assert ranking.matches[row] == len(ranks) and ranking.first_rank[row] == (ranks[0] if ranks else 0)
        if ranks:
            assert np.isclose(ranking.average_precision[row], np.mean([(i + 1) / r for i, r in enumerate(ranks)]))
            assert np.isclose(ranking.inverse_negative_penalty[row], len(ranks) / ranks[-1])
