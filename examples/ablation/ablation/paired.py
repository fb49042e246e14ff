"""Is one row better than another? Paired by query and by seed: both rows answer the same queries, and share their seeds."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablation.student import t_interval
from reidclip.evaluation.bootstrap import bootstrap_interval

_EXACT_UNITS = 14  # up to 2^14 sign patterns are all tried
_CHUNK = 1 << 21  # signs held at once
_NOTHING = 1e-9  # AP is kept to 1e-6; what a mean over seeds or a sum over queries leaves below is rounding

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The difference of two rows in one number (R1 or AP), shares not percent.

    Attributes:
        difference: mean over seeds and queries of (this row - the other).
        seeds: how many seeds both have.
        seed_interval: t interval of the seeds' mean differences; None with one seed. It answers: would other seeds show it too?
        query_interval: bootstrap 95% interval over queries of the seeds' mean. It answers: would other queries show it too?
        p_queries: of a sign-flip permutation test over queries.
        p_identities: the same with all queries of a person flipped together: pictures of one person are no independent evidence.
        queries, identities: how many differ between the rows at all (those alone decide on p).
    """

    difference: float
    seeds: int
    seed_interval: tuple[float, float] | None
    query_interval: tuple[float, float]
    p_queries: float
    p_identities: float
    queries: int
    identities: int

    @property
    def significant(self) -> bool:
        """Both questions answered with yes: p over identities below 0.05, and, with several seeds, an interval over seeds without 0."""
        if self.p_identities >= 0.05:
            return False
        return self.seed_interval is None or self.seed_interval[0] > 0 or self.seed_interval[1] < 0

    def as_json(self) -> dict[str, Any]:
        """All numbers, and the verdict."""
        return {**asdict(self), "significant": self.significant}


def compare_paired(differences: Floats, pids: NDArray[np.int64], resamples: int = 10_000, seed: int = 0) -> Paired:
    """Compare two rows.

    Args:
        differences: (S, Q), per seed and query, this row's AP (or hit at rank 1) minus the other's; queries valid in both.
        pids: (Q,) identity of each query.
        resamples: sign patterns, and bootstrap samples.
        seed: of both.

    Raises:
        ValueError: no seed or no query.
    """
    if differences.size == 0:
        raise ValueError("two rows without a seed and a query in common cannot be compared")
    per_query = _rounding_removed(differences.mean(axis=0))
    _, person = np.unique(pids, return_inverse=True)
    per_person = _rounding_removed(np.bincount(person, weights=per_query).astype(np.float64))
    return Paired(
        difference=float(per_query.mean()),
        seeds=len(differences),
        seed_interval=t_interval([float(v) for v in differences.mean(axis=1)]),
        query_interval=bootstrap_interval(per_query, resamples, seed),
        p_queries=sign_flip_p(per_query, resamples, seed),
        p_identities=sign_flip_p(per_person, resamples, seed),
        queries=int(np.count_nonzero(per_query)),
        identities=int(np.count_nonzero(per_person)),
    )


def _rounding_removed(values: Floats) -> Floats:
    """Thirds that add up to nothing leave 1e-16: such a unit does not differ."""
    return np.where(np.abs(values) < _NOTHING, 0.0, values)


def sign_flip_p(values: Floats, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of a paired permutation test (Fisher's randomisation): under no difference every value's sign is a coin's toss.

    p is the share of sign patterns whose |sum| reaches the observed one: of all 2^n patterns for up to 14 non-zero values, else of
    ``resamples`` random ones and the observed one, (1 + hits) / (1 + resamples), which is never 0.

    Args:
        values: one difference per unit; zeros tell nothing and are left out.
    """
    units = values[values != 0]
    if len(units) == 0:
        return 1.0
    reach = abs(units.sum()) * (1 - 1e-12) - 1e-15  # sums in another order differ in their last digits
    if len(units) <= _EXACT_UNITS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(units))))
        return float((np.abs(signs @ units) >= reach).mean())
    generator = np.random.default_rng(seed)
    hits, step = 0, max(1, _CHUNK // len(units))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        signs = generator.integers(0, 2, (size, len(units)), dtype=np.int8) * 2.0 - 1  # float64: many patterns tie with the observed one
        hits += int((np.abs(signs @ units) >= reach).sum())
    return (1 + hits) / (1 + resamples)
