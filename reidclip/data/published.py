"""Counts for a layout's ``published`` table: one function makes the rows of one split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from reidclip.data.halves import TRAINING_HALF
from reidclip.records import Dataset, PublishedCount, Sample

Status = Literal["C", "R", "T", "S", "G"]
Quantity = Literal["identities", "images", "tracklets", "frames", "clothes", "cameras"]

_COUNTERS: dict[Quantity, Callable[[Sequence[Sample]], int]] = {
    # Some data sets number both halves from 0, and clothes classes always start anew: a number means something within its half.
    "identities": lambda samples: len({(_is_training(s), s.pid) for s in samples}),
    "images": len,
    "tracklets": len,
    "frames": lambda samples: sum(len(s.frames) for s in samples),
    "clothes": lambda samples: len({(_is_training(s), s.clothes_id) for s in samples}),
    "cameras": lambda samples: len({s.camid if s.camera is None else s.camera for s in samples}),
}


def count(
    quantity: Quantity,
    value: int,
    status: Status,
    *splits: str,
    what: str | None = None,
    where: Callable[[Sample], bool] = lambda sample: True,
    among: Callable[[Sequence[Sample]], Sequence[Sample]] = lambda samples: samples,
) -> PublishedCount:
    """A number over the samples of the named splits (of all splits when none is named).

    Args:
        quantity: what is counted. Cameras are the true ones.
        value, status: as published, see `PublishedCount`.
        splits: splits that are counted together.
        what: name of the subset; the splits' names when None.
        where: which of their samples.
        among: the same for a choice that needs all of them, such as `changing_clothes`.
    """

    def of(dataset: Dataset) -> int:
        return _COUNTERS[quantity](among([s for s in dataset.samples if (not splits or s.split in splits) and where(s)]))

    return PublishedCount(f"{what or ' + '.join(splits) or 'all'}: {quantity}", value, status, of, splits)


def published_of(layout: Any, dataset: Dataset) -> Sequence[PublishedCount]:
    """What is published of this data set: the layout's counts, or those of the release at hand where it reads several.

    Args:
        layout: a `reidclip.interfaces.DataLayout`, or what stands for one that cannot be loaded: it has no counts.
        dataset: read by it.
    """
    chosen = getattr(layout, "published_of", None)
    return tuple(getattr(layout, "published", ()) if chosen is None else chosen(dataset))


def left_out(name: str, value: int, status: Status) -> PublishedCount:
    """A number of pictures that the layout leaves out of its samples (`Dataset.left_out`)."""
    return PublishedCount(f"left out, {name}: images", value, status, lambda dataset: dataset.left_out.get(name, 0))


def changing_clothes(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those samples whose identity shows more than one outfit among them."""
    return [s for s, outfits in zip(samples, _outfits_of_owner(samples), strict=True) if outfits > 1]


def constant_clothes(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those samples whose identity shows one outfit only among them."""
    return [s for s, outfits in zip(samples, _outfits_of_owner(samples), strict=True) if outfits == 1]


def _outfits_of_owner(samples: Sequence[Sample]) -> list[int]:
    """For each sample the number of outfits that its identity shows among the samples of the same half."""
    worn: dict[tuple[bool, int], set[int]] = defaultdict(set)
    for s in samples:
        worn[_is_training(s), s.pid].add(s.clothes_id)
    return [len(worn[_is_training(s), s.pid]) for s in samples]


def _is_training(sample: Sample) -> bool:
    return sample.split in TRAINING_HALF
