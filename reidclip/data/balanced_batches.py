"""Batches that take as many identities of each data set, whatever their sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from reidclip.data.samplers import chunk_batches, chunks_by_identity, pk_batches
from reidclip.errors import UserError


def balanced_batches(
    pids: Sequence[int],
    domains: Sequence[str],
    identities_per_batch: int,
    images_per_identity: int,
    generator: np.random.Generator,
    *,
    distinct: bool = True,
) -> list[list[int]]:
    """Batches of P identities x K images, P split over the domains as evenly as possible.

    Where the number of domains does not divide P, the remainder goes round: domain after domain has one identity more, from batch to
    batch. An epoch has as many batches as without balance. A domain that runs out meanwhile starts over with newly shuffled chunks, so
    pictures of small data sets come more often; the published programs mix all sources in one pool instead. The chunks of a batch are in
    random order: where a batch is shared out, no process gets one domain only.

    Args:
        pids: identity of each index; an identity is of one domain.
        domains: name of the domain of each index.
        identities_per_batch: P.
        images_per_identity: K.
        generator: source of randomness, see `reidclip.data.samplers.epoch_generator`.
        distinct: the identities of a batch differ, as in `pk_batches`; else chunks of all identities of a domain are shuffled together,
            as in `chunk_batches`.

    Returns:
        Lists of P * K indices; with one domain those of the sampler without balance.

    Raises:
        UserError: a domain has fewer identities (without ``distinct``: chunks) than its largest share of a batch.
    """
    names = sorted(set(domains))
    unbalanced = (pk_batches if distinct else chunk_batches)(pids, identities_per_batch, images_per_identity, generator)
    if len(names) < 2:
        return unbalanced
    check_shares(pids, domains, identities_per_batch, images_per_identity, distinct=distinct)
    pool = _Distinct if distinct else _Shuffled
    pools = [pool([i for i, d in enumerate(domains) if d == name], pids, images_per_identity, generator) for name in names]
    batches = []
    for number in range(len(unbalanced)):
        counts = shares(identities_per_batch, len(names), number)
        chunks = [chunk for of_domain, count in zip(pools, counts, strict=True) for chunk in of_domain.take(count)]
        batches.append([index for place in generator.permutation(len(chunks)) for index in chunks[place]])
    return batches


def shares(identities_per_batch: int, domains: int, batch: int) -> list[int]:
    """How many identities each domain gives to the batch of that number; they sum to P and differ by one at most.

    Over any ``domains`` batches in a row every domain gives the same number.
    """
    base, rest = divmod(identities_per_batch, domains)
    begin = batch * rest
    more = {(begin + step) % domains for step in range(rest)}
    return [base + (domain in more) for domain in range(domains)]


def check_shares(
    pids: Sequence[int], domains: Sequence[str], identities_per_batch: int, images_per_identity: int, *, distinct: bool = True
) -> None:
    """Every domain can fill its largest share of a batch; arguments as in `balanced_batches`.

    Raises:
        UserError: one has fewer identities (without ``distinct``: chunks) than that.
    """
    pictures: dict[str, Counter[int]] = {}
    for pid, domain in zip(pids, domains, strict=True):
        pictures.setdefault(domain, Counter())[pid] += 1
    share = -(-identities_per_batch // len(pictures))
    what = "identities" if distinct else f"chunks of {images_per_identity} pictures of a person"
    for domain, people in sorted(pictures.items()):
        known = len(people) if distinct else sum(max(1, count // images_per_identity) for count in people.values())
        if known < share and len(pictures) > 1:
            raise UserError(
                f"A balanced batch takes up to {share} {what} of each of {len(pictures)} data sets; '{domain}' has {known} to train on.",
                f"Lower it (--set identities={known * len(pictures)}), or leave the balance out (--set balance_domains=false).",
            )


class _Distinct:
    """Chunks of one domain, each time of distinct identities; when too few have some left, all are shuffled anew."""

    def __init__(self, indices: Sequence[int], pids: Sequence[int], size: int, generator: np.random.Generator) -> None:
        self._indices, self._pids, self._size, self._generator = indices, [pids[index] for index in indices], size, generator
        self._chunks: dict[int, list[list[int]]] = {}

    def take(self, count: int) -> Iterator[list[int]]:
        """The next chunks, as indices of the whole data."""
        left = [pid for pid, chunks in self._chunks.items() if chunks]
        if len(left) < count:
            self._chunks = chunks_by_identity(self._pids, self._size, self._generator)
            left = list(self._chunks)
        for place in self._generator.choice(len(left), count, replace=False):
            yield [self._indices[index] for index in self._chunks[left[place]].pop()]


class _Shuffled:
    """Chunks of one domain, whoever they show; when too few are left, all are shuffled anew behind them."""

    def __init__(self, indices: Sequence[int], pids: Sequence[int], size: int, generator: np.random.Generator) -> None:
        self._indices, self._pids, self._size, self._generator = indices, [pids[index] for index in indices], size, generator
        self._queue: list[list[int]] = []

    def take(self, count: int) -> Iterator[list[int]]:
        """The next chunks, as indices of the whole data."""
        if len(self._queue) < count:
            chunks = [chunk for of_one in chunks_by_identity(self._pids, self._size, self._generator).values() for chunk in of_one]
            self._queue += [chunks[place] for place in self._generator.permutation(len(chunks))]
        taken, self._queue = self._queue[:count], self._queue[count:]
        yield from ([self._indices[index] for index in chunk] for chunk in taken)
