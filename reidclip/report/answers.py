"""What a gallery answers to a query: its nearest items, those left out that the protocol ignores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.evaluation.protocols import Features
from reidclip.formulas.distances import closeness_to
from reidclip.records import Rule, Sample

_BLOCK_ELEMENTS = 1 << 24  # closeness values held at once


@dataclass(frozen=True, slots=True)
class Answer:
    """One item of a ranked list.

    Attributes:
        row: of the gallery.
        distance: 1 - cosine, or Euclidean, as the evaluation compares.
        match: of the query's person.
    """

    row: int
    distance: float
    match: bool


@dataclass(frozen=True)
class Compared:
    """Two sides of a protocol with the features of both.

    Attributes:
        query, gallery: samples.
        features: of all of them.
        rule: which gallery items are ignored.
    """

    query: Sequence[Sample]
    gallery: Sequence[Sample]
    features: Features
    rule: Rule

    def blocks(self, rows: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """(query rows, closeness (b, G) with -inf where an item is ignored), block by block."""
        queries, labels = self.features.of(self.query).float(), Labels.of(self.query)
        closeness = closeness_to(self.features.of(self.gallery).float(), self.features.measure)
        index = GalleryIndex(Labels.of(self.gallery))
        size = max(1, _BLOCK_ELEMENTS // len(self.gallery))
        for start in range(0, len(rows), size):
            part = list(rows[start : start + size])
            block = closeness(queries[part])
            chosen = Labels(labels.pids[part], labels.camids[part], labels.clothes[part])
            _, ignored = index.pairs(chosen, self.rule)
            block[torch.from_numpy(ignored.query), torch.from_numpy(ignored.gallery)] = -torch.inf
            yield part, block

    def first(self) -> NDArray[np.int64]:
        """(Q,) gallery row of each query's first answer; -1 where all are ignored."""
        found = np.full(len(self.query), -1, np.int64)
        for rows, block in self.blocks(range(len(self.query))):
            values = block.numpy()
            best = values.argmax(axis=1)  # of equal ones the first, as ranks count ties
            found[rows] = np.where(np.isfinite(values[np.arange(len(best)), best]), best, -1)
        return found

    def answers(self, rows: Sequence[int], count: int = 10) -> list[list[Answer]]:
        """Ranked lists of some queries, the nearest first, of equal ones the lower gallery row; ignored items are left out.

        Args:
            rows: of the queries.
            count: answers per query; fewer where the gallery has no more.
        """
        found: list[list[Answer]] = []
        for part, block in self.blocks(rows):
            order = torch.sort(block, dim=1, descending=True, stable=True).indices[:, :count]
            for row, nearest, values in zip(part, order.tolist(), block, strict=True):
                kept = [g for g in nearest if torch.isfinite(values[g])]
                found.append([self._answer(row, g, d) for g, d in zip(kept, self.distances(row, kept), strict=True)])
        return found

    def distances(self, row: int, gallery: Sequence[int]) -> list[float]:
        """Distances of one query to some gallery rows."""
        if not gallery:
            return []
        query = self.features.of([self.query[row]]).double()
        items = self.features.of([self.gallery[g] for g in gallery]).double()
        found = 1 - items @ query[0] if self.features.measure == "similarity" else (items - query).norm(dim=1)
        return [float(value) for value in found]

    def _answer(self, row: int, gallery: int, distance: float) -> Answer:
        pid = self.query[row].pid
        return Answer(gallery, distance, pid >= 0 and self.gallery[gallery].pid == pid)
