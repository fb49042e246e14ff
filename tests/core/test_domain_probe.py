"""The probe that tells data sets apart: what it says of features whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reidclip.evaluation.diagnostics.domain_probe import DomainProbe, domain_probe

Integers = NDArray[np.int64]


def labels(sets: int, people: int, pictures: int) -> tuple[Integers, Integers]:
    person = np.repeat(np.arange(sets * people), pictures).astype(np.int64)
    return person, person // people


def probe(features: torch.Tensor, person: Integers, domain: Integers, **options: int) -> DomainProbe:
    found = domain_probe(features, person, domain, **options)
    assert found is not None
    return found


def test_a_feature_that_names_the_set_is_always_right() -> None:
    person, domain = labels(3, 10, 4)
    found = probe(torch.nn.functional.one_hot(torch.from_numpy(domain)).float(), person, domain)
    assert found.accuracy == 1 and found.interval == (1, 1) and found.recall == (1, 1, 1)
    assert found.chance == pytest.approx(1 / 3) and (found.people, found.pictures) == (30, 120)


def test_a_feature_that_says_nothing_is_right_once_in_k() -> None:
    """A constant gets one answer, which is right of exactly one of four sets, though that has most of the pictures."""
    person, domain = labels(4, 10, 3)
    keep = (domain == 0) | (np.arange(len(person)) % 3 == 0)
    found = probe(torch.ones(int(keep.sum()), 5), person[keep], domain[keep])
    assert found.accuracy == found.chance == 0.25


def test_who_somebody_is_does_not_help() -> None:
    """Every person has a vector of their own, the same in all pictures; which people share a set cannot be learned from others."""
    person, domain = labels(2, 60, 5)
    vectors = torch.randn(120, 300, generator=torch.Generator().manual_seed(3))
    found = probe(vectors[torch.from_numpy(person)], person, domain)
    assert found.interval is not None and found.interval[0] < 0.5 < found.interval[1] and found.accuracy < 0.65


def test_two_normal_distributions_are_told_apart_as_well_as_they_can_be() -> None:
    """Means 1.5 deviations apart in one direction: the best rule is right with probability Phi(0.75)."""
    person, domain = labels(2, 500, 1)
    noise = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    noise[:, 1] += 1.5 * torch.from_numpy(domain)
    best = 0.5 * (1 + math.erf(0.75 / math.sqrt(2)))
    found = probe(noise, person, domain)
    assert found.interval is not None and found.interval[0] < best < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.06


def test_scale_rotation_and_shift_change_nothing() -> None:
    person, domain = labels(3, 12, 4)
    features = torch.randn(144, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    features[:, 0] += 0.8 * torch.from_numpy(domain)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    plain = probe(features, person, domain)
    assert 1 / 3 < plain.accuracy < 1
    assert probe(50 * (features @ turn) + 7, person, domain) == plain


def test_every_set_gives_as_many_people_and_every_person_counts_the_same() -> None:
    """Nine people in one set and four in the other: four of each take part; a person gives ten pictures at most."""
    person = np.array([p for p in range(13) for _ in range(25 if p == 12 else 2)], np.int64)
    domain = (person >= 9).astype(np.int64)
    found = probe(torch.nn.functional.one_hot(torch.from_numpy(domain)).float(), person, domain, resamples=0)
    assert (found.people, found.pictures, found.interval) == (8, 4 * 2 + 3 * 2 + 10, None)


@pytest.mark.parametrize(("sets", "people"), [(1, 5), (2, 1), (0, 0)])
def test_too_little_to_tell(sets: int, people: int) -> None:
    person, domain = labels(sets, people, 3)
    assert domain_probe(torch.ones(len(person), 2), person, domain) is None
