"""P x K batches against the invariants of CLIP-ReID's sampler, which the recorded epochs show (its draws cannot be repeated)."""

from collections import Counter

import numpy as np
import pytest

from reidclip.data.samplers import epoch_generator, pk_batches
from tests.parity.fixtures import load


def check_epoch(indices: np.ndarray, labels: np.ndarray, batch_size: int, k: int) -> None:
    """Whole batches of distinct identities, k grouped indices each; repeats only where an identity has fewer than k."""
    assert len(indices) and len(indices) % batch_size == 0
    counts, uses = Counter(labels.tolist()), Counter(indices.tolist())
    for batch in indices.reshape(-1, batch_size):
        groups = labels[batch].reshape(-1, k)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0].tolist())) == batch_size // k
    assert all(n == 1 or counts[labels[i]] < k for i, n in uses.items())


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_recorded_epochs_show_the_invariants(epoch: int) -> None:
    data = load("sampler_clipreid")
    check_epoch(data[f"epoch{epoch}_indices"], data["labels"], int(data["batch_size"]), int(data["num_instances"]))


def test_our_epochs_have_the_invariants_and_the_lengths() -> None:
    data = load("sampler_clipreid")
    labels, batch_size, k = data["labels"], int(data["batch_size"]), int(data["num_instances"])
    recorded = {len(data[f"epoch{epoch}_indices"]) for epoch in range(3)}
    ours = set()
    for epoch in range(60):
        indices = np.concatenate(pk_batches(labels.tolist(), batch_size // k, k, epoch_generator(0, epoch)))
        check_epoch(indices, labels, batch_size, k)
        assert len(indices) <= int(data["reported_len"])
        ours.add(len(indices))
    assert recorded <= ours  # the length varies with the draw, over the same values
