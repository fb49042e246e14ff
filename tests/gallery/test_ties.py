"""Frames that are all alike, and distances that float32 cannot tell apart: answers are those of a sort in float64, ties by row."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from reidclip.gallery import exact
from reidclip.gallery.exact import Measure, nearest
from reidclip.gallery.milvus_session import Collection, MilvusSession
from reidclip.gallery.segments import Segments, write

WIDTH, TOP = 16, 10


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_BLOCK", 500)
    monkeypatch.setattr(exact, "_AT_ONCE", 64)


def directions(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def kept(folder: Path, vectors: np.ndarray) -> Segments:
    return write(folder, vectors.shape[1], iter([vectors]))


@pytest.mark.parametrize("measure", ["similarity", "distance"])
@pytest.mark.parametrize("alike", [TOP + 4, 300, 3000])
def test_equal_vectors_come_by_row(tmp_path: Path, measure: Measure, alike: int) -> None:
    gallery, one = directions(4000, 0), directions(1, 1)
    rng = np.random.default_rng(alike)
    rows = np.sort(rng.choice(len(gallery), alike, replace=False))
    gallery[rows] = one
    segments, allowed = kept(tmp_path, gallery), rng.random(len(gallery)) < 0.7
    for asked in (1, 70):
        queries = np.repeat(one, asked, axis=0)
        assert (nearest(segments, queries, TOP, measure)[1] == rows[:TOP]).all()
        mine = rows[allowed[rows]][:TOP]
        distances, found = nearest(segments, queries, TOP, measure, allowed)
        assert (found[:, : len(mine)] == mine).all() and (np.diff(distances, axis=1) >= 0).all()


def rounded_to_the_worst(queries: np.ndarray, block: np.ndarray, k: int, metric: int) -> tuple[np.ndarray, np.ndarray]:
    """A blocked product whose sums are off by as much as float32 allows, in favour of rows that stand behind: (Q, k) values and rows."""
    q, v = queries.astype(np.float64), block.astype(np.float64)
    lean = np.linspace(-1, 1, len(block)) * (q.shape[1] * 2.0**-24)
    if metric == faiss.METRIC_INNER_PRODUCT:
        scores = -(q @ v.T + lean)
    else:
        scores = ((q[:, None] - v) ** 2).sum(axis=2) - lean * (np.linalg.norm(q, axis=1)[:, None] + np.linalg.norm(v, axis=1)) ** 2
    found = np.argsort(scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, found, 1).astype(np.float32)
    return -values if metric == faiss.METRIC_INNER_PRODUCT else values, found


@pytest.mark.parametrize("measure", ["similarity", "distance"])
@pytest.mark.parametrize("alike", [True, False])
def test_rounding_never_decides(tmp_path: Path, measure: Measure, alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 vectors at steps below what float32 can tell (or all the same) among others."""
    monkeypatch.setattr(faiss, "knn", rounded_to_the_worst)
    gallery, queries = directions(1200, 0).astype(np.float64), directions(3, 5)
    rows = np.sort(np.random.default_rng(1).choice(len(gallery), 100, replace=False))
    step = np.zeros(100) if alike else 1e-8 * np.random.default_rng(2).permutation(100)
    gallery[rows] = queries[0] + (0.3 + step)[:, None] * (queries[1] - queries[0])
    if measure == "similarity":
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    stored = gallery.astype(np.float32)
    sums = (stored.astype(np.float64) * queries[0].astype(np.float64)).sum(axis=1)
    gaps = ((stored.astype(np.float64) - queries[0].astype(np.float64)) ** 2).sum(axis=1)
    far = (1 - sums if measure == "similarity" else np.sqrt(gaps)).astype(np.float32)
    distances, found = nearest(kept(tmp_path, stored), queries, TOP, measure)
    right = np.argsort(far, kind="stable")[:TOP]
    assert set(right) <= set(rows) and found[0].tolist() == right.tolist() and np.array_equal(distances[0], far[right])


class Jumbled:
    """A client of Milvus whose answers come in an order of its own, as a database may give what is equally near."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def has_collection(self, name: str) -> bool:
        return True

    def load_collection(self, name: str) -> None:
        return None

    def query(self, name: str, **_: object) -> list[dict[str, int]]:
        return [{"count(*)": len(self.vectors)}]

    def search(self, name: str, queries: list[list[float]], **_: object) -> list[list[dict[str, object]]]:
        return [[{"row": r, "entity": {"vector": self.vectors[r].tolist()}} for r in (3, 0, 4, 1, 2)] for _ in queries]


def test_what_a_database_gives_is_put_in_order() -> None:
    vectors = directions(5, 0)
    vectors[[1, 3]] = vectors[4]
    session = MilvusSession(Jumbled(vectors), Collection("there", "c", 5, WIDTH, "similarity"))
    distances, rows = session.search(vectors[4:5], 4)
    nearer = min((0, 2), key=lambda row: -float(vectors[row] @ vectors[4]))
    assert rows[0].tolist() == [1, 3, 4, nearer] and (np.diff(distances[0]) >= 0).all()
