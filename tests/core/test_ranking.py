"""Ranking, metrics, protocols and intervals: hand-written expectations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.errors import UserError, WorkError
from reidclip.evaluation.bootstrap import bootstrap_interval
from reidclip.evaluation.counting import count_ahead, count_ahead_batched
from reidclip.evaluation.matching import Labels
from reidclip.evaluation.protocols import Features, evaluate_protocol, find_protocol, required_samples
from reidclip.evaluation.ranking import cmc, rank_features, rank_matrix, summarise
from reidclip.evaluation.single_shot import single_shot_galleries
from reidclip.formulas.distances import closeness_to
from reidclip.records import Dataset, Protocol, Rule, Sample

# One query: person 1, camera 0, clothes 10. Gallery by falling similarity; the comment says what each item is to the query.
GALLERY = [
    (1, 0, 10),  # same camera, same clothes
    (2, 0, 10),  # another person, whatever camera and clothes
    (1, 1, 10),  # other camera, same clothes
    (1, 0, 11),  # same camera, other clothes
    (-1, 1, 10),  # unknown person
    (1, 1, 11),  # other camera, other clothes
]
SIMILARITY = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]], np.float32)


def labels(*rows: tuple[int, int, int]) -> Labels:
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Labels(table[:, 0], table[:, 1], table[:, 2])


@pytest.mark.parametrize(
    ("rule", "ranks"),
    [
        (Rule.NONE, [1, 3, 4, 6]),
        (Rule.STD, [2, 4]),  # two same-camera items are gone; items 2 and 5 are the matches
        (Rule.CC, [3]),  # only item 5 matches; ahead of it stay the two strangers
        (Rule.SC, [2]),  # only item 2 matches
    ],
)
def test_rules(rule: Rule, ranks: list[int]) -> None:
    ranking = rank_matrix(SIMILARITY, labels((1, 0, 10)), labels(*GALLERY), rule)
    assert ranking.matches.tolist() == [len(ranks)]
    assert ranking.first_rank.tolist() == [ranks[0]]
    assert ranking.average_precision[0] == pytest.approx(np.mean([(i + 1) / r for i, r in enumerate(ranks)]))
    assert ranking.inverse_negative_penalty[0] == pytest.approx(len(ranks) / ranks[-1])


def test_distances_are_ranked_the_other_way() -> None:
    by_distance = rank_matrix(-SIMILARITY, labels((1, 0, 10)), labels(*GALLERY), Rule.STD, "distance")
    assert by_distance.first_rank.tolist() == [2]


@pytest.mark.parametrize(("match", "rank"), [(0, 1), (1, 2), (2, 3)])
def test_ties_go_to_the_lower_gallery_index(match: int, rank: int) -> None:
    pids = [(7 if i == match else 5, 1, 0) for i in range(3)]
    ranking = rank_matrix(np.zeros((1, 3), np.float32), labels((7, 0, 0)), labels(*pids), Rule.STD)
    assert ranking.first_rank.tolist() == [rank]


def test_ignored_items_never_stand_ahead_of_a_tied_match() -> None:
    gallery = labels((7, 0, 0), (7, 0, 0), (7, 1, 0))
    assert rank_matrix(np.zeros((1, 3), np.float32), labels((7, 0, 0)), gallery, Rule.STD).first_rank.tolist() == [1]


def test_unknown_identities_match_nothing() -> None:
    ranking = rank_matrix(np.ones((2, 2), np.float32), labels((-1, 0, 0), (3, 0, 0)), labels((-1, 1, 0), (3, 1, 0)), Rule.NONE)
    assert ranking.valid.tolist() == [False, True]
    assert ranking.first_rank.tolist() == [0, 2]


def test_summary_counts_and_divides_by_valid_queries() -> None:
    # Ranks of the first (only) match: 1, 6, none, 2.
    similarity = np.tile(np.arange(8, 0, -1, dtype=np.float32), (4, 1))
    gallery = labels(*[(p, 1, 0) for p in (1, 4, 9, 9, 9, 2, 9, 9)])
    ranking = rank_matrix(similarity, labels((1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)), gallery, Rule.STD)
    metrics = summarise(ranking)
    shares = [metrics.R1, metrics.R5, metrics.R10, metrics.R20]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert metrics.mAP == metrics.mINP == pytest.approx((1 + 1 / 6 + 1 / 2) / 3)
    assert (metrics.queries, metrics.valid, metrics.skipped, metrics.gallery) == (4, 3, 1, 8)
    assert cmc(ranking).tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 1, 1, 1])
    assert cmc(ranking, 2).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert cmc(ranking, 10)[-1] == 1


def test_features_and_matrix_agree_whatever_the_block() -> None:
    rng = np.random.default_rng(0)
    query, gallery = (torch.from_numpy(rng.standard_normal((n, 8), dtype=np.float32)) for n in (11, 40))
    query_labels, gallery_labels = (labels(*rng.integers(0, 4, (n, 3)).tolist()) for n in (11, 40))
    whole = rank_matrix(query @ gallery.T, query_labels, gallery_labels, Rule.CC)
    for block in (1, 40 * 4, 1 << 20):
        part = rank_features(query, gallery, query_labels, gallery_labels, Rule.CC, block)
        assert np.array_equal(part.first_rank, whole.first_rank)
        np.testing.assert_allclose(part.average_precision, whole.average_precision)


def test_euclidean_distance_of_raw_features_by_hand() -> None:
    """The longest vector has the largest dot product, and is the furthest."""
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[5.0, 0.0], [2.0, 1.0], [1.0, 0.5], [1.0, -0.5]])
    people = labels((2, 1, 0), (2, 1, 0), (2, 1, 0), (1, 1, 0))
    assert rank_features(query, gallery, labels((1, 0, 0)), people, Rule.STD, measure="distance").first_rank.tolist() == [2]
    assert rank_features(query, gallery, labels((1, 0, 0)), people, Rule.STD).first_rank.tolist() == [4]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_euclidean_ranks_are_those_of_a_slow_version(scale: float) -> None:
    """Long vectors of unlike lengths, around a point far from the origin, as raw features of a CLIP are."""
    rng = np.random.default_rng(4)
    centre = rng.standard_normal(64)
    query, gallery = ((centre + rng.standard_normal((n, 64)) * rng.uniform(0.5, 2, (n, 1))) * scale for n in (20, 150))
    query, gallery = query.astype(np.float32), gallery.astype(np.float32)
    sides = [labels(*np.column_stack([rng.integers(0, 9, n), rng.integers(0, 3, n), rng.integers(0, 2, n)]).tolist()) for n in (20, 150)]
    distances = np.sqrt(((query.astype(float)[:, None] - gallery.astype(float)[None]) ** 2).sum(2))
    slow = rank_matrix(distances, *sides, Rule.STD, "distance")
    fast = rank_features(torch.from_numpy(query), torch.from_numpy(gallery), *sides, Rule.STD, measure="distance")
    assert np.array_equal(fast.first_rank, slow.first_rank) and fast.valid.all()
    np.testing.assert_allclose(fast.average_precision, slow.average_precision)
    by_cosine = rank_features(*(torch.nn.functional.normalize(torch.from_numpy(x)) for x in (query, gallery)), *sides, Rule.STD)
    assert not np.array_equal(fast.first_rank, by_cosine.first_rank), "the case does not tell the measures apart"


def test_euclidean_ranks_hold_around_a_point_far_from_the_origin() -> None:
    """The mean is ten times the spread: squared lengths swallow the differences unless both sides are moved there first."""
    rng = np.random.default_rng(0)
    centre = 10 * rng.standard_normal(256)
    query, gallery = (torch.from_numpy(centre + rng.standard_normal((n, 256))).float() for n in (50, 2000))
    exact = torch.cdist(query.double(), gallery.double(), compute_mode="donot_use_mm_for_euclid_dist")
    order = exact.argsort(dim=1)
    found = closeness_to(gallery, "distance")(query).gather(1, order)
    inverted = (found[:, 1:] > found[:, :-1]).float().mean()  # neighbours in the order of their distances
    assert inverted < 0.001
    blocks = torch.cat([closeness(rows) for closeness in [closeness_to(gallery, "distance")] for rows in query.split(7)])
    torch.testing.assert_close(blocks.gather(1, order), found)


def test_a_gallery_far_from_the_origin_is_left_alone() -> None:
    gallery, query = torch.tensor([[5.0, 0.0], [5.0, 0.0], [7.0, 1.0]]), torch.tensor([[6.0, 0.0]])
    kept = gallery.clone(), query.clone()
    found = closeness_to(gallery, "distance")(query)[0]
    assert torch.equal(gallery, kept[0]) and torch.equal(query, kept[1])
    assert found[0] == found[1], "equal rows tie"
    assert (found[0] - found[2]).item() == pytest.approx((2 - 1) / 2)  # half the difference of the squared distances, 1 and 2


def test_the_callers_matrix_is_left_alone() -> None:
    similarity = torch.from_numpy(SIMILARITY.copy())
    rank_matrix(similarity, labels((1, 0, 10)), labels(*GALLERY), Rule.CC)
    assert torch.equal(similarity, torch.from_numpy(SIMILARITY))


@pytest.mark.parametrize("matches", [1, 5, 40, 200])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_three_ways_of_counting_agree_with_the_definition(matches: int, levels: int) -> None:
    rng = np.random.default_rng(matches)
    block = rng.integers(0, levels, (3, 200)).astype(np.float32)
    block[:, ::7] = -np.inf
    finite = [np.flatnonzero(np.isfinite(row)) for row in block]
    columns = np.concatenate([np.sort(rng.permutation(f)[:matches]) for f in finite])
    rows = np.repeat(np.arange(3), [min(matches, len(f)) for f in finite])
    expected = [
        sum(block[r, g] > block[r, c] or (block[r, g] == block[r, c] and g < c) for g in range(200))
        for r, c in zip(rows, columns, strict=True)
    ]
    assert count_ahead(torch.from_numpy(block), rows, columns).tolist() == expected
    assert count_ahead_batched(torch.from_numpy(block), rows, columns).tolist() == expected


class TestBadInput:
    def test_no_query_with_a_match(self) -> None:
        ranking = rank_matrix(SIMILARITY, labels((5, 0, 0)), labels(*GALLERY), Rule.STD)
        with pytest.raises(UserError, match="None of the 1 queries has a match") as caught:
            summarise(ranking)
        assert caught.value.remedy
        with pytest.raises(UserError):
            cmc(ranking)

    @pytest.mark.parametrize(("queries", "items", "which"), [(0, 3, "query"), (3, 0, "gallery")])
    def test_empty_sets(self, queries: int, items: int, which: str) -> None:
        sets = [labels(*[(1, 1, 1)] * n) for n in (queries, items)]
        with pytest.raises(UserError, match=f"{which} set is empty"):
            rank_features(torch.zeros(queries, 2), torch.zeros(items, 2), *sets, Rule.STD)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_features_that_are_not_finite(self, value: float) -> None:
        gallery = torch.ones(4, 2)
        gallery[2, 1] = value
        with pytest.raises(WorkError, match=r"1 gallery feature rows are not finite, the first is row 2"):
            rank_features(torch.ones(1, 2), gallery, labels((1, 0, 0)), labels(*[(1, 1, 0)] * 4), Rule.STD)

    @pytest.mark.parametrize("rule", [Rule.CC, Rule.SC])
    def test_clothes_rules_need_clothes(self, rule: Rule) -> None:
        with pytest.raises(UserError, match=f"Rule '{rule.value}' compares clothes"):
            rank_matrix(np.ones((1, 1), np.float32), labels((1, 0, 3)), labels((1, 1, -1)), rule)

    def test_unlabelled_clothes_of_strangers_do_not_matter(self) -> None:
        ranking = rank_matrix(np.ones((1, 2), np.float32), labels((1, 0, 3)), labels((2, 1, -1), (1, 1, 4)), Rule.CC)
        assert ranking.first_rank.tolist() == [2]


def dataset(protocols: tuple[Protocol, ...] = ()) -> Dataset:
    """Two people, three cameras; camera 2 shows other clothes. Each split has one picture per person and camera."""
    samples = tuple(
        Sample(f"{split}/{pid}_{cam}.jpg", pid, cam, 2 * pid + (cam == 2), split)
        for split in ("gallery", "query")
        for pid in (0, 1)
        for cam in (0, 1, 2)
    )
    return Dataset("made-up", Path("made-up"), samples, protocols)


def features_of(data: Dataset) -> Features:
    # Angle 0 for person 0 and 90 degrees for person 1; camera 2 turns everybody by 80 degrees, so that clothes beat identity.
    angle = torch.deg2rad(torch.tensor([90.0 * s.pid + 80.0 * (s.camid == 2) + s.camid for s in data.samples]))
    return Features(tuple(s.path for s in data.samples), torch.stack([angle.cos(), angle.sin()], dim=1))


class TestProtocols:
    def test_cameras_select_samples(self) -> None:
        same = Protocol("same", Rule.STD, "query", "gallery", frozenset({1}), frozenset({0}))
        changed = Protocol("changed", Rule.STD, "query", "gallery", frozenset({2}), frozenset({0}))
        data = dataset((same, changed))
        easy, hard = (evaluate_protocol(data, p, features_of(data)) for p in data.protocols)
        assert [s.path for s in easy.query] == ["query/0_1.jpg", "query/1_1.jpg"]
        assert [s.path for s in easy.galleries[0]] == ["gallery/0_0.jpg", "gallery/1_0.jpg"]
        assert easy.metrics.R1 == easy.metrics.mAP == 1
        assert (hard.metrics.R1, hard.metrics.mAP) == (0.5, 0.75)  # person 0 in other clothes looks like person 1
        assert hard.metrics.R1_interval == (0.0, 1.0)

    def test_features_are_found_by_path(self) -> None:
        data = dataset((Protocol("general", Rule.STD, "query", "gallery"),))
        features = features_of(data)
        backwards = Features(features.paths[::-1], features.matrix.flip(0))
        assert evaluate_protocol(data, data.protocols[0], features).metrics == evaluate_protocol(data, data.protocols[0], backwards).metrics
        with pytest.raises(UserError, match=r"no feature for query/0_0\.jpg"):
            evaluate_protocol(data, data.protocols[0], Features(features.paths[:6], features.matrix[:6]))

    def test_required_samples(self) -> None:
        protocol = Protocol("same", Rule.STD, "query", "gallery", frozenset({1}), frozenset({0, 1}))
        needed = [s.path for s in required_samples(dataset(), [protocol, protocol])]
        assert needed == ["gallery/0_0.jpg", "gallery/0_1.jpg", "gallery/1_0.jpg", "gallery/1_1.jpg", "query/0_1.jpg", "query/1_1.jpg"]

    def test_unknown_name_tells_the_nearest(self) -> None:
        data = dataset((Protocol("cloth-changing", Rule.CC, "query", "gallery"),))
        assert find_protocol(data, "cloth-changing").rule is Rule.CC
        with pytest.raises(UserError, match="Did you mean 'cloth-changing'"):
            find_protocol(data, "cloth-change")

    def test_unknown_name_tells_why_protocols_are_missing(self) -> None:
        why = missing_protocols_note(["cloth-changing"], "clothes are unknown.")
        data = replace(dataset((Protocol("general", Rule.STD, "query", "gallery"),)), notes=("Files were skipped.", why))
        with pytest.raises(UserError) as caught:
            find_protocol(data, "cloth-changing")
        assert caught.value.remedy == "Known: general. No protocol cloth-changing: clothes are unknown."

    def test_error_names_the_protocol(self) -> None:
        data = dataset((Protocol("impossible", Rule.STD, "query", "gallery", frozenset({1}), frozenset({1})),))
        with pytest.raises(UserError, match="protocol 'impossible'"):
            evaluate_protocol(data, data.protocols[0], features_of(data))

    def test_no_intervals_on_request(self) -> None:
        data = dataset((Protocol("general", Rule.STD, "query", "gallery"),))
        assert evaluate_protocol(data, data.protocols[0], features_of(data), resamples=0).metrics.mAP_interval is None


class TestSingleShot:
    def test_one_picture_per_identity(self) -> None:
        gallery = [Sample(f"{pid}/{n}.jpg", pid, 0, pid, "gallery") for pid in (5, 2, -1) for n in range(4)]
        draws = single_shot_galleries(gallery, 20)
        assert len(draws) == 20
        assert all([s.pid for s in draw] == [2, 5] for draw in draws)
        assert {s.path for draw in draws for s in draw} == {s.path for s in gallery if s.pid >= 0}

    def test_draws_do_not_depend_on_the_listing(self) -> None:
        gallery = [Sample(f"{pid}/{n}.jpg", pid, 0, pid, "gallery") for pid in (5, 2) for n in range(4)]
        draws = single_shot_galleries(gallery, 3)
        assert draws == single_shot_galleries(gallery[::-1], 3)
        # Pinned: published numbers of this protocol depend on the draw.
        assert [[s.path for s in draw] for draw in draws] == [["2/0.jpg", "5/2.jpg"], ["2/1.jpg", "5/2.jpg"], ["2/2.jpg", "5/0.jpg"]]

    def test_mean_over_repeats(self) -> None:
        # Gallery camera 0 finds person 0 in its own clothes, camera 2 in others: the query's rank depends on the draw.
        protocol = Protocol("single-shot", Rule.STD, "query", "gallery", frozenset({1}), frozenset({0, 2}), single_shot_repeats=10)
        data = dataset((protocol,))
        result = evaluate_protocol(data, protocol, features_of(data))
        assert len(result.galleries) == len(result.rankings) == 10
        assert all(len(g) == 2 for g in result.galleries)
        repeats = [summarise(r) for r in result.rankings]
        np.testing.assert_allclose(result.metrics.R1, np.mean([m.R1 for m in repeats]))
        np.testing.assert_allclose(result.metrics.mAP, np.mean([m.mAP for m in repeats]))
        assert result.metrics.mAP > result.metrics.R1  # one match each: AP = 1 / rank
        assert (result.metrics.queries, result.metrics.valid, result.metrics.gallery) == (2, 2, 2)


class TestBootstrap:
    def test_constant_values_have_no_spread(self) -> None:
        assert bootstrap_interval(np.full(30, 0.25)) == (0.25, 0.25)

    def test_width_is_that_of_the_normal_approximation(self) -> None:
        hits = np.arange(1000) % 2 == 0
        low, high = bootstrap_interval(hits.astype(float), resamples=4000)
        half_width = 1.96 * np.sqrt(0.25 / 1000)
        assert low == pytest.approx(0.5 - half_width, abs=0.003)
        assert high == pytest.approx(0.5 + half_width, abs=0.003)

    def test_confidence(self) -> None:
        values = np.random.default_rng(0).random(200)
        (a, b), (c, d) = (bootstrap_interval(values, confidence=level) for level in (0.95, 0.5))
        assert a < c < values.mean() < d < b

    def test_seeded(self) -> None:
        values = np.random.default_rng(0).random(50)
        assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
        assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)

    def test_no_values(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            bootstrap_interval(np.array([]))
