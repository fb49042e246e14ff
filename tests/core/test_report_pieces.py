"""The pieces of a report: escaping, ranked lists, groups of pairs, the choice of queries, thumbnails, settings side by side."""

from __future__ import annotations

import html.parser
import json
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reidclip.artifacts.store import Store
from reidclip.data.images import UInt8
from reidclip.evaluation.protocols import Features
from reidclip.records import Dataset, Rule, Sample
from reidclip.report.answers import Compared
from reidclip.report.choose import BEST, DIFFER, RANDOM, WORST, choose_queries
from reidclip.report.digits import digits_of
from reidclip.report.markup import element, json_block, text
from reidclip.report.origins import _settings_table, flat, settings_table
from reidclip.report.pair_distances import BINS, count_pairs
from reidclip.report.thumbnails import SIZES, brought_down, data_uri, thumbnails
from reidclip.stages.report_pictures import readers


# ------------------------------------------------------------------------------------------------------------------- escaping
class Reader(html.parser.HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=40)
NASTY = st.sampled_from(["</p><script>x</script>", "\"'><img src=x onerror=y>", "&amp;&lt;", "<!--", "]]>", "' onclick='z"])


@given(content=ANY_TEXT | NASTY, value=ANY_TEXT | NASTY)
def test_text_and_attributes_come_out_as_they_went_in(content: str, value: str) -> None:
    reader = Reader()
    reader.feed(element("p", content, title=value))
    reader.close()
    assert reader.tags == [("p", [("title", value)])] and reader.text == content


@given(value=st.recursive(ANY_TEXT | NASTY | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=6))
def test_data_cannot_leave_its_block(value: object) -> None:
    block = json_block({"x": value}, "d")
    inner = block.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert not set("<>&") & set(inner)
    assert json.loads(inner) == {"x": value}


def test_names_that_are_no_text_can_be_written() -> None:
    assert text("caf\udce9.jpg").encode() == b"caf\\udce9.jpg"
    assert element("img", src="a", hidden=True, alt=None, class_="b", data_x=3) == '<img src="a" hidden class="b" data-x="3">'


# -------------------------------------------------------------------------------------------------------------- ranked lists
def scene(seed: int, rule: Rule, *, width: int = 6, measure: str = "similarity", ties: bool = False) -> Compared:
    """12 queries and 30 gallery pictures of five people, in three outfits, under two cameras."""
    draw = np.random.default_rng(seed)
    sides = []
    for name, count in (("q", 12), ("g", 30)):
        pids, worn = draw.integers(0, 5, count), draw.integers(0, 3, count)
        sides.append([Sample(f"{name}{i}", int(pids[i]), int(draw.integers(0, 2)), int(pids[i] * 3 + worn[i]), name) for i in range(count)])
    rows = draw.integers(-1, 2, (42, width)) if ties else draw.normal(size=(42, width))
    matrix = torch.from_numpy(rows.astype(np.float32))
    matrix = matrix if ties or measure == "distance" else torch.nn.functional.normalize(matrix, dim=1)
    paths = tuple(s.path for side in sides for s in side)
    return Compared(*sides, Features(paths, matrix, measure), rule)  # type: ignore[arg-type]


def ignored(rule: Rule, q: Sample, g: Sample) -> bool:
    """The rule, typed from its definition."""
    if q.pid != g.pid or rule is Rule.NONE:
        return False
    same_camera, same_clothes = q.camid == g.camid, q.clothes_id == g.clothes_id
    return same_camera or {Rule.STD: False, Rule.CC: same_clothes, Rule.SC: not same_clothes}[rule]


def distance(compared: Compared, q: Sample, g: Sample) -> float:
    a, b = (compared.features.of([s])[0].double() for s in (q, g))
    return float(1 - a @ b) if compared.features.measure == "similarity" else float((a - b).norm())


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000), rule=st.sampled_from(list(Rule)), measure=st.sampled_from(["similarity", "distance"]), ties=st.booleans()
)
def test_lists_are_what_sorting_gives(seed: int, rule: Rule, measure: str, ties: bool) -> None:
    compared = scene(seed, rule, measure=measure, ties=ties)
    rows = [7, 0, 11]
    firsts = compared.first()
    for row, answers in zip(rows, compared.answers(rows, 10), strict=True):
        query = compared.query[row]
        kept = [(distance(compared, query, g), i) for i, g in enumerate(compared.gallery) if not ignored(rule, query, g)]
        wanted = sorted((round(d, 5) if ties else d, i) for d, i in kept)[:10]
        assert [a.row for a in answers] == [i for _, i in wanted]
        assert [a.distance for a in answers] == pytest.approx([d for d, _ in wanted], abs=1e-4)
        assert [a.match for a in answers] == [compared.gallery[i].pid == query.pid for _, i in wanted]
        assert firsts[row] == wanted[0][1]


@pytest.mark.parametrize(
    ("distances", "digits"),
    [
        ([0.1, 0.4, 0.9], 3),
        ([3.0, 12.5], 3),
        ([0.30, 0.32, 0.35], 4),
        ([0.00212, 0.00287, 0.00291], 6),
        ([0.5, 0.50001], 7),
        ([0.0, 1e-12], 7),
        ([0.002, 0.002], 5),
        ([0.0, 0.0], 3),
        ([-2e-9], 7),
        ([], 3),
    ],
)
def test_distances_have_digits_enough_for_their_range(distances: list[float], digits: int) -> None:
    """A hundredth of 0.8 needs 3, of 0.05 4, of 0.00079 6."""
    assert digits_of(distances) == digits


# ------------------------------------------------------------------------------------------------------------- pairs
@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("measure", ["similarity", "distance"])
def test_pairs_are_counted_in_three_groups(rule: Rule, measure: str) -> None:
    compared = scene(3, rule, measure=measure)
    groups: tuple[list[float], ...] = ([], [], [])
    for q in compared.query:
        for g in compared.gallery:
            if not ignored(rule, q, g):
                groups[2 if q.pid != g.pid else int(q.clothes_id != g.clothes_id)].append(distance(compared, q, g))
    found = count_pairs(compared)
    assert found is not None and found.counts.shape == (3, BINS) and found.clothes_known
    everything = [value for group in groups for value in group]
    assert (found.edges[0], found.edges[-1]) == pytest.approx((min(everything), max(everything)), abs=1e-4)
    for group, counts, mean in zip(groups, found.counts, found.means, strict=True):
        assert counts.sum() == len(group)
        assert (mean is None) == (not group) and (mean is None or mean == pytest.approx(np.mean(group), abs=1e-5))


def test_pairs_without_clothes_labels_are_not_told_apart() -> None:
    whole = scene(3, Rule.STD)
    bare = [[Sample(s.path, s.pid, s.camid, -1, s.split) for s in side] for side in (whole.query, whole.gallery)]
    found, known = count_pairs(Compared(*bare, whole.features, Rule.STD)), count_pairs(whole)
    assert found is not None and known is not None and not found.clothes_known
    assert found.counts[1].sum() == 0 and found.counts[0].sum() == known.counts[:2].sum()


# ------------------------------------------------------------------------------------------------------------ choice
def test_best_and_worst_are_that() -> None:
    precision = np.linspace(0, 1, 101)[None]
    tags = choose_queries(precision, np.zeros((1, 101), np.bool_), 20)
    assert len(tags) == 20
    assert [row for row, names in tags.items() if WORST in names] == [0, 1, 2, 3, 4]
    assert [row for row, names in tags.items() if BEST in names] == [96, 97, 98, 99, 100]
    assert DIFFER not in {name for names in tags.values() for name in names}


@given(seed=st.integers(0, 1000), count=st.integers(1, 40), evaluations=st.integers(1, 3))
def test_the_choice_has_its_size_and_leaves_out_what_has_no_match(seed: int, count: int, evaluations: int) -> None:
    draw = np.random.default_rng(seed)
    precision = draw.random((evaluations, 30))
    precision[:, 4:9] = np.nan
    other = draw.random((evaluations, 30)) < 0.2
    tags = choose_queries(precision, other, count, seed)
    assert not set(range(4, 9)) & set(tags) and list(tags) == sorted(tags)
    assert min(count, 25) <= len(tags) <= max(count, 5)
    assert any(RANDOM in names for names in tags.values())
    assert tags == choose_queries(precision, other, count, seed)


def test_random_queries_do_not_look_at_results() -> None:
    """A quarter is drawn before anything is known of the results: turned round, these give the same rows."""

    def drawn(precision: np.ndarray) -> set[int]:
        tags = choose_queries(precision[None], np.zeros((1, 50), np.bool_), 20, seed=5)
        return {row for row, names in tags.items() if RANDOM in names}

    ascending = np.linspace(0, 1, 50)
    assert len(drawn(ascending) & drawn(ascending[::-1]) & drawn(np.full(50, 0.5))) >= 5


def test_queries_found_in_other_clothes_and_those_that_differ_are_among_them() -> None:
    precision = np.tile(np.linspace(0.4, 0.6, 200), (2, 1))
    precision[0, 117] = 1.0
    other = np.zeros((2, 200), np.bool_)
    other[1, 63] = True
    tags = choose_queries(precision, other, 20)
    assert 63 in tags and DIFFER in tags[117]


# ------------------------------------------------------------------------------------------------------------ thumbnails
def noisy(number: int, height: int = 300, width: int = 120) -> Callable[[], UInt8]:
    return lambda: np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_thumbnails_shrink_until_they_fit_and_never_take_more() -> None:
    pictures = [noisy(i) for i in range(12)]
    plenty, height = thumbnails(pictures, 10_000_000)
    assert height == SIZES[0][0] and all(plenty)
    most = sum(len(uri or "") for uri in plenty) // 3
    smaller, height = thumbnails(pictures, most)
    assert height < SIZES[0][0] and all(smaller) and sum(len(uri or "") for uri in smaller) <= most
    least = len(data_uri(pictures[0](), *SIZES[-1]))
    few, height = thumbnails(pictures, least * 5)
    assert height == SIZES[-1][0] and 3 <= sum(uri is not None for uri in few) <= 6
    assert sum(len(uri or "") for uri in few) <= least * 5 and few[-1] is None
    assert thumbnails([], 100) == ([], SIZES[0][0])


def test_no_two_pictures_are_held_at_a_time_and_none_is_decoded_twice() -> None:
    """A picture may be 64 million pixels large."""
    held: list[weakref.ref[UInt8]] = []

    def read() -> UInt8:
        assert all(one() is None for one in held)
        picture = noisy(len(held), 40, 20)()
        held.append(weakref.ref(picture))
        return picture

    thumbnails([read] * 60, 10_000_000)
    assert len(held) == 60
    held.clear()
    assert thumbnails([read] * 60, 1)[0] == [None] * 60 and len(held) <= 41


@pytest.mark.parametrize(
    ("size", "wanted"), [((300, 120), (160, 64)), ((100, 1000), (32, 320)), ((160, 300), (160, 300)), ((9, 4), (9, 4))]
)
def test_pictures_are_brought_down_whole(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """To the height, and to twice the height across; the upper half stays above."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[: size[0] // 2] = 200
    small = brought_down(picture, 160)
    assert small.shape[:2] == wanted and small[0].mean() > 190 and small[-1].mean() < 10


def test_large_jpegs_are_not_decoded_whole(tmp_path: Path) -> None:
    Image.fromarray(noisy(0, 1400, 560)()).save(tmp_path / "a.jpg")
    sample = Sample("a.jpg", 0, 0, 0, "query")
    (read,) = readers(Dataset("folder", tmp_path, (sample,)), [sample], [], Store(tmp_path / "store"), print)
    assert read().shape == (350, 140, 3)  # a quarter: twice a thumbnail's height, or more


def test_small_pictures_are_not_blown_up() -> None:
    assert len(data_uri(noisy(1, 20, 10)(), 160, 80)) < len(data_uri(noisy(1, 200, 100)(), 160, 80))


# ------------------------------------------------------------------------------------------------------------ settings
def test_settings_side_by_side() -> None:
    assert flat({"a": 1, "b": {"c": [1, 2], "d": None, "e": {}}}) == {"a": "1", "b.c": "1, 2", "b.d": ""}
    table = settings_table("t", ("x", "y"), ({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "z": "<"}))
    assert table.rows == (("a", ("1", "")), ("b.c", ("2", "3")), ("z", ("", "<")))


def test_what_was_never_trained_differs_in_no_setting_of_a_training() -> None:
    trained = {"precision": "bf16", "epochs": 3}
    table = settings_table("Training", ("a", "b", "zero-shot"), (trained, trained | {"epochs": 4}, None))
    told = str(_settings_table(table, True))
    assert told.count('class="differs"') == 1 and told.count('class="same"') == 1
    assert told.index('class="same"') < told.index("precision") < told.index('class="differs"') < told.index("epochs")
