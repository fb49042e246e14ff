"""Several data sets as one: identities, cameras and clothes numbered anew, so that nothing of two sources collides.

Numbers follow from the sources alone, not from the order in which they are given: sources stand by domain name, and within one every
number by its half (training half first, where the data set numbers its halves apart) and then as an integer. The published program of
CLIP-FGDI numbers by the lexicographic order of "dataset_id" strings instead ("market1501_10" before "market1501_2"). That is a permutation
of the classes: neither a loss nor a metric depends on it, so there is no option for it.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reidclip.data.halves import TRAINING_HALF
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw, Sample

JOINED = "joined"
"""What joined data says of its layout."""


def join(datasets: Sequence[Dataset]) -> Dataset:
    """One data set of all pictures of several; of a single one, that very data set.

    - A source's domain is its `Dataset.name`, where names are equal with as many of the folders above it as tell them apart; it comes
      before every path and is every sample's ``domain``. Samples that name domains of their own get both, "city/station".
    - Identities are numbered 0, 1, ... over (domain, half, identity); the half counts where the source numbers its halves apart. -1, nobody
      known, stays.
    - Cameras are numbered 0, 1, ... over (domain, camera), keys of the filter rules and true cameras together: what is the same number in
      a source, and only that, is the same here.
    - Clothes are numbered over (domain, half, clothes); -1 stays.
    - Distractors and random divisions are kept, protocols are not: what is tested on stays one data set.

    Args:
        datasets: in any order; the result does not depend on it.

    Raises:
        UserError: the same folder twice, or a copy of it: everybody in it would be two people.
    """
    if len(datasets) == 1:
        return datasets[0]
    _check_distinct(datasets)
    sources = _by_domain(datasets)
    pids = _numbers((domain, _person(d, s)) for domain, d in sources.items() for s in d.samples if s.pid >= 0)
    cameras = _numbers((domain, c) for domain, d in sources.items() for s in d.samples for c in (s.camid, s.camera) if _known(c))
    clothes = _numbers((domain, _outfit(s)) for domain, d in sources.items() for s in d.samples if s.clothes_id >= 0)
    samples = []
    distractors = set()
    for domain, dataset in sources.items():
        for s in dataset.samples:
            pid = pids[domain, _person(dataset, s)] if s.pid >= 0 else s.pid
            camid, camera = (cameras[domain, c] if c is not None and _known(c) else c for c in (s.camid, s.camera))
            outfit = clothes[domain, _outfit(s)] if s.clothes_id >= 0 else s.clothes_id
            samples.append(_placed(s, domain, pid=pid, camid=camid, camera=camera, clothes_id=outfit))
            if is_distractor(dataset, s):
                distractors.add(pid)
    return Dataset(
        JOINED,
        _common_parent(datasets),
        tuple(samples),
        notes=tuple(f"{domain}: {note}" for domain, d in sources.items() for note in d.notes),
        left_out={f"{domain}: {what}": count for domain, d in sources.items() for what, count in d.left_out.items()},
        distractors=frozenset(distractors),
        draws=_draws(sources),
        sources=sources,
    )


def is_distractor(dataset: Dataset, sample: Sample) -> bool:
    """Whether the sample shows nobody to learn; where halves are numbered apart, the number means that in the test half alone."""
    return sample.pid in dataset.distractors and not (dataset.numbered_apart and sample.split in TRAINING_HALF)


def with_halves_joined(dataset: Dataset) -> tuple[Sample, ...]:
    """The samples of both halves, numbered so that they can be trained on together: a number is one person, and one outfit.

    Only what collides is numbered anew: identities where the data set numbers its halves apart (MSMT17), by (half, identity), and clothes,
    which are numbered within each half everywhere, by (half, clothes). In joined data nothing collides.
    """
    if dataset.sources:
        return dataset.samples
    samples = dataset.samples
    pids = _numbers(_person(dataset, s) for s in samples if s.pid >= 0)
    clothes = _numbers(_outfit(s) for s in samples if s.clothes_id >= 0)
    return tuple(
        replace(
            s,
            pid=pids[_person(dataset, s)] if dataset.numbered_apart and s.pid >= 0 else s.pid,
            clothes_id=clothes[_outfit(s)] if s.clothes_id >= 0 else s.clothes_id,
        )
        for s in samples
    )


def place_of(dataset: Dataset) -> str:
    """The folder of a data set for a message; of joined data all of them: ``data/market + data/msmt17``."""
    return " + ".join(str(root) for root in roots_of(dataset))


def roots_of(dataset: Dataset) -> tuple[Path, ...]:
    """The folders that a command names to open this data again."""
    return tuple(root for source in dataset.sources.values() for root in roots_of(source)) or (dataset.root,)


def _person(dataset: Dataset, sample: Sample) -> tuple[int, int]:
    return int(dataset.numbered_apart and sample.split not in TRAINING_HALF), sample.pid


def _outfit(sample: Sample) -> tuple[int, int]:
    return int(sample.split not in TRAINING_HALF), sample.clothes_id


def _known(camera: int | None) -> bool:
    return camera is not None and camera >= 0


def _numbers(keys: Iterable[Hashable]) -> dict[Any, int]:
    """Key -> its place among all of them, sorted."""
    return {key: number for number, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]  # tuples of text and integers


def _placed(sample: Sample, domain: str, **numbers: Any) -> Sample:
    """The sample with its paths and its domain below the source's."""
    frames = tuple(f"{domain}/{frame}" for frame in sample.frames)
    own = f"{domain}/{sample.domain}" if sample.domain else domain
    return replace(sample, path=f"{domain}/{sample.path}", frames=frames, domain=own, **numbers)


def _draws(sources: Mapping[str, Dataset]) -> dict[str, Draw]:
    """Divisions of the same name are one: their paths, source after source."""
    names = sorted({name for d in sources.values() for name in d.draws})
    return {
        name: Draw(
            *(
                tuple(f"{domain}/{path}" for domain, d in sources.items() if name in d.draws for path in getattr(d.draws[name], part))
                for part in ("train", "query", "gallery")
            )
        )
        for name in names
    }


def _check_distinct(datasets: Sequence[Dataset]) -> None:
    seen: dict[str, Dataset] = {}
    for dataset in datasets:
        place = os.path.realpath(dataset.root)
        if place in seen:
            raise UserError(f"The data set {dataset.root} is given twice.", "Name every data set once.")
        copy = next((other for other in seen.values() if _is_copy(dataset, other)), None)
        if copy is not None:
            raise UserError(
                f"The data sets {copy.root} and {dataset.root} are one: their pictures have equal paths, sizes and labels.",
                f"Leave one of them out: joined, everybody in {dataset.root} would be two people.",
            )
        seen[place] = dataset


def _is_copy(dataset: Dataset, other: Dataset) -> bool:
    """Whether two folders hold the same data. Files are looked at only where the samples leave it open."""
    return bool(dataset.samples) and dataset.samples == other.samples and dataset.fingerprint == other.fingerprint


@dataclass(frozen=True)
class _Named:
    """A data set and the folders of its root, from the innermost out, in lower case."""

    dataset: Dataset
    folders: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> _Named:
        above = [folder.lower() for folder in dataset.root.resolve().parts[1:-1]]
        return cls(dataset, (dataset.name or "data", *reversed(above)))

    def name(self, depth: int) -> str:
        return "-".join(reversed(self.folders[:depth]))


def _by_domain(datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Domain -> data set, by sorted domain."""
    # Where even whole paths read alike (they differ in upper and lower case), the order of the paths decides.
    entries = sorted((_Named.of(d) for d in datasets), key=lambda entry: os.path.realpath(entry.dataset.root))
    deepest = max(len(entry.folders) for entry in entries)
    depths = [1] * len(entries)
    for _ in range(deepest):
        names = [entry.name(depth) for entry, depth in zip(entries, depths, strict=True)]
        count = Counter(names)
        depths = [depth + (count[name] > 1) for name, depth in zip(names, depths, strict=True)]
    domains: dict[str, Dataset] = {}
    for name, entry in zip(names, entries, strict=True):
        free = (f"{name}-{number}" for number in itertools.count(1))
        chosen = name if names.count(name) == 1 else next(f for f in free if f not in domains and f not in names)
        domains[chosen] = entry.dataset
    return dict(sorted(domains.items()))


def _common_parent(datasets: Sequence[Dataset]) -> Path:
    roots = [os.path.abspath(d.root) for d in datasets]
    try:
        return Path(os.path.commonpath(roots))
    except ValueError:  # several drives have none
        return Path(min(roots))
