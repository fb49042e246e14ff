"""Galleries of one random picture per person: drawn the same on every machine, ranked for every query.

PRCC's original protocol and CUHK03's classic one are such. A person's picture is drawn among those that the rule leaves to the query: in
CUHK03's, where query and gallery are the same pictures, a draw from all of them would often give one that the rule ignores.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.evaluation.ranking import Ranking
from reidclip.records import Rule, Sample

SINGLE_SHOT_SEED = 3  # part of the protocol, not of a run: everybody's draw is the same

Closeness = Callable[[Sequence[Sample], Sequence[Sample]], Tensor]
"""(Q queries, G gallery samples) -> (Q, G), larger is closer; numbers of one row and one call are comparable."""


def single_shot_galleries(gallery: Sequence[Sample], repeats: int) -> tuple[tuple[Sample, ...], ...]:
    """One random picture per identity, ``repeats`` times; identities ascending, pictures drawn over sorted paths.

    The original PRCC protocol draws so, but no published draw can be repeated, hence this project's own: it depends
    on the sorted paths and a fixed seed alone, the same on every machine. Unknown identities (< 0) are left out.
    """
    by_pid: dict[int, list[Sample]] = defaultdict(list)
    for sample in sorted(gallery, key=lambda s: s.path):
        if sample.pid >= 0:
            by_pid[sample.pid].append(sample)
    draw = random.Random(SINGLE_SHOT_SEED)
    # Only random() is promised to give the same numbers in every Python version; choice() is not.
    return tuple(tuple(by_pid[pid][int(draw.random() * len(by_pid[pid]))] for pid in sorted(by_pid)) for _ in range(repeats))


def drawn_again(
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    galleries: Sequence[Sequence[Sample]],
    rankings: Sequence[Ranking],
    rule: Rule,
    closeness: Closeness,
) -> tuple[Ranking, ...]:
    """The rankings, with another picture of the query's own person where the rule ignores the one drawn.

    The draw is then among the pictures of this person that the rule leaves, so that every one of them is as likely as the others. Queries
    draw in the order of their paths: their order in the data changes nothing.

    Args:
        query: the query samples, Q.
        gallery: all gallery samples.
        galleries: one draw per repeat.
        rankings: of each draw.
        rule: which gallery items are ignored.
        closeness: of queries and gallery samples.
    """
    ordered = sorted(gallery, key=lambda s: s.path)
    matches, _ = GalleryIndex(Labels.of(ordered)).pairs(Labels.of(query), rule)
    left = [matches.gallery[a:b] for a, b in _runs(matches.query, len(query))]
    draw = random.Random(SINGLE_SHOT_SEED + 1)  # other numbers than those of the galleries
    order = sorted(range(len(query)), key=lambda row: query[row].path)
    changed = []
    for drawn, ranking in zip(galleries, rankings, strict=True):
        rows = [row for row in order if not ranking.valid[row] and len(left[row])]
        own = [ordered[left[row][int(draw.random() * len(left[row]))]] for row in rows]
        changed.append(_with(ranking, rows, _ranks([query[row] for row in rows], own, drawn, closeness)) if rows else ranking)
    return tuple(changed)


def _runs(row: NDArray[np.int64], rows: int) -> list[tuple[int, int]]:
    """Begin and end of every row's entries among ascending row numbers."""
    ends = np.searchsorted(row, np.arange(rows + 1))
    return [(int(a), int(b)) for a, b in pairwise(ends)]


def _ranks(query: Sequence[Sample], own: Sequence[Sample], drawn: Sequence[Sample], closeness: Closeness) -> NDArray[np.int64]:
    """Rank of each query's own picture among it and the pictures drawn of the others; of equals the one drawn is ahead."""
    items = list({s.path: s for s in own}.values())
    column = {s.path: number for number, s in enumerate(items, len(drawn))}
    to_all = closeness(query, [*drawn, *items]).cpu().numpy()  # together: of two galleries the numbers are not comparable
    to_others, to_own = to_all[:, : len(drawn)], to_all[np.arange(len(query)), [column[s.path] for s in own]]
    another = np.array([[q.pid != g.pid for g in drawn] for q in query])
    ahead: NDArray[np.int64] = ((to_others >= to_own[:, None]) & another).sum(axis=1)
    return ahead + 1


def _with(ranking: Ranking, rows: Sequence[int], ranks: NDArray[np.int64]) -> Ranking:
    """The ranking where these queries have one match each, at these ranks."""
    columns = {name: getattr(ranking, name).copy() for name in ("valid", "first_rank", "average_precision", "matches")}
    penalty = ranking.inverse_negative_penalty.copy()
    columns["valid"][rows], columns["first_rank"][rows], columns["matches"][rows] = True, ranks, 1
    columns["average_precision"][rows] = penalty[rows] = 1 / ranks
    return dataclasses.replace(ranking, **columns, inverse_negative_penalty=penalty)
