"""Search over a gallery of a million vectors: exact and by a graph, on two threads.

Vectors are synthetic and clustered as those of people are: 20,000 people, each a point of a 64-dimensional space that a random matrix
puts into 512 dimensions, seen in pictures that differ from it by noise of 0.6 of its length, all of unit length. (A graph over random
isotropic vectors finds little at any effort, and no encoder gives such vectors.) Queries are further pictures of the same people.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from reidclip.gallery.faiss_index import INDEX, FaissSettings
from reidclip.gallery.faiss_session import FaissSession
from tests.bench.row import Row, seconds

WIDTH, LATENT, PEOPLE, NOISE, BLOCK = 512, 64, 20_000, 0.6, 20_000
THREADS, BATCH, TOP = 2, 32, 10
HNSW = FaissSettings(kind="hnsw", links=16, ef_construction=40, ef_search=32, min_recall=0.97)


def main(quick: bool) -> list[Row]:
    """Times per query, builds, recall, files and memory."""
    count = 20_000 if quick else 1_000_000
    faiss.omp_set_num_threads(THREADS)
    queries = pictures(np.random.default_rng(7), 320)
    with tempfile.TemporaryDirectory() as folder:
        exact, truth = _exact(Path(folder), count, queries, quick)
        graph = _graph(Path(folder), count, queries, truth, quick)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
    return [*exact, *graph, Row("peak memory of all of it", peak, "GiB", note="files mapped into memory count as far as they are there")]


def people() -> tuple[np.ndarray, np.ndarray]:
    """Points of the people (P, LATENT), and the matrix (LATENT, WIDTH) that puts them among vectors."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((PEOPLE, LATENT), dtype=np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True), rng.standard_normal((LATENT, WIDTH), dtype=np.float32) / LATENT**0.5


def pictures(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, WIDTH) float32 of unit length, of people at random."""
    points, matrix = people()
    noise = rng.standard_normal((count, LATENT), dtype=np.float32) * (NOISE / LATENT**0.5)
    found: np.ndarray = (points[rng.integers(0, PEOPLE, count)] + noise) @ matrix
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def blocks(count: int) -> Iterator[np.ndarray]:
    """A gallery of so many, piece by piece."""
    for start in range(0, count, BLOCK):
        yield pictures(np.random.default_rng([1, start]), min(BLOCK, count - start))


def _exact(folder: Path, count: int, queries: np.ndarray, quick: bool) -> tuple[list[Row], np.ndarray]:
    place = folder / "flat"
    place.mkdir()
    built = seconds(lambda: INDEX.build(blocks(count), WIDTH, "similarity", FaissSettings(), place))
    session = INDEX.open(place)
    session.search(queries[:BATCH], TOP)  # the files come into memory
    times, found = [], []
    worked = time.process_time()
    for start in range(0, len(queries), BATCH):
        part = queries[start : start + BATCH]
        times.append(seconds(lambda part=part: found.append(session.search(part, TOP)[1])) / len(part))  # type: ignore[misc]
    note = f"{1000 * (time.process_time() - worked) / len(queries):.0f} ms of processor time"
    third = np.random.default_rng(3).random(count) < 1 / 3
    filtered = seconds(lambda: session.search(queries[:BATCH], TOP, third)) / BATCH
    one = seconds(lambda: session.search(queries[:1], TOP))
    size = f"{count:,} x {WIDTH}"
    rows = [
        Row(
            f"exact top-{TOP}, {size}, per query of batches of {BATCH}",
            1000 * float(np.median(times)),
            "ms",
            None if quick else 150,
            False,
            note,
        ),
        Row("exact, a third of the rows may answer, per query", 1000 * filtered, "ms"),
        Row("exact, one query alone", 1000 * one, "ms"),
        Row("build, exact", built, "s", note="with making the vectors"),
    ]
    return rows, np.concatenate(found)


def _graph(folder: Path, count: int, queries: np.ndarray, truth: np.ndarray, quick: bool) -> list[Row]:
    place = folder / "hnsw"
    place.mkdir()
    built = seconds(lambda: INDEX.build(blocks(count), WIDTH, "similarity", HNSW, place))
    session: FaissSession = INDEX.open(place)
    assert session.graph is not None
    session.search(queries[:1], TOP)
    times, hits = [], []
    for query, right in zip(queries, truth, strict=True):
        found: list[np.ndarray] = []
        times.append(seconds(lambda query=query, found=found: found.append(session.search(query[None], TOP)[1][0])))  # type: ignore[misc]
        hits.append(np.isin(right, found[0]).mean())
    files = sum(path.stat().st_size for path in place.iterdir()) / (1 << 30)
    note = f"links {HNSW.links}, ef_construction {HNSW.ef_construction}, ef_search {session.graph.effort}"
    return [
        Row(f"HNSW top-{TOP}, one query", 1000 * float(np.median(times)), "ms", None if quick else 5, False, note),
        Row(f"HNSW recall@{TOP} against exact", float(np.mean(hits)), "", None if quick else 0.95, True, "320 queries that are not in it"),
        Row("build, HNSW", built, "s", note="with its recall measured"),
        Row("files, HNSW", files, "GiB"),
    ]
