"""Which gallery items are matches of a query, and which are ignored: the filter rules of the protocols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidclip.errors import UserError
from reidclip.records import Rule, Sample

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Identity, camera key and clothes class of N pictures, (N,) each; a negative identity matches nothing."""

    pids: Integers
    camids: Integers
    clothes: Integers

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Labels:
        """Labels of samples, in their order."""
        table = np.array([(s.pid, s.camid, s.clothes_id) for s in samples], np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    def rows(self, which: slice) -> Labels:
        """Labels of some of the pictures."""
        return Labels(self.pids[which], self.camids[which], self.clothes[which])

    def __len__(self) -> int:
        return len(self.pids)


class Pairs(NamedTuple):
    """(query row, gallery row) index pairs, sorted by query row, then by gallery row."""

    query: Integers
    gallery: Integers


class GalleryIndex:
    """Gallery rows grouped by identity, so that a query meets only the items of its own identity."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._order = np.argsort(labels.pids, kind="stable")
        self._pids = labels.pids[self._order]

    def pairs(self, query: Labels, rule: Rule) -> tuple[Pairs, Pairs]:
        """(matches, ignored) among all pairs of one identity; items of other identities are errors and never ignored.

        Raises:
            UserError: the rule compares clothes and a pair has an unknown one.
        """
        rows, items = self._same_identity(query)
        ignored = self._ignored(query, rows, items, rule)
        return Pairs(rows[~ignored], items[~ignored]), Pairs(rows[ignored], items[ignored])

    def _same_identity(self, query: Labels) -> tuple[Integers, Integers]:
        start = np.searchsorted(self._pids, query.pids, side="left")
        stop = np.searchsorted(self._pids, query.pids, side="right")
        count = np.where(query.pids < 0, 0, stop - start)
        rows = np.repeat(np.arange(len(query)), count)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        return rows, self._order[start[rows] + within]

    def _ignored(self, query: Labels, rows: Integers, items: Integers, rule: Rule) -> NDArray[np.bool_]:
        """The rules of `reidclip.records.Rule`, for pairs of one identity."""
        same_camera: NDArray[np.bool_] = query.camids[rows] == self._labels.camids[items]
        if rule is Rule.NONE:
            return np.zeros(len(rows), np.bool_)
        if rule is Rule.STD:
            return same_camera
        query_clothes, gallery_clothes = query.clothes[rows], self._labels.clothes[items]
        if ((query_clothes < 0) | (gallery_clothes < 0)).any():
            raise UserError(
                f"Rule '{rule.value}' compares clothes, but some pictures have no clothes label.",
                "Give every query and gallery picture of a shared identity a clothes_id, or take a protocol with rule 'std' or 'none'.",
            )
        by_clothes: NDArray[np.bool_] = (query_clothes == gallery_clothes) == (rule is Rule.CC)
        return same_camera | by_clothes
