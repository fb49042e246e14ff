"""A gallery that can be asked: an index artifact, opened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.store import Store
from reidclip.errors import UserError, WorkError, closest
from reidclip.gallery.about import BACKEND, IndexAbout
from reidclip.gallery.backends import backend_of
from reidclip.gallery.filters import Columns
from reidclip.gallery.items import ITEMS_FILE, Item, read_items
from reidclip.gallery.model import VectorModel
from reidclip.gallery.query import Filter, Hit
from reidclip.gallery.worn import WORN_FILE, Worn, load_worn, unlike
from reidclip.interfaces import IndexSession

if TYPE_CHECKING:
    import torch

    from reidclip.clip.inference import InferenceEncoder
    from reidclip.evaluation.settings import RerankSettings


class Gallery:
    """An index that is open, and what its rows are; a context manager, which closes it.

    Attributes:
        store, artifact: where it came from; ``artifact.ref`` names it.
        about: backend, model, recall, sources.
        items: N, by row.
        columns: of the items, as filters ask them.
    """

    def __init__(self, store: Store, artifact: Artifact, about: IndexAbout, items: tuple[Item, ...], session: IndexSession) -> None:
        self.store, self.artifact, self.about, self.items = store, artifact, about, items
        self._session = session

    @classmethod
    def open(cls, store: Store, ref: str | Artifact | None = None) -> Gallery:
        """Load an index, every file's digest verified first.

        Args:
            ref: the index, or its reference; None takes the newest.

        Raises:
            UserError: there is none. WorkError: a file is damaged, or a database does not answer.
        """
        artifact = ref if isinstance(ref, Artifact) else index_for(ref, store)
        about = IndexAbout.read(artifact)
        items = tuple(read_items(artifact.file(ITEMS_FILE)))
        if len(items) != about.count:
            raise WorkError(f"{artifact.path}: {about.count} rows, but {len(items)} items.", "Build the index again.")
        for name in artifact.files:
            if name.startswith(f"{BACKEND}/"):
                artifact.file(name)  # no library parses a file that was changed
        backend = backend_of(about.backend)
        return cls(store, artifact, about, items, backend.open(artifact.path / BACKEND))

    # ------------------------------------------------------------------------------------------------------------- what it is
    @property
    def model(self) -> VectorModel:
        """What made its vectors, and must make those of a query."""
        return self.about.model

    @property
    def root(self) -> Path:
        """The folder that the items' paths are relative to, as it was given."""
        return self.about.root

    @cached_property
    def columns(self) -> Columns:
        """What filters ask."""
        return Columns.of(self.items)

    @cached_property
    def worn(self) -> np.ndarray | None:
        """(N, C) descriptors of the items' clothes; None where the index keeps none."""
        return load_worn(self.artifact.file(WORN_FILE), len(self.items)) if WORN_FILE in self.artifact.files else None

    def wears(self, row: int) -> Worn:
        """What an item wears."""
        group = self.items[row].clothes_id
        return Worn(group) if self.worn is None else Worn.seen(group, self.worn[row])

    def allowed(self, wanted: Filter) -> np.ndarray | None:
        """(N,) bool of the rows that may answer; None where the filter lets all through."""
        passes = self.columns.allowed(wanted)
        if passes is None or not wanted.unlike or self.worn is None:
            return passes
        passes &= unlike(self.worn, wanted.unlike)
        return passes

    def row_of(self, key: str) -> int:
        """The row of an item's key, or of the former one (`Columns.find`); of several the first.

        Raises:
            UserError: there is none (with the nearest), or it is the end of several.
        """
        rows = self.columns.find(key)
        if not rows:
            near = closest(key, self.columns.rows) if len(self.columns.rows) <= 20_000 else ""
            raise UserError(f"Index {self.artifact.ref} holds no item '{key}'.", f"{near} Keys are paths relative to {self.root}.".lstrip())
        return rows[0]

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(R, D) float32 of these rows."""
        return self._session.vectors(np.asarray(rows, dtype=np.int64))

    def encoder(self, device: torch.device | str = "cpu", checkpoint: str | None = None) -> InferenceEncoder:
        """The encoder that made the vectors, from the store: see `reidclip.gallery.query_encoder.query_encoder`.

        Raises:
            UserError: it is gone, or what is there makes other vectors.
        """
        from reidclip.gallery.query_encoder import query_encoder

        return query_encoder(self.store, self.model, f"index {self.artifact.ref}", device, checkpoint)

    # ------------------------------------------------------------------------------------------------------------- asking it
    def search(
        self,
        vectors: np.ndarray,
        count: int = 10,
        filters: Filter | Sequence[Filter] = Filter(),  # noqa: B008 - frozen
        rerank: RerankSettings | None = None,
        expand: int = 0,
    ) -> list[list[Hit]]:
        """The nearest items of each query, nearest first.

        Args:
            vectors: (Q, D) float32, of `model`.
            count: answers per query; fewer come where fewer pass the filter.
            filters: one for all queries, or one for each.
            rerank: order the best candidates anew by k-reciprocal neighbours; None keeps the plain order.
            expand: ask again with the mean of each query and so many of its nearest; 0 does not.

        Returns:
            per query its hits.

        Raises:
            UserError: vectors of another length, or not one filter per query.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.model.width:
            told = " x ".join(map(str, vectors.shape))
            raise UserError(
                f"Index {self.artifact.ref} holds vectors of {self.model.width} numbers, not {told}.", "Ask with its own model."
            )
        each = [filters] * len(vectors) if isinstance(filters, Filter) else list(filters)
        if len(each) != len(vectors):
            raise UserError(f"{len(vectors)} queries, but {len(each)} filters.", "Give one filter for all queries, or one for each.")
        from reidclip.gallery.asking import ask

        found: list[list[Hit]] = [[] for _ in each]
        for wanted in dict.fromkeys(each):  # queries of one filter go together
            mine = [i for i, f in enumerate(each) if f == wanted]
            distances, rows = ask(self._session, vectors[mine], count, self.allowed(wanted), self.model, rerank, expand)
            for number, distance, row in zip(mine, distances, rows, strict=True):
                found[number] = [
                    Hit(rank, int(r), float(d), self.items[int(r)])
                    for rank, (d, r) in enumerate(zip(distance, row, strict=True), start=1)
                    if r >= 0
                ]
        return found

    # ------------------------------------------------------------------------------------------------------------- life
    def close(self) -> None:
        """Free what the index holds."""
        self._session.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def index_for(ref: str | None, store: Store) -> Artifact:
    """The index of a reference, else the newest.

    Raises:
        UserError: there is none.
    """
    found = store.newest("index") if ref is None else store.open(ref, kind="index")
    if found is None:
        raise UserError(f"There is no index in {store.root}.", "Build one: reidclip index build.")
    return found
