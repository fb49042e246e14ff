"""Protocols that average over random divisions, and single-shot galleries that are the queries themselves."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from reidclip.errors import UserError
from reidclip.evaluation.bootstrap import bootstrap_interval
from reidclip.evaluation.divisions import of_divisions
from reidclip.evaluation.protocols import Features, evaluate_protocol, mean_over_repeats, required_samples
from reidclip.evaluation.ranking import Ranking
from reidclip.records import Dataset, Draw, Protocol, Rule, Sample

# Four people before two cameras, as points on a line; a query's nearest point is its first. Person 3's second picture lies near person 1's.
POINTS = {"a/0": 0.0, "b/0": 0.1, "a/1": 1.0, "b/1": 1.1, "a/2": 2.0, "b/2": 2.1, "a/3": 3.0, "b/3": 1.2}
DRAWS = {
    "split-0": Draw(("a/2", "b/2", "a/3", "b/3"), ("a/0", "a/1"), ("b/0", "b/1")),
    "split-1": Draw(("a/0", "b/0", "a/2", "b/2"), ("a/1", "a/3"), ("b/1", "b/3")),
    "split-2": Draw(("a/1", "b/1"), ("b/3", "b/2", "b/0"), ("a/3", "a/2", "a/0")),
}
PROTOCOL = Protocol("general", Rule.STD, "some", "others", draws=tuple(DRAWS))


@pytest.fixture
def dataset() -> Dataset:
    samples = tuple(Sample(path, int(path[2]), "ab".index(path[0]), -1, "all") for path in sorted(POINTS))
    return Dataset("made-up", Path("made-up"), samples, (PROTOCOL,), draws=DRAWS)


def features(points: dict[str, float]) -> Features:
    """On a circle, so that dot products fall with the distance."""
    angle = torch.tensor(list(points.values())) / 4
    return Features(tuple(points), torch.stack([angle.cos(), angle.sin()], 1))


def test_the_mean_over_divisions(dataset: Dataset) -> None:
    # split-0: ranks 1, 1. split-1: a/1 finds b/1 at 1; a/3 finds b/3 (1.2) before b/1 (1.1): 1. split-2: from b/3 (1.2) a/2 is 0.8
    # off, a/0 1.2, a/3 1.8: rank 3; b/2: a/2 is first; b/0: a/0 is first.
    found = evaluate_protocol(dataset, PROTOCOL, features(POINTS), resamples=0)
    each = {name: (part.metrics.R1, part.metrics.mAP) for name, part in found.divisions.items()}
    assert each == {"split-0": (1, 1), "split-1": (1, 1), "split-2": (pytest.approx(2 / 3), pytest.approx((1 + 1 + 1 / 3) / 3))}
    assert pytest.approx((1 + 1 + 2 / 3) / 3) == found.metrics.R1 and found.metrics.mAP == pytest.approx((1 + 1 + 7 / 9) / 3)
    assert (found.metrics.queries, found.metrics.valid, found.metrics.gallery) == (2, 2, 2)  # 7 / 3, rounded
    assert found.metrics.R1_interval is None


def test_the_interval_resamples_pictures_with_all_their_divisions(dataset: Dataset) -> None:
    found = evaluate_protocol(dataset, PROTOCOL, features(POINTS), resamples=500, seed=3)
    # a/1 is a query twice: it is one observation of twice the weight.
    values, weights = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]), np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    assert found.metrics.R1_interval == bootstrap_interval(values, 500, 3, weights=weights)
    precisions = np.array([1.0, 1.0, 1.0, 1 / 3, 1.0, 1.0])
    assert found.metrics.mAP_interval == pytest.approx(bootstrap_interval(precisions, 500, 3, weights=weights))


def test_the_mean_over_repeats_is_over_those_in_which_a_query_counts() -> None:
    def ranking(valid: list[bool]) -> Ranking:
        ranks = np.array([1 if known else 0 for known in valid])
        return Ranking(np.array(valid), ranks, ranks.astype(float), ranks.astype(float), ranks, 3)

    rankings = [ranking([True, False, False, True]), ranking([True, False, True, False])]
    values = [np.array([1.0, np.nan, np.nan, 0.25]), np.array([0.5, np.nan, 0.125, 1.0])]
    assert mean_over_repeats(rankings, values).tolist() == [0.75, 0.125, 0.25]


def test_weights_of_one_change_nothing_and_equal_weights_neither() -> None:
    values = np.random.default_rng(0).random(40)
    plain = bootstrap_interval(values, 300, 1)
    assert bootstrap_interval(values, 300, 1, weights=np.ones(40)) == pytest.approx(plain)
    assert bootstrap_interval(values, 300, 1, weights=np.full(40, 7.0)) == pytest.approx(plain)


def test_a_value_of_no_weight_in_comparison_hardly_counts() -> None:
    low, high = bootstrap_interval(np.array([0.0, 1.0]), 200, weights=np.array([1e9, 1.0]))
    assert low == pytest.approx(0, abs=1e-6) and high == 1.0  # only a resample without the first is not near 0


def test_features_are_needed_of_every_division(dataset: Dataset) -> None:
    assert {s.path for s in required_samples(dataset, (PROTOCOL,))} == set(POINTS)
    only = of_divisions((PROTOCOL,), [0])
    assert [s.path for s in required_samples(dataset, only)] == ["a/0", "a/1", "b/0", "b/1"]


def test_choosing_divisions(dataset: Dataset) -> None:
    fixed = Protocol("fixed", Rule.STD, "query", "gallery")
    assert of_divisions((PROTOCOL, fixed), []) == (PROTOCOL, fixed)
    chosen, same = of_divisions((PROTOCOL, fixed), [2, 0, 2])
    assert chosen.draws == ("split-0", "split-2") and same is fixed
    alone = evaluate_protocol(dataset, of_divisions((PROTOCOL,), [2])[0], features(POINTS), resamples=0)
    assert list(alone.divisions) == ["split-2"] and pytest.approx(2 / 3) == alone.metrics.R1 and alone.metrics.queries == 3
    for number in (3, -1):
        with pytest.raises(UserError, match=f"There is no split {number} under protocol general"):
            of_divisions((PROTOCOL,), [number])
    with pytest.raises(UserError, match="there are none under fixed"):
        of_divisions((fixed,), [0])


# ------------------------------------------------------------------------------------------------ one picture per person, at random
def classic(points: dict[str, float], repeats: int) -> tuple[Dataset, Protocol]:
    """Query and gallery are the same pictures; names are camera/person/number."""
    samples = tuple(Sample(path, int(path[2]), "ab".index(path[0]), -1, "all") for path in sorted(points))
    paths = tuple(s.path for s in samples)
    protocol = Protocol("classic", Rule.STD, "all", "all", single_shot_repeats=repeats, draws=("split-0",))
    return Dataset("made-up", Path("made-up"), samples, (protocol,), draws={"split-0": Draw((), paths, paths)}), protocol


def test_every_query_has_its_own_person_in_another_camera_to_find() -> None:
    points = {f"{camera}/{pid}/{n}": pid + 0.01 * n + 0.05 * k for pid in range(4) for k, camera in enumerate("ab") for n in range(3)}
    dataset, protocol = classic(points, 7)
    found = evaluate_protocol(dataset, protocol, features(points), resamples=0)
    rankings = found.divisions["split-0"].rankings
    assert len(rankings) == 7 and all(r.valid.all() and (r.matches == 1).all() for r in rankings)
    assert found.metrics.R1 == 1.0 and found.metrics.valid == 24


def test_a_person_of_one_camera_has_nothing_to_find() -> None:
    points = {"a/0/0": 0.0, "a/0/1": 0.1, "a/1/0": 1.0, "b/1/0": 1.1}
    dataset, protocol = classic(points, 5)
    found = evaluate_protocol(dataset, protocol, features(points), resamples=0)
    assert (found.metrics.queries, found.metrics.valid) == (4, 2)


def test_the_mean_over_many_draws_is_the_chance_of_all_galleries() -> None:
    """Against every gallery there can be: one picture of each other person, and one of its own before the other camera."""
    points = {"a/0/0": 0.0, "b/0/0": 0.3, "b/0/1": 0.9, "a/1/0": 0.5, "b/1/0": 1.4, "a/2/0": 0.2, "b/2/0": 2.0, "b/2/1": 0.7}
    dataset, protocol = classic(points, 4000)
    found = evaluate_protocol(dataset, protocol, features(points), resamples=0).metrics
    hits, precisions = [], []
    for query in points:
        own = [p for p in points if p[2] == query[2] and p[0] != query[0]]
        others = [[p for p in points if int(p[2]) == pid] for pid in range(3) if str(pid) != query[2]]
        ranks = []
        for mine, *rest in itertools.product(own, *others):
            ranks.append(1 + sum(abs(points[p] - points[query]) < abs(points[mine] - points[query]) for p in rest))
        hits.append(np.mean([rank == 1 for rank in ranks]))
        precisions.append(np.mean([1 / rank for rank in ranks]))
    assert pytest.approx(np.mean(hits), abs=0.01) == found.R1
    assert found.mAP == pytest.approx(np.mean(precisions), abs=0.01)


CROWDED = {f"{camera}/{pid}/{n}": (7 * pid + 3 * n + 5 * k) % 11 / 3 for pid in range(4) for k, camera in enumerate("ab") for n in range(3)}


@pytest.mark.parametrize("turn", [1, 2, 5])
def test_results_do_not_depend_on_the_order_of_the_data(turn: int) -> None:
    dataset, protocol = classic(CROWDED, 10)
    once = evaluate_protocol(dataset, protocol, features(CROWDED), resamples=0)
    paths = dataset.draws["split-0"].query
    query, gallery = paths[::-turn] + tuple(p for p in paths if p not in paths[::-turn]), paths[::-1]
    turned = dataclasses.replace(dataset, draws={"split-0": Draw((), query, gallery)})
    again = evaluate_protocol(turned, protocol, features(CROWDED), resamples=0)
    assert once.divisions["split-0"].galleries == again.divisions["split-0"].galleries
    one, other = ({s.path: tuple(r.first_rank[i] for r in e.rankings) for i, s in enumerate(e.query)} for e in (once, again))
    assert one == other and len({rank for ranks in one.values() for rank in ranks}) > 2
    shares = ("R1", "R5", "mAP", "mINP")
    assert [getattr(once.metrics, s) for s in shares] == pytest.approx([getattr(again.metrics, s) for s in shares])


def test_the_draws_are_those_that_the_protocol_fixes() -> None:
    """Drawn again in plain loops: galleries from seed 3, a query's other picture from seed 4, both over sorted paths."""
    dataset, protocol = classic(CROWDED, 6)
    found = evaluate_protocol(dataset, protocol, features(CROWDED), resamples=0).divisions["split-0"]
    at = dict(zip(CROWDED, features(CROWDED).matrix.tolist(), strict=True))

    def near(first: str, second: str) -> float:
        return float(np.dot(at[first], at[second]))

    first, second = random.Random(3), random.Random(4)
    for number, ranking in enumerate(found.rankings):
        gallery = [sorted(p for p in CROWDED if p[2] == str(pid))[int(first.random() * 6)] for pid in range(4)]
        assert [s.path for s in found.galleries[number]] == gallery
        for query, rank in zip(sorted(CROWDED), ranking.first_rank, strict=True):
            own = gallery[int(query[2])]
            if own[0] == query[0]:  # the same camera: ignored
                own = sorted(p for p in CROWDED if p[2] == query[2] and p[0] != query[0])[int(second.random() * 3)]
            others = [p for p in gallery if p[2] != query[2]]
            # Points a whole turn of the pattern apart are equal, or 1/3 apart.
            assert rank - 1 in {sum(near(query, p) > near(query, own) + slack for p in others) for slack in (1e-4, -1e-4)}


def test_pictures_drawn_again_are_ranked_by_distance_too() -> None:
    """On a line: everybody's pictures are nearer to each other than to anybody else's, so that every query finds its own first.

    Two people before one camera alone are far off, and only ever among the others: the pictures drawn again lie elsewhere in the mean.
    """
    points = {f"{camera}/{pid}/{n}": 20.0 * pid + n + 3 * k for pid in range(4) for k, camera in enumerate("ab") for n in range(2)}
    points |= {"a/4/0": 900.0, "a/5/0": -100.0}
    dataset, protocol = classic(points, 10)
    line = Features(tuple(points), torch.tensor(list(points.values()))[:, None], "distance")
    found = evaluate_protocol(dataset, protocol, line, resamples=0).divisions["split-0"]
    assert [set(ranking.first_rank[ranking.valid].tolist()) for ranking in found.rankings] == [{1}] * 10


def test_of_equals_the_one_that_was_drawn_for_another_is_ahead() -> None:
    """Person 1's query finds a picture of person 0 as close as its own, in every draw: those of the gallery and those drawn again."""
    points = {"a/0/0": 1.0, "b/0/0": 1.0, "a/1/0": 0.0, "b/1/0": 1.0}
    dataset, protocol = classic(points, 8)
    matrix = torch.tensor([[x, 1.0] for x in points.values()])  # dot products are exact
    found = evaluate_protocol(dataset, protocol, Features(tuple(points), matrix), resamples=0).divisions["split-0"]
    asked = [s.path for s in found.query].index("a/1/0")
    assert {items[1].path for items in found.galleries} == {"a/1/0", "b/1/0"}, "some draw gives the query itself"
    assert [int(r.first_rank[asked]) for r in found.rankings] == [2] * 8
