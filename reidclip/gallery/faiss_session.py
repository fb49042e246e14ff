"""An open index of faiss: exact search, or a graph that falls back to exact search where a filter leaves few rows."""

from __future__ import annotations

import numpy as np

from reidclip.gallery.exact import Measure, nearest, ordered
from reidclip.gallery.faiss_graph import Graph, selector_of
from reidclip.gallery.segments import Segments

FEW = 20_000  # rows: comparing all of them is as quick as walking a graph past those that may not answer
FEW_SHARE = 0.1  # of all rows: below it a graph's walk is mostly over rows that may not answer, and loses the others


class FaissSession:
    """`reidclip.interfaces.IndexSession`; ``graph`` is None for exact search."""

    def __init__(self, segments: Segments, measure: Measure, graph: Graph | None) -> None:
        self.segments, self.measure, self.graph = segments, measure, graph

    def search(self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `reidclip.interfaces.IndexSession`."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if self.graph is None or self._few(allowed, count):
            return nearest(self.segments, queries, count, self.measure, allowed)
        return self._approximate(self.graph, queries, count, allowed)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """See `reidclip.interfaces.IndexSession`."""
        return self.segments.at(self.segments.places(np.asarray(rows, dtype=np.int64)))

    def close(self) -> None:
        """See `reidclip.interfaces.IndexSession`."""
        self.graph = None
        self.segments.__dict__.pop("blocks", None)

    def _few(self, allowed: np.ndarray | None, count: int) -> bool:
        if allowed is None:
            return self.segments.count <= count
        left = int(np.count_nonzero(allowed))
        return left <= max(FEW, FEW_SHARE * self.segments.count, count)

    def _approximate(self, graph: Graph, queries: np.ndarray, count: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        selector, effort = None, graph.effort
        if allowed is not None or self.segments.live is not None:
            mask = np.ones(self.segments.count, dtype=bool) if allowed is None else allowed
            selector = selector_of(self.segments, mask)
            effort = round(effort * self.segments.total / max(1, int(np.count_nonzero(mask))))  # as many of those that may answer
        places = graph.search(queries, count, selector, effort)
        distances, rows = ordered(self.segments, queries, places, count, self.measure)
        short = np.flatnonzero((rows < 0).any(axis=1))  # it ran dry, though more rows may answer than are asked for
        if len(short):
            distances[short], rows[short] = nearest(self.segments, queries[short], count, self.measure, allowed)
        return distances, rows
