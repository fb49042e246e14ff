"""What a CLIP's choices of phrases are worth: how they spread, whether they agree within a person, and with the person's true body."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidclip.evaluation.bootstrap import bootstrap_interval

DEGENERATE = 0.95
"""A pair says next to nothing when one of its phrases wins on more than this share of the pictures."""
ALIKE = 1 - 1e-5
"""Texts of a higher cosine are one text to the CLIP."""

_RESAMPLES = 1000


@dataclass(frozen=True)
class Agreement:
    """How often choices are true. A person's pictures are not independent: each person counts once, with the share that is right.

    Attributes:
        accuracy: mean over the people.
        balanced: mean over both truths of the mean over their people; None where all people are alike.
        accuracy_interval: 95 %, by bootstrap over people.
        balanced_interval: 95 %, by bootstrap over the people of each truth on their own.
        auc: probability that the mean of s1 - s2 of a person of the first phrase is above that of one of the second, a tie counting half;
            0.5 by chance, however far the two texts are from the pictures. None where all people are alike.
        chance: accuracy of always telling the commoner truth.
        people, pictures: how many were compared.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced: float | None
    balanced_interval: tuple[float, float] | None
    auc: float | None
    chance: float
    people: int
    pictures: int


@dataclass(frozen=True)
class PairUse:
    """What the pictures say of one pair.

    Attributes:
        first, second: its phrases.
        first_share: share of the pictures on which the first wins.
        margin: mean of abs(s1 - s2), of cosines.
        texts: cosine of both phrases' texts: how alike they are to the CLIP.
        consistency: mean over people of the share of their pictures that agree with their majority; None without people of two pictures.
        consistency_chance: what it would be, were each choice drawn alone, by the first phrase's share of those people's pictures.
        agreement: with true bodies, where they are known.
    """

    first: str
    second: str
    first_share: float
    margin: float
    texts: float
    consistency: float | None
    consistency_chance: float | None
    agreement: Agreement | None = None

    @property
    def degenerate(self) -> bool:
        """Whether one phrase wins nearly everywhere."""
        return max(self.first_share, 1 - self.first_share) > DEGENERATE

    @property
    def alike(self) -> bool:
        """Whether the CLIP takes both phrases for the same: the choice then means nothing."""
        return self.texts > ALIKE


def texts_alike(texts: NDArray[np.floating]) -> NDArray[np.floating]:
    """(P, 2, D) text features -> (P,) cosines of both phrases of each pair."""
    unit = texts / np.linalg.norm(texts, axis=-1, keepdims=True)
    cosines: NDArray[np.floating] = (unit[:, 0] * unit[:, 1]).sum(-1)
    return cosines


def consistency(choices: NDArray[np.integer], people: Sequence[Hashable]) -> tuple[float | None, float | None]:
    """Agreement within people, and its expectation if the pictures of all these people were drawn alike.

    Args:
        choices: (N,) 0 or 1.
        people: (N,) who is in each picture, None for nobody known.

    Returns:
        (mean over people with two pictures or more of the majority's share, the same by chance); Nones without such people.
    """
    counts: dict[Hashable, list[int]] = {}
    for choice, person in zip(choices.tolist(), people, strict=True):
        if person is not None:
            counts.setdefault(person, [0, 0])[choice] += 1
    several = [pair for pair in counts.values() if sum(pair) > 1]
    if not several:
        return None, None
    share = sum(pair[0] for pair in several) / sum(sum(pair) for pair in several)
    drawn = {size: _expected_majority(size, share) for size in {sum(pair) for pair in several}}
    return (
        float(np.mean([max(pair) / sum(pair) for pair in several])),
        float(np.mean([drawn[sum(pair)] for pair in several])),
    )


def _expected_majority(size: int, share: float) -> float:
    """E[max(K, n - K)] / n of a binomial K of n trials."""
    if share in (0.0, 1.0):
        return 1.0
    logs = math.log(share), math.log1p(-share)
    total = 0.0
    for k in range(size + 1):
        ways = math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1)
        total += max(k, size - k) * math.exp(ways + k * logs[0] + (size - k) * logs[1])
    return total / size


def agreement(
    choices: NDArray[np.integer], leanings: NDArray[np.floating], people: Sequence[Hashable], truth: Mapping[Hashable, int]
) -> Agreement:
    """Choices against the truth.

    Args:
        choices: (N,) 0 or 1, of N >= 1 pictures.
        leanings: (N,) s1 - s2.
        people: (N,) whose body each picture shows.
        truth: person -> 0 or 1.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, person in enumerate(people):
        rows.setdefault(person, []).append(row)
    true = np.array([truth[person] for person in rows])
    right = np.array([float(np.mean(choices[own] == truth[person])) for person, own in rows.items()])
    lean = np.array([float(leanings[own].mean()) for own in rows.values()])
    firsts, seconds = int((true == 0).sum()), int((true == 1).sum())
    both = firsts > 0 and seconds > 0
    return Agreement(
        accuracy=float(right.mean()),
        accuracy_interval=bootstrap_interval(right),
        balanced=float(right[true == 0].mean() + right[true == 1].mean()) / 2 if both else None,
        balanced_interval=_balanced_interval(right[true == 0], right[true == 1]) if both else None,
        auc=_auc(lean[true == 0], lean[true == 1]) if both else None,
        chance=max(firsts, seconds) / len(true),
        people=len(true),
        pictures=len(choices),
    )


def _balanced_interval(first: NDArray[np.floating], second: NDArray[np.floating], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of both means, when the people of each truth are drawn again with replacement.

    Args:
        first, second: (F,) and (S,), how often each person of that truth is right.
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    both = np.zeros(_RESAMPLES)
    for own in (first, second):
        both += [own[generator.integers(0, len(own), len(own))].mean() / 2 for _ in range(_RESAMPLES)]
    low, high = np.quantile(both, [0.025, 0.975])
    return float(low), float(high)


def _auc(above: NDArray[np.floating], below: NDArray[np.floating]) -> float:
    """Share of the pairs in which the first is larger, ties counting half (Mann and Whitney, 1947)."""
    ordered = np.sort(below)
    wins, reached = np.searchsorted(ordered, above, "left"), np.searchsorted(ordered, above, "right")
    return float((wins + reached).mean() / (2 * len(below)))
