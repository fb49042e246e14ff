"""Batches: properties that hold for every list of identities."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.samplers import epoch_generator, pk_batches, sequential_batches, shuffled_batches
from reidclip.errors import UserError

people = st.lists(st.integers(0, 9), min_size=1, max_size=80)


@given(pids=people, p=st.integers(1, 4), k=st.integers(1, 5), seed=st.integers(0, 5))
def test_pk_batches(pids: list[int], p: int, k: int, seed: int) -> None:
    counts = Counter(pids)
    if len(counts) < p:
        with pytest.raises(UserError, match=f"takes {p} identities, the training split has {len(counts)}"):
            pk_batches(pids, p, k, epoch_generator(seed, 0))
        return
    batches = pk_batches(pids, p, k, epoch_generator(seed, 0))
    for batch in batches:
        groups = [batch[i : i + k] for i in range(0, len(batch), k)]
        assert len(groups) == p and all(len(g) == k for g in groups)
        assert all(len({pids[i] for i in g}) == 1 for g in groups)  # grouped by identity
        assert len({pids[g[0]] for g in groups}) == p  # distinct identities
    uses = Counter(i for batch in batches for i in batch)
    assert all(n == 1 or counts[pids[i]] < k for i, n in uses.items())
    given_chunks = Counter(pids[batch[i]] for batch in batches for i in range(0, len(batch), k))
    available = {pid: max(1, n // k) for pid, n in counts.items()}
    assert all(given_chunks[pid] <= available[pid] for pid in counts)
    # it stopped because fewer than P identities had chunks left
    assert sum(given_chunks[pid] < available[pid] for pid in counts) < p
    assert batches


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    pids = [i % 8 for i in range(80)]
    plans = {(s, e): pk_batches(pids, 4, 4, epoch_generator(s, e)) for s in (0, 1) for e in (0, 1, 2)}
    assert plans[1, 2] == pk_batches(pids, 4, 4, epoch_generator(1, 2))
    assert len({str(plan) for plan in plans.values()}) == 6


def test_every_picture_has_its_turn() -> None:
    pids = [i % 4 for i in range(28)]  # 7 pictures each, 4 to a batch: 3 are dropped per epoch, not always the same
    seen = {i for epoch in range(20) for batch in pk_batches(pids, 2, 4, epoch_generator(0, epoch)) for i in batch}
    assert seen == set(range(28))


@given(count=st.integers(0, 50), size=st.integers(1, 20), seed=st.integers(0, 3))
def test_shuffled_and_sequential_batches(count: int, size: int, seed: int) -> None:
    for batches in (shuffled_batches(count, size, epoch_generator(seed, 0)), sequential_batches(count, size)):
        assert sorted(i for batch in batches for i in batch) == list(range(count))
        assert [len(b) for b in batches] == [size] * (count // size) + ([count % size] if count % size else [])
    assert [i for batch in sequential_batches(count, size) for i in batch] == list(range(count))


def test_shuffled_batches_are_shuffled() -> None:
    orders = [shuffled_batches(100, 100, epoch_generator(0, epoch))[0] for epoch in (0, 1)]
    assert orders[0] != orders[1] and orders[0] != list(range(100))


@pytest.mark.parametrize("p_k", [(0, 4), (4, 0)])
def test_impossible_sizes(p_k: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        pk_batches([0, 1], *p_k, np.random.default_rng(0))
    with pytest.raises(ValueError):
        sequential_batches(3, 0)
