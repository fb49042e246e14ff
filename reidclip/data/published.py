"""Counts for a layout's ``published`` table: one function makes the rows of one split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from reidclip.records import Dataset, PublishedCount, Sample

Status = Literal["C", "R", "T", "S", "G"]
Quantity = Literal["identities", "images", "clothes", "cameras"]

_COUNTERS: dict[Quantity, Callable[[Sequence[Sample]], int]] = {
    "identities": lambda samples: len({s.pid for s in samples}),
    "images": len,
    "clothes": lambda samples: len({s.clothes_id for s in samples}),
    "cameras": lambda samples: len({s.camid if s.camera is None else s.camera for s in samples}),
}


def count(
    quantity: Quantity,
    value: int,
    status: Status,
    *splits: str,
    what: str | None = None,
    where: Callable[[Sample], bool] = lambda sample: True,
) -> PublishedCount:
    """A number over the samples of the named splits (of all splits when none is named).

    Args:
        quantity: what is counted. Cameras are the true ones.
        value, status: as published, see `PublishedCount`.
        splits: splits that are counted together.
        what: name of the subset; the splits' names when None.
        where: which of their samples.
    """

    def of(dataset: Dataset) -> int:
        return _COUNTERS[quantity]([s for s in dataset.samples if (not splits or s.split in splits) and where(s)])

    return PublishedCount(f"{what or ' + '.join(splits) or 'all'}: {quantity}", value, status, of)


def left_out(name: str, value: int, status: Status) -> PublishedCount:
    """A number of pictures that the layout leaves out of its samples (`Dataset.left_out`)."""
    return PublishedCount(f"left out, {name}: images", value, status, lambda dataset: dataset.left_out.get(name, 0))
