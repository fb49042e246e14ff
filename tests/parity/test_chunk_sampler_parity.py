"""Chunk batches against the invariants of Simple-CCReID's samplers, which the recorded epochs show (their draws cannot be repeated)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reidclip.data.samplers import chunk_batches, epoch_generator
from tests.parity.fixtures import load

SINGLE = [f"single_epoch{epoch}_indices" for epoch in range(3)] + [f"dist1_rank0_epoch{epoch}_indices" for epoch in range(2)]


def check_chunks(indices: np.ndarray, labels: np.ndarray, k: int) -> None:
    """Chunks of k of one identity, at most floor(n/k) of each; an index repeats only where its identity has fewer than k."""
    counts, uses = Counter(labels.tolist()), Counter(indices.tolist())
    chunks = labels[indices].reshape(-1, k)
    assert (chunks == chunks[:, :1]).all()
    assert all(n == 1 or counts[labels[i]] < k for i, n in uses.items())
    assert all(n <= max(1, counts[pid] // k) for pid, n in Counter(chunks[:, 0].tolist()).items())


def whole_epoch(labels: np.ndarray, k: int) -> int:
    return sum(k * max(1, n // k) for n in Counter(labels.tolist()).values())


@pytest.mark.parametrize("name", SINGLE)
def test_recorded_epochs_lose_no_chunk(name: str) -> None:
    data = load("sampler_ccreid")
    check_chunks(data[name], data["labels"], int(data["num_instances"]))
    assert len(data[name]) == whole_epoch(data["labels"], int(data["num_instances"])) == int(data["reported_len"])


@pytest.mark.parametrize("epoch", [0, 1])
def test_two_recorded_processes_share_the_chunks_of_one(epoch: int) -> None:
    """Process r reads chunks r, r + 2, ...; the last chunk is dropped where their number is odd. So a step of both is P chunks in a row."""
    data = load("sampler_ccreid")
    k = int(data["num_instances"])
    ranks = [data[f"dist2_rank{rank}_epoch{epoch}_indices"].reshape(-1, k) for rank in (0, 1)]
    dealt = np.stack(ranks, axis=1).reshape(-1)
    check_chunks(dealt, data["labels"], k)
    alone = data[f"dist1_rank0_epoch{epoch}_indices"]
    np.testing.assert_array_equal(dealt, alone[: len(dealt)])
    assert len(alone) - len(dealt) == k * (len(alone) // k % 2)


@pytest.mark.parametrize("p", [3, 4])
def test_ours_have_the_invariants_and_the_length(p: int) -> None:
    data = load("sampler_ccreid")
    labels, k = data["labels"], int(data["num_instances"])
    twice = False
    for epoch in range(40):
        batches = chunk_batches(labels.tolist(), p, k, epoch_generator(0, epoch))
        check_chunks(np.concatenate(batches), labels, k)
        assert {len(batch) for batch in batches} == {p * k}
        assert len(batches) == whole_epoch(labels, k) // (p * k)  # drop_last
        twice |= any(len(set(labels[batch])) < p for batch in batches)
    assert twice, "an identity may come twice in a batch, which is what tells this sampler from P x K"
