"""Approximate indexes of faiss: HNSW (Malkov, Yashunin, TPAMI 2020) and inverted lists, measured against exact search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reidclip.errors import WorkError
from reidclip.gallery.exact import Measure, nearest
from reidclip.gallery.segments import Segments

if TYPE_CHECKING:
    from reidclip.gallery.faiss_index import FaissSettings

GRAPH_FILE = "graph.faiss"
_AT = 10  # recall@10
_TRAINING = 100_000  # vectors that IVF's centroids are learned from, at most
_MOST_EFFORT = 4096
_OUTGROWN = 1000  # vectors per list of IVF, on average: beyond it more lists are learned


@dataclass
class Graph:
    """An approximate index over places in `Segments`.

    Attributes:
        kind: "hnsw" or "ivf".
        index: faiss'.
        effort: candidates of a query (efSearch), or lists that it looks into (nprobe).
        recall: what `tuned` measured.
    """

    kind: str
    index: Any
    effort: int
    recall: dict[str, Any] | None = field(default=None)

    def parameters(self, selector: Any = None, effort: int | None = None) -> Any:
        """faiss' search parameters."""
        faiss = _faiss()
        given = {"sel": selector} if selector is not None else {}
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=effort or self.effort, **given)
        return faiss.SearchParametersIVF(nprobe=min(effort or self.effort, self.index.nlist), **given)

    def search(self, queries: np.ndarray, count: int, selector: Any = None, effort: int | None = None) -> np.ndarray:
        """(Q, count) places, -1 where there were no more."""
        tried = max(effort or self.effort, count) if self.kind == "hnsw" else effort or self.effort
        _, places = self.index.search(queries, count, params=self.parameters(selector, tried))
        found: np.ndarray = places
        return found

    def add(self, blocks: Iterable[np.ndarray]) -> bool:
        """Add vectors; False where the index has to be made anew, for it has outgrown its centroids."""
        for block in blocks:
            self.index.add(np.ascontiguousarray(block))
        return self.kind == "hnsw" or self.index.ntotal <= max(_OUTGROWN, self.index.nlist / 8) * self.index.nlist

    def save(self, folder: Path) -> None:
        """Into a draft's folder; HNSW's vectors are in the segments already."""
        faiss = _faiss()
        faiss.write_index(self.index, str(folder / GRAPH_FILE), faiss.IO_FLAG_SKIP_STORAGE if self.kind == "hnsw" else 0)


def make_graph(segments: Segments, measure: Measure, settings: FaissSettings) -> Graph | None:
    """Build, save beside the segments and tune an index of the settings' kind; None for "flat" and for no vectors at all."""
    faiss = _faiss()
    if settings.kind == "flat" or not segments.total:
        return None
    metric = faiss.METRIC_INNER_PRODUCT if measure == "similarity" else faiss.METRIC_L2
    if settings.kind == "hnsw":
        index = faiss.IndexHNSWFlat(segments.width, settings.links, metric)
        index.hnsw.efConstruction = settings.ef_construction
        graph = Graph("hnsw", index, settings.ef_search)
    else:
        lists = min(settings.lists or round(4 * segments.total**0.5), max(1, segments.total // 39))  # faiss wants 39 to learn one from
        coarse = faiss.IndexFlatIP(segments.width) if measure == "similarity" else faiss.IndexFlatL2(segments.width)
        index = faiss.IndexIVFFlat(coarse, segments.width, lists, metric)
        coarse.this.disown()
        index.own_fields = True  # the index frees its centroids
        index.cp.seed, index.cp.verbose = 1234, False
        index.train(_sample(segments, _TRAINING))
        graph = Graph("ivf", index, min(settings.probes, lists))
    graph.add(segments.blocks_from(0))
    graph.save(segments.folder)
    return tuned(graph, segments, measure, settings)


def load_graph(folder: Path, segments: Segments, settings: FaissSettings) -> Graph:
    """What `Graph.save` wrote, with its vectors.

    Raises:
        WorkError: faiss cannot read it, or it holds another number of vectors.
    """
    faiss = _faiss()
    path = folder / GRAPH_FILE
    try:
        index = faiss.read_index(str(path))
        if settings.kind == "hnsw":
            storage = faiss.IndexFlat(segments.width, index.metric_type)
            for block in segments.blocks_from(0):
                storage.add(np.ascontiguousarray(block))
            index.storage = storage
            index.own_fields = True
            storage.this.disown()
    except RuntimeError as error:
        raise WorkError(f"{path} is no index that faiss can read: {str(error).splitlines()[0]}.", "Build the index again.") from error
    if index.ntotal != segments.total or index.d != segments.width:
        raise WorkError(
            f"{path} holds {index.ntotal} vectors of {index.d} numbers, the files beside it {segments.total}.", "Build it again."
        )
    return Graph(settings.kind, index, settings.ef_search if settings.kind == "hnsw" else settings.probes)


def tuned(graph: Graph, segments: Segments, measure: Measure, settings: FaissSettings) -> Graph:
    """Measure recall@10 against exact search, and double the effort until it is `min_recall`, or all there is was tried.

    Queries are vectors of the gallery, spread over it, that do not answer for themselves. A graph leads to its own vectors more surely than
    to what it never saw: for new pictures recall is lower.
    """
    rows = np.unique(np.linspace(0, segments.count - 1, settings.recall_queries).astype(np.int64)) if segments.count else np.zeros(0, int)
    count = min(_AT, segments.count - 1)
    if count < 1:
        return graph
    queries = segments.at(segments.places(rows))
    _, truth = nearest(segments, queries, count + 1, measure)
    gone = _selector_without(segments)
    most = _MOST_EFFORT if graph.kind == "hnsw" else graph.index.nlist
    while True:
        found = segments.numbers(graph.search(queries, count + 1, gone))
        recall = float(np.mean([_share(_others(t, r, count), _others(f, r, count)) for r, t, f in zip(rows, truth, found, strict=True)]))
        if recall >= settings.min_recall or graph.effort >= most:
            break
        graph.effort = min(most, 2 * graph.effort)
    name = "ef_search" if graph.kind == "hnsw" else "probes"
    graph.recall = {"at": count, "recall": recall, "queries": len(rows), name: graph.effort, "wanted": settings.min_recall}
    return graph


def _others(answers: np.ndarray, row: int, count: int) -> np.ndarray:
    """The first answers that are not the row itself."""
    kept: np.ndarray = answers[answers != row][:count]
    return kept


def _share(truth: np.ndarray, found: np.ndarray) -> float:
    return float(np.isin(truth, found).mean())


def _selector_without(segments: Segments) -> Any:
    """faiss' selector of the rows that are left; None where all are."""
    return None if segments.live is None else selector_of(segments, np.ones(segments.count, dtype=bool))


def selector_of(segments: Segments, allowed: np.ndarray) -> Any:
    """faiss' selector of rows (N,) bool, as a bitmap over places."""
    faiss = _faiss()
    places = np.zeros(segments.total, dtype=bool)
    places[segments.places(np.flatnonzero(allowed))] = True
    bits = np.packbits(places, bitorder="little")
    selector = faiss.IDSelectorBitmap(segments.total, faiss.swig_ptr(bits))
    selector.bits = bits  # it does not keep the memory itself
    return selector


def _sample(segments: Segments, most: int) -> np.ndarray:
    rows = np.unique(np.linspace(0, segments.count - 1, min(most, segments.count)).astype(np.int64))
    return segments.at(segments.places(rows))


def _faiss() -> Any:
    """The library, whose type stubs do not know all of it."""
    import faiss

    return faiss
