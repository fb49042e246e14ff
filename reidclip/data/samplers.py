"""Which pictures form a batch: pure functions of labels and a random generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reidclip.errors import UserError


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The generator that plans one epoch; depends on (seed, epoch) alone."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch]))


def pk_batches(pids: Sequence[int], identities_per_batch: int, images_per_identity: int, generator: np.random.Generator) -> list[list[int]]:
    """Batches of P identities x K images (the sampler of torchreid and CLIP-ReID).

    Every identity's indices are shuffled and cut into chunks of K, the remainder dropped; an identity with fewer than K
    images gives one chunk drawn with replacement. While P identities have chunks left, P of them are drawn and each
    gives its next chunk. So a batch holds exactly P identities, K consecutive indices each, and an index comes once
    per epoch unless its identity has fewer than K.

    Args:
        pids: identity of each index.
        identities_per_batch: P.
        images_per_identity: K.
        generator: source of randomness, see `epoch_generator`.

    Returns:
        Lists of P * K indices; how many varies a little between epochs.

    Raises:
        UserError: fewer than P identities.
    """
    if identities_per_batch < 1 or images_per_identity < 1:
        raise ValueError(f"a batch needs identities and images, got {identities_per_batch} x {images_per_identity}")
    chunks = chunks_by_identity(pids, images_per_identity, generator)
    if len(chunks) < identities_per_batch:
        raise UserError(
            f"A batch takes {identities_per_batch} identities, the training split has {len(chunks)}.",
            f"Lower it (--set identities={len(chunks)}), or take more data.",
        )
    batches = []
    left = list(chunks)
    while len(left) >= identities_per_batch:
        chosen = [left[i] for i in generator.choice(len(left), identities_per_batch, replace=False)]
        batches.append([index for pid in chosen for index in chunks[pid].pop()])
        left = [pid for pid in left if chunks[pid]]
    return batches


def chunk_batches(pids: Sequence[int], chunks_per_batch: int, images_per_identity: int, generator: np.random.Generator) -> list[list[int]]:
    """Batches of chunks of K images each, whoever they show (the sampler of Simple-CCReID and its descendants).

    Chunks as in `pk_batches`, but those of all identities are shuffled together and cut into batches, so an identity may come twice in
    a batch and few chunks are lost: only the last partial batch (``drop_last`` of the published loaders).

    The published distributed form deals the chunks out, one to each process in turn; what all processes read at one step are then the
    same consecutive chunks as here, so these are its batches too, as long as P is a multiple of the number of processes.

    Args:
        pids: identity of each index.
        chunks_per_batch: P.
        images_per_identity: K.
        generator: source of randomness, see `epoch_generator`.

    Returns:
        Lists of P * K indices; as many in every epoch.

    Raises:
        UserError: fewer than P chunks.
    """
    if chunks_per_batch < 1 or images_per_identity < 1:
        raise ValueError(f"a batch needs chunks and images, got {chunks_per_batch} x {images_per_identity}")
    chunks = [chunk for of_identity in chunks_by_identity(pids, images_per_identity, generator).values() for chunk in of_identity]
    if len(chunks) < chunks_per_batch:
        raise UserError(
            f"A batch takes {chunks_per_batch} chunks of {images_per_identity} pictures of a person, the training split has {len(chunks)}.",
            f"Lower it (--set identities={len(chunks)}), or take more data.",
        )
    order = generator.permutation(len(chunks)).tolist()
    whole = _cut(order[: len(order) - len(order) % chunks_per_batch], chunks_per_batch)
    return [[index for number in batch for index in chunks[number]] for batch in whole]


def chunks_by_identity(pids: Sequence[int], size: int, generator: np.random.Generator) -> dict[int, list[list[int]]]:
    """Shuffled chunks of ``size`` indices per identity, identities in order of first appearance.

    What is left over is dropped; an identity with fewer indices gives one chunk drawn with replacement.
    """
    members: dict[int, list[int]] = {}
    for index, pid in enumerate(pids):
        members.setdefault(pid, []).append(index)
    chunks = {}
    for pid, indices in members.items():
        order = generator.permutation(indices) if len(indices) >= size else generator.choice(indices, size, replace=True)
        chunks[pid] = [order[i : i + size].tolist() for i in range(0, len(order) - size + 1, size)]
    return chunks


def shuffled_batches(count: int, batch_size: int, generator: np.random.Generator) -> list[list[int]]:
    """Every index once in random order; the last batch may be smaller but is never empty (CLIP-ReID stage 1)."""
    return _cut(generator.permutation(count).tolist(), batch_size)


def sequential_batches(count: int, batch_size: int) -> list[list[int]]:
    """Every index once in order; the last batch may be smaller but is never empty."""
    return _cut(list(range(count)), batch_size)


def _cut(indices: list[int], batch_size: int) -> list[list[int]]:
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size} is below 1")
    return [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]


def part_of_batch(rows: int, number: int, count: int) -> slice:
    """The consecutive rows that process ``number`` of ``count`` reads of a batch; the first processes read one more when it must be."""
    base, rest = divmod(rows, count)
    start = number * base + min(number, rest)
    return slice(start, start + base + (number < rest))
