"""Which pictures `explain` looks at: files, folders, or a split of a data set; and the label maps that belong to them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from reidclip.artifacts.manifest import MANIFEST, DatasetRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import UInt8, picture_size, read_mask_png
from reidclip.data.label_set_file import label_set_for
from reidclip.data.label_sets import LabelSet
from reidclip.data.layouts.pictures import NAME, load_pictures
from reidclip.data.open import open_dataset, open_pictures
from reidclip.errors import UserError, closest
from reidclip.records import Dataset, Sample
from reidclip.stages.choose import Say
from reidclip.stages.label_maps import ELSEWHERE, LabelMaps
from reidclip.stages.reopen import open_again
from reidclip.stages.use_masks import keep_file

SHEET_LIMIT = 24
MASK_SET = LabelSet("masks", ("Not clothes", "Clothes"), ("Clothes",))


class Labels(Protocol):
    """Label maps of pictures, whatever they were made from."""

    @property
    def label_set(self) -> LabelSet:
        """What the labels mean."""
        ...

    @property
    def artifact(self) -> Artifact | None:
        """What they lie in; None for a folder."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where they lie; None for an artifact."""
        ...

    def read(self, dataset: Dataset, path: str) -> UInt8:
        """(H, W) label indices at the picture's size."""
        ...


@dataclass(frozen=True)
class MaskLabels:
    """The masks of an artifact as label maps with two labels."""

    artifact: Artifact
    label_set: LabelSet = MASK_SET
    folder: None = None

    def read(self, dataset: Dataset, path: str) -> UInt8:
        """1 where the mask hides clothes. Raises `UserError` for a mask of another size than its picture."""
        labels: UInt8 = 1 - read_mask_png(self.artifact.file(keep_file(path)))
        picture = dataset.file(path)
        if labels.shape != picture_size(picture):
            raise UserError(f"The mask of {picture} in {self.artifact.ref} has another size.", "Make the masks again: reidclip mask.")
        return labels


@dataclass(frozen=True)
class Chosen:
    """The pictures that are explained.

    Attributes:
        dataset: them and no others.
        data: what they were taken from: the whole data set, or all pictures that were named.
        split: of the data set; None where all of it is meant.
        limit: how many were drawn of it; None where all are taken.
    """

    dataset: Dataset
    data: DatasetRef
    split: str | None
    limit: int | None


def choose_pictures(
    images: Sequence[Path], layout: str | None, split: str | None, limit: int | None, seed: int, draw: bool, say: Say
) -> Chosen:
    """The pictures as a data set of nothing else: each once, in order; a tracklet is represented by the frame in its middle.

    Args:
        images: pictures and folders, or the root of one data set.
        layout: of the data set; None recognises it.
        split: of the data set; None takes all of it.
        limit: so many are drawn at random; None takes all files named, and all of folders unless they are drawn (then 24).
        seed: of that choice.
        draw: sheets are wanted.

    Raises:
        UserError: nothing there, no such split, or a split of what is no data set.
    """
    for path in images:
        if not path.exists():
            raise UserError(f"There is no picture or folder {path}.", "Check the path.")
    found, data = _whole(images, layout, split)
    if limit is None and draw and any(path.is_dir() for path in images):
        limit = SHEET_LIMIT
    count = len(found.samples)
    if limit is not None and limit < count:
        chosen = np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
        say(f"pictures: {limit} of {count}, drawn at random with seed {seed} (--limit)")
        return Chosen(dataclasses.replace(found, samples=tuple(found.samples[i] for i in chosen)), DatasetRef.of(data), split, limit)
    return Chosen(found, DatasetRef.of(data), split, None)


def _whole(images: Sequence[Path], layout: str | None, split: str | None) -> tuple[Dataset, Dataset]:
    """All pictures that were asked for, and the data that they are of."""
    single = images[0] if len(images) == 1 and images[0].is_dir() else None
    if (split or layout) and single is None:
        raise UserError("A split is a part of one data set, but other pictures were named.", "Give the data set's folder alone.")
    if single is not None and split:
        dataset = open_dataset(single, layout)
        if not dataset.split(split):
            names = list(dict.fromkeys(s.split for s in dataset.samples))
            hint = closest(split, names)
            raise UserError(f"{dataset.root} has no pictures in split '{split}'.", f"{hint} Splits: {', '.join(names)}.".lstrip())
        return _as_pictures(dataset, dataset.split(split)), dataset
    if single is not None and (dataset := open_pictures(single, layout)).layout != NAME:
        return _as_pictures(dataset, dataset.samples), dataset
    found = [path / s.path for path in images if path.is_dir() for s in load_pictures(path).samples]
    files = dict.fromkeys(os.path.abspath(path) for path in [*(p for p in images if not p.is_dir()), *found])
    # Relative to the root of the disk: label maps are found by the end of a picture's path, however far up they begin to differ.
    root = Path(Path.cwd().anchor)
    named = Dataset(NAME, root, tuple(Sample(Path(file).relative_to(root).as_posix(), -1, 0, -1, "all") for file in files))
    return named, named


def _as_pictures(dataset: Dataset, samples: Sequence[Sample]) -> Dataset:
    single = [s if not s.frames else dataclasses.replace(s, path=s.frames[len(s.frames) // 2], frames=()) for s in samples]
    return dataclasses.replace(dataset, samples=tuple(single), protocols=())


def with_labels(dataset: Dataset, labels: str, label_set: str | None, store: Store, say: Say) -> tuple[Dataset, Labels]:
    """Label maps for the pictures, all of them there; the pictures then lie where the label maps say that they do.

    Args:
        dataset: as `choose_pictures` gives it.
        labels: a folder of label maps, or a reference of a parsing or masks artifact.
        label_set: of a folder's maps; None infers it.

    Raises:
        UserError: no such labels, a picture without one, no telling what they hold, or an artifact made from other pictures of these names.
    """
    folder = Path(labels)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        try:
            named = None if label_set is None else label_set_for(label_set)
            maps = LabelMaps.of_folder(folder, dataset, label_set=named, resize=True)
        except UserError as error:  # whose remedies may be those of another command
            raise UserError(error.what, ELSEWHERE if "no label map" in error.what else error.remedy) from error
        say(f"label set: {maps.label_set.name} ({maps.reason})")
        return dataset, maps
    if label_set is not None:
        raise UserError("--label-set is for a folder of label maps; artifacts bring their own.", "Leave --label-set out.")
    artifact = _labels_artifact(labels, store)
    dataset = _in_data_of(artifact, dataset)
    _check_unchanged(artifact)
    paths = [s.path for s in dataset.samples]
    if artifact.kind == "masks":
        missing = [path for path in paths if keep_file(path) not in artifact.files]
        found: Labels = MaskLabels(artifact)
    else:
        found = maps = LabelMaps.of_artifact(artifact, paths)
        missing = list(maps.missing)
    if missing:
        told = f"{len(missing)} of {len(paths)} pictures have none in {artifact.kind} {artifact.ref}; the first is {missing[0]}."
        raise UserError(told, "Take pictures that have one, or make them anew without --on-error skip.")
    return dataset, found


def _labels_artifact(ref: str, store: Store) -> Artifact:
    kinds = ("parsing", "masks")
    try:
        artifact = store.open(ref)
    except UserError as error:
        found = [a for kind in kinds if (a := _opened(store, ref, kind)) is not None]
        if len(found) == 1:
            return found[0]
        raise UserError(f"There is no folder of label maps '{ref}', nor one artifact of that name: {error.what}", error.remedy) from error
    if artifact.kind not in kinds:
        raise UserError(f"{artifact.kind}/{artifact.ref} holds no label maps.", "Name a parsing or masks artifact, or a folder.")
    return artifact


def _opened(store: Store, ref: str, kind: str) -> Artifact | None:
    try:
        return store.open(ref, kind=kind)
    except UserError:
        return None


def _in_data_of(artifact: Artifact, dataset: Dataset) -> Dataset:
    """The pictures relative to the data that the artifact was made from."""
    made = artifact.manifest.dataset
    sources = {f"{domain}/": source for domain, source in made.sources.items()} or {"": made} if made else {}
    roots = {place: Path(os.path.realpath(source.root)) for place, source in sources.items()} or {"": dataset.root}
    samples = []
    for sample in dataset.samples:
        path = Path(os.path.realpath(dataset.absolute(sample)))
        place = next((place for place, root in roots.items() if path.is_relative_to(root)), None)
        if place is None:
            raise UserError(
                f"{path} is not among the pictures that {artifact.kind} {artifact.ref} was made from "
                f"({' + '.join(str(root) for root in roots.values())}).",
                "Name label maps of these pictures.",
            )
        samples.append(dataclasses.replace(sample, path=place + path.relative_to(roots[place]).as_posix()))
    joined = {place[:-1]: Dataset(dataset.layout, root, ()) for place, root in roots.items() if place}
    return dataclasses.replace(dataset, root=next(iter(roots.values())), samples=tuple(samples), sources=joined)


def _check_unchanged(artifact: Artifact) -> None:
    """Pictures may have been exchanged under their names since: label maps of the old ones would fit every one of them."""
    made = artifact.manifest.dataset
    if made is None:
        return
    what = f"{artifact.kind} {artifact.ref}"
    now = DatasetRef.of(open_again(made, what))
    if found := made.differences(now):
        told = f"{what.capitalize()} was made from other pictures than those that now lie in {made.root}: {'; '.join(found)}."
        raise UserError(told, f"Make it anew: reidclip {'mask' if artifact.kind == 'masks' else 'parse'} {made.root}.")
