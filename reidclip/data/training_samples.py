"""Which pictures are trained on: those of the splits that the settings name, the only place where that is decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reidclip.counted import counted
from reidclip.data.halves import OTHER_BOXES, TRAINING_HALF
from reidclip.data.join import is_distractor, place_of, with_halves_joined
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample

ALL = "all"
"""All splits merged: train, query and gallery, and val where there is one (protocols 1 and 3 of CLIP-FGDI); of
CUHK03 the boxes drawn by hand, as there."""

Distractors = Literal["drop", "identity"]


@dataclass(frozen=True)
class Chosen:
    """What the splits hold, in the data set's order, every picture once.

    Attributes:
        samples: numbered so that a number is one person and one outfit, also where both halves are trained on.
        distractors: number of pictures that were left out, or taken as one more identity.
        notes: what a reader of a result should know of the choice.
    """

    samples: tuple[Sample, ...]
    distractors: int = 0
    notes: tuple[str, ...] = ()


def choose_samples(dataset: Dataset, splits: Sequence[str] = ("train",), distractors: Distractors = "drop") -> Chosen:
    """The pictures of the splits named: of splits, of random divisions (`reidclip.records.Draw`, their ``train``), or of "all".

    Splits of the test half bring distractors, which are nobody to learn: they are left out, or, with "identity", one more person of their
    data set. The published program of CLIP-FGDI does the latter with the 2,798 of Market-1501: it renumbers the gallery first, so that it
    no longer knows them.

    Nothing is checked here; see `training_samples`.
    """
    drawn = {path for name in splits if name in dataset.draws for path in dataset.draws[name].train}
    first: dict[str, int] = {}  # a picture may be in several splits: where query and gallery are the same pictures
    for index, s in enumerate(dataset.samples):
        if (ALL in splits and s.split not in OTHER_BOXES) or s.split in splits or s.path in drawn:
            first.setdefault(s.path, index)
    nobody = {index for index in first.values() if is_distractor(dataset, dataset.samples[index])}
    kept = [index for index in first.values() if distractors == "identity" or index not in nobody]
    both_halves = len({dataset.samples[index].split in TRAINING_HALF for index in kept}) > 1
    numbered = with_halves_joined(dataset) if both_halves else dataset.samples
    return Chosen(tuple(numbered[index] for index in kept), len(nobody), _notes(len(nobody), distractors))


def _notes(nobody: int, distractors: Distractors) -> tuple[str, ...]:
    if not nobody:
        return ()
    drop = "is left out of the training", "are left out of the training"
    kept = ("is trained on as an identity", "are trained on as one more identity of each data set that has some")
    one, many = drop if distractors == "drop" else kept
    return (counted(nobody, f"distractor, a picture of nobody, {one}.", f"distractors, pictures of nobody, {many}."),)


def training_samples(dataset: Dataset, splits: Sequence[str] = ("train",), distractors: Distractors = "drop") -> tuple[Sample, ...]:
    """The training pictures, see `choose_samples`, checked to be trainable.

    Raises:
        UserError: a split without pictures (of joined data: in every source), a source without training pictures, a picture of nobody,
            or fewer than two identities.
    """
    _check_splits(dataset, splits)
    train = choose_samples(dataset, splits, distractors).samples
    _check_sources(dataset, train, splits)
    nobody = [s for s in train if s.pid < 0]
    if nobody:
        first = dataset.absolute(nobody[0]) if dataset.sources else nobody[0].path
        raise UserError(f"{len(nobody)} training pictures have no identity; the first is {first}.", "Name them, or leave them out.")
    if not train and (lacking := _without_all(dataset, splits)):
        raise lacking
    if len({s.pid for s in train}) < 2:
        raise UserError(f"The training split of {place_of(dataset)} has one identity only.", "Re-identification needs at least two.")
    return train


def _check_splits(dataset: Dataset, splits: Sequence[str]) -> None:
    present = _splits_of(dataset)
    missing = [split for split in splits if split not in present and split != ALL]
    if not missing:
        return
    known = ", ".join(present) or "none"
    if missing == ["train"]:
        lacking = [note for note in dataset.notes if note.endswith(" is missing.")]  # a file without which pictures are in no split
        remedy = " ".join(["Training needs a 'train' split.", *lacking])
        raise UserError(f"{place_of(dataset)} has no training pictures (splits: {known}).", remedy)
    raise UserError(
        f"train_splits names '{missing[0]}', but {place_of(dataset)} has no pictures of such a split (splits: {known}).",
        "Name splits that it has, for example --set 'train_splits=[\"train\"]'.",
    )


def _check_sources(dataset: Dataset, train: Sequence[Sample], splits: Sequence[str]) -> None:
    """Every source gives pictures: one that gives none was named by mistake, or its splits are called otherwise."""
    given = {s.path.partition("/")[0] for s in train}
    for domain, source in dataset.sources.items():
        if domain not in given:
            if lacking := _without_all(source, splits):
                raise lacking
            known = ", ".join(_splits_of(source)) or "none"
            raise UserError(
                f"Data set '{domain}' ({place_of(source)}) has no pictures of the splits that are trained on ({', '.join(splits)}).",
                f"Name one of its own as well (--set train_splits=...: {known}, or {ALL}), or leave the data set out.",
            )


def _without_all(dataset: Dataset, splits: Sequence[str]) -> UserError | None:
    """The error of a data set that "all" leaves nothing of: its boxes are a detector's, and another training than the published ones."""
    present = sorted({s.split for s in dataset.samples})
    if ALL not in splits or not present or not OTHER_BOXES.issuperset(present):
        return None
    return UserError(
        f"train_splits names '{ALL}', which means the labelled boxes, and {place_of(dataset)} has detected boxes only.",
        f"Add the labelled boxes to the data set, or train on the others by name: --set 'train_splits={json.dumps(present)}'.",
    )


def _splits_of(dataset: Dataset) -> list[str]:
    return sorted({s.split for s in dataset.samples} | {name for name, draw in dataset.draws.items() if draw.train})
