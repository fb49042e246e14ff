"""Chunk batches: properties that hold for every list of identities."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.data.samplers import chunk_batches, epoch_generator
from reidclip.errors import UserError

people = st.lists(st.integers(0, 9), min_size=1, max_size=80)


@settings(deadline=None)
@given(pids=people, p=st.integers(1, 5), k=st.integers(1, 5), seed=st.integers(0, 5))
def test_chunk_batches(pids: list[int], p: int, k: int, seed: int) -> None:
    counts = Counter(pids)
    chunks = {pid: max(1, n // k) for pid, n in counts.items()}
    if sum(chunks.values()) < p:
        with pytest.raises(UserError, match=rf"takes {p} chunks of {k} pictures .* has {sum(chunks.values())}"):
            chunk_batches(pids, p, k, epoch_generator(seed, 0))
        return
    batches = chunk_batches(pids, p, k, epoch_generator(seed, 0))
    assert [len(batch) for batch in batches] == [p * k] * (sum(chunks.values()) // p)
    groups = [batch[i : i + k] for batch in batches for i in range(0, p * k, k)]
    assert all(len({pids[i] for i in group}) == 1 for group in groups)
    given_chunks = Counter(pids[group[0]] for group in groups)
    assert all(given_chunks[pid] <= chunks[pid] for pid in counts)
    assert sum(chunks.values()) - len(groups) < p  # only what would not fill a batch is lost
    uses = Counter(i for group in groups for i in group)
    assert all(n == 1 or counts[pids[i]] < k for i, n in uses.items())


def test_plans_depend_on_seed_and_epoch_alone() -> None:
    pids = [i % 8 for i in range(80)]
    plans = {(s, e): chunk_batches(pids, 4, 4, epoch_generator(s, e)) for s in (0, 1) for e in (0, 1, 2)}
    assert plans[1, 2] == chunk_batches(pids, 4, 4, epoch_generator(1, 2))
    assert len({str(plan) for plan in plans.values()}) == 6


def test_every_picture_has_its_turn() -> None:
    pids = [i % 4 for i in range(28)]  # 7 pictures each, 4 to a chunk
    seen = {i for epoch in range(20) for batch in chunk_batches(pids, 2, 4, epoch_generator(0, epoch)) for i in batch}
    assert seen == set(range(28))


@pytest.mark.parametrize("p_k", [(0, 4), (4, 0)])
def test_impossible_sizes(p_k: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="needs chunks and images"):
        chunk_batches([0, 1], *p_k, epoch_generator(0, 0))
