"""Gallery indexes of the library faiss (Douze et al., 2024, arXiv 2401.08281): exact by default, IVF and HNSW on request.

Files: the vectors (`reidclip.gallery.segments`), ``faiss.json``, and of an approximate index ``graph.faiss``, which holds HNSW's graph
without its vectors, or IVF's lists. faiss' own reader trusts its file: callers verify the digest before `FaissIndex.open`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from reidclip.errors import WorkError
from reidclip.gallery.exact import Measure
from reidclip.gallery.faiss_graph import Graph, load_graph, make_graph, tuned
from reidclip.gallery.faiss_session import FaissSession
from reidclip.gallery.segments import Segments, extended, write
from reidclip.settings import Settings

ABOUT_FILE, RECALL_FILE = "faiss.json", "recall.json"
MOST_FILES, MOST_REMOVED = 64, 0.25  # beyond these an extended index is written anew: small files, and a graph of the gone, cost time


class FaissSettings(Settings):
    """How vectors are searched."""

    kind: Literal["flat", "ivf", "hnsw"] = Field(
        "flat",
        description="flat: exact, all vectors compared. hnsw: a graph, milliseconds over millions, some answers missed. ivf: lists around "
        "centroids, quicker to build.",
    )
    links: int = Field(32, ge=4, le=128, description="hnsw: links per vector (M); more find more, and take memory.")
    ef_construction: int = Field(100, ge=8, le=2000, description="hnsw: candidates while the graph is built.")
    ef_search: int = Field(64, ge=1, le=4096, description="hnsw: candidates of a query; raised until min_recall is reached.")
    lists: int = Field(0, ge=0, description="ivf: number of lists; 0: 4 sqrt(N).")
    probes: int = Field(8, ge=1, description="ivf: lists that a query looks into; raised until min_recall is reached.")
    min_recall: float = Field(
        0.95, ge=0, le=1, description="recall@10 against exact search that an approximate index should have, over a sample of its vectors."
    )
    recall_queries: int = Field(200, ge=1, description="Vectors of that sample.")


class FaissIndex:
    """The plugin."""

    name = "faiss"
    title = "faiss: embedded, exact (flat) by default, HNSW and IVF on request"
    settings = FaissSettings
    needs = ("faiss",)

    def build(self, vectors: Iterator[np.ndarray], width: int, measure: Measure, settings: Any, folder: Path) -> None:
        """See `reidclip.interfaces.GalleryIndex`."""
        import faiss  # noqa: F401 - what is missing is told before anything is written

        chosen = FaissSettings.model_validate(settings.model_dump())
        _write_about(folder, chosen, measure, make_graph(write(folder, width, vectors), measure, chosen))

    def extend(self, old: Path, vectors: Iterator[np.ndarray], removed: np.ndarray, folder: Path) -> None:
        """See `reidclip.interfaces.GalleryIndex`. Removed vectors of a graph stay in it, unanswered, until they are a quarter."""
        before, (settings, measure, _) = Segments.read(old), _read_about(old)
        gone = len(before.removed) + len(removed)
        if len(before.names) >= MOST_FILES or not before.total or (settings.kind != "flat" and gone > MOST_REMOVED * before.total):
            self.build(_rest_and(before, removed, vectors), before.width, measure, settings, folder)
            return
        segments = extended(before, folder, removed, vectors, keep_places=settings.kind != "flat")
        if settings.kind == "flat":
            _write_about(folder, settings, measure, None)
            return
        graph = load_graph(old, before, settings)
        if graph.add(segments.blocks_from(before.total)):
            graph.save(folder)
            _write_about(folder, settings, measure, tuned(graph, segments, measure, settings))
        else:
            _write_about(folder, settings, measure, make_graph(segments, measure, settings))

    def open(self, folder: Path) -> FaissSession:
        """See `reidclip.interfaces.GalleryIndex`."""
        segments, (settings, measure, effort) = Segments.read(folder), _read_about(folder)
        graph = None if settings.kind == "flat" or not segments.total else load_graph(folder, segments, settings)
        if graph is not None:
            graph.effort = effort
        return FaissSession(segments, measure, graph)


def _rest_and(old: Segments, removed: np.ndarray, vectors: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    rest = np.setdiff1d(np.arange(old.count), removed, assume_unique=True)
    for start in range(0, len(rest), 65_536):
        yield old.at(old.places(rest[start : start + 65_536]))
    yield from vectors


def _write_about(folder: Path, settings: FaissSettings, measure: Measure, graph: Graph | None) -> None:
    told = {
        "settings": settings.model_dump(mode="json"),
        "measure": measure,
        "effort": graph.effort if graph else 0,
    }
    if graph and graph.recall:
        (folder / RECALL_FILE).write_text(json.dumps(graph.recall, indent=1) + "\n", encoding="utf-8")
    (folder / ABOUT_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _read_about(folder: Path) -> tuple[FaissSettings, Measure, int]:
    try:
        told = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
        measure: Measure = "similarity" if told["measure"] == "similarity" else "distance"
        return FaissSettings.model_validate(told["settings"]), measure, int(told["effort"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"{folder / ABOUT_FILE} does not describe an index: {error}.", "Build the index again.") from error


INDEX = FaissIndex()
