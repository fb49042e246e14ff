"""What is wrong with a data set on disk, all of it: layouts gather faults, and raise one error that holds them and what could be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidclip.data.files import mirrored
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample


@dataclass(frozen=True, slots=True)
class Fault:
    """One file or line that does not fit.

    Attributes:
        kind: what it shares with others, as a heading: "Pictures that are not named as in LTCC".
        file: what it is about, relative to the data set's root: a path, or a list with its line.
        what: what is wrong and where, with the whole path; a sentence without its full stop.
        remedy: what to do about every fault of this kind, a sentence.
    """

    kind: str
    file: str
    what: str
    remedy: str


class DataFaultsError(UserError):
    """A data set that cannot be used as it is. Names the first fault and the number of the others.

    Args:
        faults: all of them, at least one.
        rest: what could be read, for `reidclip datasets verify`; it may have no samples.
    """

    def __init__(self, faults: Sequence[Fault], rest: Dataset) -> None:
        first, more = faults[0], len(faults) - 1
        told = f" (and {more:,} more fault{'s' if more > 1 else ''})" if more else ""
        listed = f" All of them: reidclip datasets verify {rest.root}" if more else ""
        super().__init__(f"{first.what}{told}.", first.remedy + listed)
        self.faults = tuple(faults)
        self.rest = rest


def without_faults(dataset: Dataset, faults: Sequence[Fault]) -> Dataset:
    """The data set, when nothing is wrong with it; two pictures that would share one mask are a fault as well.

    Raises:
        DataFaultsError: something is.
    """
    found = [*faults, *_twins(dataset, dataset.samples)]
    if found:
        raise DataFaultsError(found, dataset)
    return dataset


def _twins(dataset: Dataset, samples: Sequence[Sample]) -> list[Fault]:
    owner: dict[str, str] = {}
    found = []
    for path in (path for sample in samples for path in sample.pictures):
        other = owner.setdefault(mirrored(path), path)
        if other != path:
            found.append(
                Fault(
                    "Pictures that differ from another in the suffix only",
                    f"{path} = {other}",
                    f"{dataset.root / path} and {dataset.root / other} differ in the suffix only and would share one mask",
                    "Keep the one that the release has.",
                )
            )
    return found
