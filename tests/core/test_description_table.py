"""The inspection table of descriptions: every number against one worked out by hand, and choices that are the truth."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.bodies.mesh_set import BodyTable
from reidclip.bodies.phrases import MEASURES, PAIRS
from reidclip.evaluation.phrases import agreement, consistency, texts_alike
from reidclip.records import Dataset, Sample
from reidclip.stages import describe_table
from reidclip.stages.describe_table import table_of

PEOPLE = (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, -1)
"""Who is in each of twelve pictures; 3 has one, and nobody knows who is in the last."""


def dataset(root: Path = Path("/nowhere"), pids: tuple[int, ...] = PEOPLE, **changes: Any) -> Dataset:
    samples = tuple(Sample(f"{n}.png", pid, 0, pid, "train") for n, pid in enumerate(pids))
    return replace(Dataset("test", root, samples), **changes)


def tables(choices: np.ndarray, leaning: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """All pairs alike: (N,) choices, and s1 - s2 or 0.2 in favour of the choice; texts at a right angle."""
    lean = np.where(choices == 0, 0.2, -0.2) if leaning is None else leaning
    scores = np.stack([0.5 + lean / 2, 0.5 - lean / 2], axis=-1)
    wide = np.repeat(scores[:, None], len(PAIRS), axis=1).astype(np.float32)
    texts = np.tile(np.array([[[3.0, 0.0], [0.0, 0.5]]], np.float32), (len(PAIRS), 1, 1))
    return {"choices": np.repeat(choices[:, None], len(PAIRS), axis=1), "scores": wide, "texts": texts}


def with_bodies(monkeypatch: pytest.MonkeyPatch, choices: np.ndarray, rows: dict[str, int]) -> None:
    people = len(choices)
    table = BodyTable(
        "anny", "1", np.zeros((people, 2), np.float32), choices, {m: np.zeros(people) for m in MEASURES}, dict.fromkeys(MEASURES, 0.0), rows
    )
    monkeypatch.setattr(describe_table, "open_bodies", lambda root: table)


@pytest.fixture
def without_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe_table, "open_bodies", lambda root: None)


def table(choices: list[int], leaning: list[float] | None = None, **changes: Any) -> Any:
    data = dataset(**changes)
    names = [s.path for s in data.samples]
    return table_of(names, tables(np.array(choices), None if leaning is None else np.array(leaning)), data)


# ------------------------------------------------------------------------------------------------------------ how phrases spread
@pytest.mark.usefixtures("without_bodies")
def test_shares_margin_texts_and_consistency() -> None:
    found = table([0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1], [0.3, 0.1, 0.1, -0.1, 0.2, -0.2, -0.2, -0.2, 0.1, -0.1, 0.4, -0.4])
    assert (found.pictures, found.people, len(found.pairs)) == (12, 0, 16)
    for pair, known in zip(found.pairs, PAIRS, strict=True):
        assert (pair.first, pair.second, pair.agreement) == (known.first, known.second, None)
        assert pair.first_share == 6 / 12
        assert pair.margin == pytest.approx(2.4 / 12, abs=1e-7)
        assert pair.texts == pytest.approx(0)
        assert pair.consistency == pytest.approx((3 / 4 + 3 / 4 + 1 / 2) / 3)  # 3 has one picture, the last nobody's
        # First on 5 of the 10 pictures: by chance max(K, 4 - K) is 4, 3, 2, 3, 4 with 1, 4, 6, 4, 1 of 16; max(K, 2 - K) 2, 1, 2.
        by_chance = (2 * (4 * 2 + 3 * 8 + 2 * 6) / 16 / 4 + (2 * 2 + 1 * 2) / 4 / 2) / 3
        assert pair.consistency_chance == pytest.approx(by_chance)
    assert found.warnings == ()


@pytest.mark.usefixtures("without_bodies")
@pytest.mark.parametrize(("firsts", "degenerate"), [(96, True), (95, False), (5, False), (4, True)])
def test_a_pair_of_one_phrase_is_told(firsts: int, degenerate: bool) -> None:
    found = table([0] * firsts + [1] * (100 - firsts), pids=tuple(range(100)))
    assert found.pairs[3].degenerate == degenerate
    assert any("16 pairs have the same phrase on more than 95% of the pictures" in w for w in found.warnings) == degenerate
    assert found.pairs[3].consistency is None


@pytest.mark.usefixtures("without_bodies")
def test_texts_that_are_one_to_the_clip_are_told() -> None:
    data = dataset()
    given_tables = tables(np.zeros(12, np.int64))
    given_tables["texts"][1, 1] = 7 * given_tables["texts"][1, 0]
    given_tables["choices"][::2] = 1
    found = table_of([s.path for s in data.samples], given_tables, data)
    assert [pair.alike for pair in found.pairs[:3]] == [False, True, False]
    told = "The CLIP takes both phrases of 1 pair for the same text: broad-shouldered / narrow-shouldered."
    assert found.warnings == (told,)


def test_cosines_of_texts() -> None:
    texts = np.array([[[2.0, 0.0], [3.0, 0.0]], [[1.0, 0.0], [0.0, 5.0]], [[1.0, 1.0], [-2.0, -2.0]], [[1.0, 0.0], [3.0, 4.0]]])
    np.testing.assert_allclose(texts_alike(texts), [1, 0, -1, 0.6], atol=1e-12)


@pytest.mark.usefixtures("without_bodies")
def test_the_same_number_in_both_halves_is_two_people() -> None:
    samples = tuple(Sample(f"{n}.png", 4, 0, 0, "train" if n < 2 else "query") for n in range(4))
    for apart, expected in ((False, 1 / 2), (True, 1)):
        data = Dataset("test", Path("/nowhere"), samples, numbered_apart=apart)
        found = table_of([s.path for s in samples], tables(np.array([0, 0, 1, 1])), data)
        assert found.pairs[0].consistency == expected


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=40))
def test_consistency_against_all_ways_to_draw(rows: list[tuple[int, int]]) -> None:
    """By chance: summed over the choices of each person's pictures, one by one."""
    choices, people = np.array([c for c, _ in rows]), [p for _, p in rows]
    sizes = {p: people.count(p) for p in people if people.count(p) > 1}
    found, by_chance = consistency(choices, people)
    if not sizes:
        assert found is None and by_chance is None
        return
    own = {p: [c for c, q in rows if q == p] for p in sizes}
    assert found == pytest.approx(np.mean([max(c.count(0), c.count(1)) / len(c) for c in own.values()]))
    share = sum(c.count(0) for c in own.values()) / sum(sizes.values())
    if max(sizes.values()) <= 10:
        expected = []
        for size in sizes.values():
            ways = itertools.product((0, 1), repeat=size)
            expected.append(sum(max(w.count(0), w.count(1)) / size * share ** w.count(0) * (1 - share) ** w.count(1) for w in ways))
        assert by_chance == pytest.approx(np.mean(expected))


# ------------------------------------------------------------------------------------------------------------ against true bodies
def test_agreement_by_hand() -> None:
    """Person a (first): 3 of 4 right; b (first): 0 of 1; c (second): 2 of 2; people count once, and each truth as much as the other."""
    choices = np.array([0, 0, 0, 1, 1, 1, 1])
    leanings = np.array([0.4, 0.4, 0.4, -0.4, -0.3, -0.1, -0.2])
    found = agreement(choices, leanings, list("aaaabcc"), {"a": 0, "b": 0, "c": 1})
    assert found.accuracy == pytest.approx((3 / 4 + 0 + 1) / 3)
    assert found.balanced == pytest.approx(((3 / 4 + 0) / 2 + 1) / 2)
    assert found.chance == pytest.approx(2 / 3)
    assert found.auc == 1 / 2  # a leans 0.2 and b -0.3, against c's -0.15
    assert (found.people, found.pictures) == (3, 7)


def test_the_interval_is_over_people_not_pictures() -> None:
    """A thousand pictures of each of four people tell no more than four."""
    truth = {person: person % 2 for person in range(4)}
    choices = np.repeat([0, 1, 0, 0], 1000)  # 3 of 4 people right
    found = agreement(choices, np.where(choices == 0, 1.0, -1.0), np.repeat(range(4), 1000).tolist(), truth)
    assert found.accuracy == 3 / 4
    assert found.accuracy_interval == (0.25, 1.0)
    assert found.balanced_interval == (0.5, 1.0), "both of the first truth are right, one of two of the second"


def test_a_phrase_that_always_wins_is_at_one_half_for_certain() -> None:
    """However many people of either truth a draw holds, all of one are right and none of the other."""
    found = agreement(np.zeros(40, np.int64), np.ones(40), list(range(40)), {person: person % 2 for person in range(40)})
    assert (found.balanced, found.balanced_interval, found.auc) == (0.5, (0.5, 0.5), 0.5)
    assert found.accuracy_interval[0] < 0.5 < found.accuracy_interval[1]


def test_the_balanced_interval_is_the_normal_one() -> None:
    """100 people of one truth, right with 0.8, and 400 of the other, right with 0.5: variances of both means, over four."""
    truth = {person: int(person >= 100) for person in range(500)}
    right = np.concatenate([np.repeat([1, 0], [80, 20]), np.repeat([1, 0], [200, 200])])
    choices = np.where(right == 1, list(truth.values()), 1 - np.array(list(truth.values())))
    found = agreement(choices, 0.5 - choices, list(truth), truth)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100 + 0.5 * 0.5 / 400) / 2
    assert found.balanced == pytest.approx(0.65)
    assert found.balanced_interval == pytest.approx((0.65 - half, 0.65 + half), abs=0.006)


def test_ties_of_the_leanings_count_half() -> None:
    """Firsts lean 0, 1 and 2, seconds 1 and 1: of the six pairs two are won and two are ties."""
    found = agreement(np.zeros(5, np.int64), np.array([0.0, 1, 2, 1, 1]), list("abcde"), dict(zip("abcde", [0, 0, 0, 1, 1], strict=True)))
    assert found.auc == (2 + 2 / 2) / 6


def test_people_who_are_all_alike_have_no_balance() -> None:
    found = agreement(np.array([0, 1]), np.array([0.1, -0.1]), ["a", "b"], {"a": 0, "b": 0})
    assert (found.accuracy, found.chance, found.balanced, found.auc) == (0.5, 1.0, None, None)


@pytest.mark.parametrize(("oracle", "right"), [(True, 1.0), (False, 0.0)])
def test_choices_that_are_the_truth_are_right(oracle: bool, right: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """And their opposites are never; a picture without a body takes no part."""
    truth = np.random.default_rng(0).integers(0, 2, (4, len(PAIRS)))
    truth[:2] = [[0], [1]]  # so that no pair's people are all alike
    data = dataset()
    names = [s.path for s in data.samples]
    with_bodies(monkeypatch, truth, dict(zip(names[:11], PEOPLE[:11], strict=True)))
    choices = truth[np.array(PEOPLE[:11])]
    choices = np.concatenate([choices if oracle else 1 - choices, np.ones((1, len(PAIRS)), np.int64)])
    scores = np.stack([1.0 - choices, choices], axis=-1).astype(np.float32)
    found = table_of(names, {**tables(choices[:, 0]), "choices": choices, "scores": scores}, data)
    assert found.people == 4
    for pair in found.pairs:
        assert pair.consistency == 1
        agrees = pair.agreement
        assert agrees is not None and (agrees.people, agrees.pictures) == (4, 11)
        assert (agrees.accuracy, agrees.balanced, agrees.auc) == (right, right, right)
        assert agrees.accuracy_interval == (right, right)
        assert agrees.balanced_interval == pytest.approx((right, right))


def test_random_choices_are_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 people of 3 pictures: the 95 % intervals of the 16 pairs hold one half, but for one or two."""
    rng = np.random.default_rng(1)
    people = tuple(int(p) for p in np.repeat(range(400), 3))
    data = dataset(pids=people)
    names = [s.path for s in data.samples]
    with_bodies(monkeypatch, rng.integers(0, 2, (400, len(PAIRS))), dict(zip(names, people, strict=True)))
    leanings = rng.normal(size=(1200, len(PAIRS)))
    scores = np.stack([leanings, np.zeros_like(leanings)], axis=-1)
    found = table_of(names, {**tables(np.zeros(1200, np.int64)), "choices": (leanings < 0).astype(np.int64), "scores": scores}, data)
    agreements = [pair.agreement for pair in found.pairs]
    inside = [a for a in agreements if a.balanced_interval[0] <= 0.5 <= a.balanced_interval[1]]
    assert len(inside) >= 14
    assert all(abs(a.auc - 0.5) < 0.1 for a in agreements)
    assert all(abs(pair.consistency - pair.consistency_chance) < 0.03 for pair in found.pairs)


def test_joined_data_has_the_bodies_of_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 0 of either table is another person."""
    parts = {name: dataset(Path(f"/{name}"), (0, 1)) for name in ("one", "two")}
    samples = tuple(replace(s, path=f"{name}/{s.path}", domain=name) for name, part in parts.items() for s in part.samples)
    joined = Dataset("joined", Path("/"), samples, sources=parts)
    with_bodies(monkeypatch, np.array([[0] * 16, [1] * 16]), {"0.png": 0, "1.png": 1})
    found = table_of([s.path for s in samples], tables(np.array([0, 1, 0, 0])), joined)
    assert found.people == 4 and found.pairs[0].agreement is not None
    assert found.pairs[0].agreement.accuracy == 3 / 4
