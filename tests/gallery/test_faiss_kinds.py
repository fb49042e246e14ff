"""HNSW and IVF: recall is measured and reached, filters lose nothing, removed rows never answer, files are shared between versions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import faiss
import numpy as np
import pytest

from reidclip.gallery import faiss_graph, faiss_session
from reidclip.gallery.exact import nearest
from reidclip.gallery.faiss_index import INDEX, FaissSettings
from reidclip.gallery.faiss_session import FaissSession

WIDTH = 24


@pytest.fixture(scope="module")
def gallery() -> np.ndarray:
    """600 people in five pictures each."""
    rng = np.random.default_rng(0)
    drawn = np.repeat(rng.standard_normal((600, WIDTH)), 5, axis=0) + 0.3 * rng.standard_normal((3000, WIDTH))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=["hnsw", "ivf"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def built(folder: Path, vectors: np.ndarray, **settings: object) -> Path:
    folder.mkdir()
    INDEX.build(iter([vectors]), WIDTH, "similarity", FaissSettings.model_validate(settings), folder)
    return folder


def share_found(session: FaissSession, queries: np.ndarray, allowed: np.ndarray | None = None) -> float:
    """Of the ten truly nearest."""
    _, right = nearest(session.segments, queries, 10, "similarity", allowed)
    _, rows = session.search(queries, 10, allowed)
    return float(np.mean([np.isin(r, f).mean() for r, f in zip(right, rows, strict=True)]))


def test_effort_rises_until_recall_is_reached(tmp_path: Path, gallery: np.ndarray, kind: str) -> None:
    wanted = {"kind": kind, "links": 4, "ef_construction": 8, "ef_search": 1, "probes": 1, "recall_queries": 100}
    low = json.loads((built(tmp_path / "low", gallery, **wanted, min_recall=0) / "recall.json").read_text())
    high = json.loads((built(tmp_path / "high", gallery, **wanted, min_recall=0.99) / "recall.json").read_text())
    effort = "ef_search" if kind == "hnsw" else "probes"
    assert low[effort] == 1 and low["recall"] < 0.99 <= high["recall"] and high[effort] > 1
    session = INDEX.open(tmp_path / "high")
    assert session.graph is not None and session.graph.effort == high[effort]
    assert share_found(session, gallery[::30]) >= 0.98  # other pictures than those of the sample


def test_recall_is_of_ten_answers_without_the_query_itself(tmp_path: Path, gallery: np.ndarray) -> None:
    """Counted by hand where 15 pictures are the same each time, so that some do not find themselves."""
    alike = np.tile(gallery[:40], (15, 1))
    place = built(tmp_path / "i", alike, kind="hnsw", links=4, ef_search=1, min_recall=0, recall_queries=600)
    session = INDEX.open(place)
    assert session.graph is not None
    found = session.graph.search(alike, 11)
    truth = [[r for r in range(row % 40, 600, 40) if r != row][:10] for row in range(600)]  # what is equally near, by row
    shares = [np.isin(t, [r for r in f if r != row][:10]).mean() for row, (t, f) in enumerate(zip(truth, found, strict=True))]
    assert any(row not in f and np.isin(truth[row], f[-1]).any() for row, f in enumerate(found))  # an eleventh would count
    assert json.loads((place / "recall.json").read_text())["recall"] == pytest.approx(np.mean(shares), abs=1e-9)


def test_lists_that_are_outgrown_are_learned_once(tmp_path: Path, gallery: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(tmp_path / "1", gallery[:400], kind="ivf")
    monkeypatch.setattr(faiss_graph, "_OUTGROWN", 1)
    written: list[str] = []
    write = faiss.write_index
    monkeypatch.setattr(faiss, "write_index", lambda index, path, flags: (written.append(path), write(index, path, flags)))
    (tmp_path / "2").mkdir()
    INDEX.extend(first, iter([gallery[400:]]), np.zeros(0, dtype=np.int64), tmp_path / "2")
    session = INDEX.open(tmp_path / "2")
    assert len(written) == 1 and session.graph is not None and session.graph.index.nlist > 10
    assert share_found(session, gallery[::30]) >= 0.9


@pytest.mark.parametrize("share", [0.01, 0.05, 0.4, 0.97])
def test_filters_lose_no_answers(tmp_path: Path, gallery: np.ndarray, kind: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_session, "FEW", 20)  # so that a small gallery takes the graph's way
    session = INDEX.open(built(tmp_path / "i", gallery, kind=kind, min_recall=1))
    allowed = np.random.default_rng(1).random(len(gallery)) < share
    _, rows = session.search(gallery[:40], 10, allowed)
    assert (rows >= 0).all() and allowed[rows].all()
    assert share_found(session, gallery[:40], allowed) >= 0.99


def test_removed_rows_never_answer(tmp_path: Path, gallery: np.ndarray, kind: str) -> None:
    first = built(tmp_path / "1", gallery, kind=kind, min_recall=1)
    gone = np.arange(0, 600, 2)
    (tmp_path / "2").mkdir()
    INDEX.extend(first, iter([]), gone, tmp_path / "2")
    session, left = INDEX.open(tmp_path / "2"), np.delete(gallery, gone, axis=0)
    _, rows = session.search(gallery[:50], 10)
    assert rows.max() < len(left)
    truth = np.argsort(-(gallery[:50] @ left.T), axis=1)[:, :10]
    assert np.mean([np.isin(t, r).mean() for t, r in zip(truth, rows, strict=True)]) >= 0.99
    assert np.array_equal(session.vectors(rows[0]), left[rows[0]])


def test_after_many_removals_the_graph_is_made_anew(tmp_path: Path, gallery: np.ndarray, kind: str) -> None:
    first = built(tmp_path / "1", gallery, kind=kind)
    (tmp_path / "2").mkdir()
    INDEX.extend(first, iter([]), np.arange(1000), tmp_path / "2")
    session = INDEX.open(tmp_path / "2")
    assert session.segments.total == session.segments.count == 2000


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_files_that_stay_are_shared(tmp_path: Path, gallery: np.ndarray, kind: str) -> None:
    first = built(tmp_path / "1", gallery[:2000], kind=kind, min_recall=1)
    (tmp_path / "2").mkdir()
    INDEX.extend(first, iter([gallery[2000:]]), np.zeros(0, dtype=np.int64), tmp_path / "2")
    assert os.path.samefile(first / "vectors-0001.npy", tmp_path / "2" / "vectors-0001.npy")
    assert share_found(INDEX.open(tmp_path / "2"), gallery[1990:2010]) >= 0.99
    assert INDEX.open(first).segments.count == 2000
