"""Batches that take as many identities of each data set."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.data.balanced_batches import balanced_batches, check_shares, shares
from reidclip.data.samplers import chunk_batches, epoch_generator, pk_batches
from reidclip.errors import UserError


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[int], list[str], int, int]:
    """Identity and domain of every index, P, K; every domain can fill its share."""
    count, size = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    batch = draw(st.integers(2, 9))
    share = -(-batch // count)
    pids: list[int] = []
    domains: list[str] = []
    for domain in range(count):
        for _ in range(draw(st.integers(share, share + 4))):
            pictures = draw(st.integers(1, 9))
            domains += [f"d{domain}"] * pictures
            pids += [len(set(pids))] * pictures
    return pids, domains, batch, size


@settings(max_examples=80, deadline=None)
@given(pool=pools(), seed=st.integers(0, 3), distinct=st.booleans())
def test_every_batch_is_split_as_evenly_as_can_be(pool: tuple[list[int], list[str], int, int], seed: int, distinct: bool) -> None:
    pids, domains, batch, size = pool
    plan = balanced_batches(pids, domains, batch, size, epoch_generator(seed, 1), distinct=distinct)
    unbalanced = (pk_batches if distinct else chunk_batches)(pids, batch, size, epoch_generator(seed, 1))
    assert len(plan) == len(unbalanced)
    names = sorted(set(domains))
    given_by: Counter[str] = Counter()
    for indices in plan:
        chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
        assert len(chunks) == batch and all(len({pids[i] for i in chunk}) == 1 for chunk in chunks)
        if distinct:
            assert len({pids[chunk[0]] for chunk in chunks}) == batch
        for chunk in chunks:
            if Counter(pids)[pids[chunk[0]]] >= size:
                assert len(set(chunk)) == size, "a picture comes once where there are enough"
        counts = Counter(domains[chunk[0]] for chunk in chunks)
        assert max(counts[n] for n in names) - min(counts[n] for n in names) <= 1
        given_by += counts
    assert not plan or max(given_by[n] for n in names) - min(given_by[n] for n in names) <= 1, "the remainder goes round"


@settings(max_examples=60)
@given(batch=st.integers(1, 40), domains=st.integers(1, 9), start=st.integers(0, 50))
def test_shares_sum_to_the_batch_and_go_round(batch: int, domains: int, start: int) -> None:
    rows = [shares(batch, domains, start + number) for number in range(domains)]
    assert all(sum(row) == batch and max(row) - min(row) <= 1 for row in rows)
    assert {sum(column) for column in zip(*rows, strict=True)} == {batch}


def test_a_small_data_set_starts_over_with_all_of_its_pictures() -> None:
    pids = [0] * 4 + [1] * 4 + [2 + n // 4 for n in range(80)]
    domains = ["small"] * 8 + ["large"] * 80
    plan = balanced_batches(pids, domains, 4, 2, epoch_generator(0, 0))
    seen = Counter(index for batch in plan for index in batch)
    # two of the four identities of a batch are the small set's only two: it is through after every second batch
    assert {seen[index] for index in range(8)} <= {len(plan) // 2, -(-len(plan) // 2)}
    assert max(seen[index] for index in range(8, 88)) == 1 and len(plan) > 6


def test_the_place_in_a_batch_tells_nothing_of_the_domain() -> None:
    pids, domains = [n // 4 for n in range(160)], ["a"] * 80 + ["b"] * 80
    plan = balanced_batches(pids, domains, 4, 2, epoch_generator(0, 0))
    assert {domains[batch[0]] for batch in plan} == {"a", "b"} == {domains[batch[-1]] for batch in plan}


def test_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    pids, domains = [n // 4 for n in range(64)], ["a"] * 24 + ["b"] * 40
    first, again, other = (balanced_batches(pids, domains, 4, 2, epoch_generator(0, epoch)) for epoch in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("distinct", [True, False])
def test_one_domain_is_the_plain_sampler(distinct: bool) -> None:
    pids = [n // 3 for n in range(30)]
    plain = (pk_batches if distinct else chunk_batches)(pids, 3, 2, epoch_generator(5, 0))
    assert balanced_batches(pids, ["x"] * 30, 3, 2, epoch_generator(5, 0), distinct=distinct) == plain


def test_too_few_identities_of_a_domain_are_told() -> None:
    pids, domains = [0, 0, 0, 0, 1, 2, 3, 4], ["a"] * 4 + ["b"] * 4
    with pytest.raises(UserError, match=r"up to 2 identities of each of 2 data sets; 'a' has 1 to train on") as told:
        balanced_batches(pids, domains, 4, 2, epoch_generator(0, 0))
    assert "--set identities=2" in told.value.remedy
    check_shares(pids, domains, 2, 2)
    check_shares(pids, domains, 4, 2, distinct=False)  # two chunks of the one person
    with pytest.raises(UserError, match=r"up to 3 chunks of 2 pictures of a person of each of 2 data sets; 'a' has 2"):
        check_shares(pids, domains, 6, 2, distinct=False)
