"""Which queries a page shows: those found best, those found worst, some at random, and those found in other clothes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tags = dict[int, tuple[str, ...]]
BEST, WORST, RANDOM, DIFFER = "best", "worst", "random", "differ"


def choose_queries(precision: NDArray[np.float64], other: NDArray[np.bool_], count: int, seed: int = 0) -> Tags:
    """Queries to show, by row, and what each was chosen as.

    A share of ``count`` goes to each kind; "best" and "worst" are by the mean over evaluations, equal ones in an order drawn from the
    seed (else the first people of a data set would be all there is to see), "random" does not look at results, and "differ" are
    those on which two evaluations differ most. What is left is filled up at random.

    Args:
        precision: (E, Q) average precision of each query in each evaluation; NaN where a query has no match, which is not shown.
        other: (E, Q) whether its first answer is the same person in other clothes; some of these are always shown (they need no tag).
        count: of queries.
        seed: of the draws.
    """
    valid = np.flatnonzero(np.isfinite(precision).all(axis=0))
    drawn = np.random.default_rng(seed).permutation(valid)
    mean = precision[:, drawn].mean(axis=0)
    several = len(precision) > 1
    share = max(1, min(count, len(valid)) // (5 if several else 4))
    ascending = np.argsort(mean, kind="stable")
    tags: dict[int, list[str]] = {}
    _tag(tags, drawn[ascending[::-1][:share]], BEST)
    _tag(tags, drawn[ascending[:share]], WORST)
    if several:
        spread = np.ptp(precision[:, drawn], axis=0)
        far = np.argsort(-spread, kind="stable")[:share]
        _tag(tags, drawn[far[spread[far] > 0]], DIFFER)
    for row in drawn[other[:, drawn].any(axis=0)][:share]:
        tags.setdefault(int(row), [])
    for place in range(len(drawn)):
        if place >= share and len(tags) >= count:
            break
        _tag(tags, drawn[place : place + 1], RANDOM)
    return {row: tuple(tags[row]) for row in sorted(tags)}


def _tag(tags: dict[int, list[str]], rows: NDArray[np.int64], tag: str) -> None:
    for row in rows:
        tags.setdefault(int(row), []).append(tag)
