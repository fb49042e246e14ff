"""What a checkpoint was trained on, as seen from the data that it is evaluated on.

A result on data of the training set and one on data never seen are different results; everything that tells a result also tells which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reidclip import registry
from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.manifest import DatasetRef
from reidclip.data.called import name_by_layout
from reidclip.data.halves import OTHER_BOXES, TRAINING_HALF, in_all_boxes
from reidclip.data.training_samples import choose_samples
from reidclip.evaluation.protocols import required_samples
from reidclip.records import Dataset, Protocol, Sample
from reidclip.synth.files import PARAMETERS

LAYOUTS = "reidclip.layouts"
Relation = Literal["same", "source", "other copy", "other", "unknown", "untrained"]


@dataclass(frozen=True)
class Provenance:
    """A checkpoint and one data set.

    Attributes:
        relation: "same": trained on this very data; "source": this data is one of several that it was trained on; "other copy": trained on
            data of the same folder or the same published data set whose files or labels differ; "other": another data set, a cross-data-set
            evaluation; "unknown": nothing says (imported weights); "untrained": a plain CLIP.
        sources: what it was trained on, by domain; one, called by its folder, where the data was one set.
        train_splits: splits of the sources that it was trained on.
        test_seen: whether pictures that are compared here were trained on, be it in other boxes.
    """

    relation: Relation
    sources: dict[str, DatasetRef]
    train_splits: tuple[str, ...] = ()
    test_seen: bool = False

    @property
    def cross_dataset(self) -> bool:
        """Whether this is an evaluation on data other than the training's."""
        return self.relation == "other"

    def to_json(self) -> dict[str, Any]:
        """What metrics and manifest say of it."""
        sources = [{"domain": domain, "layout": s.layout, "root": s.root} for domain, s in self.sources.items()]
        return {
            "trained_on": sources,
            "train_splits": list(self.train_splits),
            "relation": self.relation,
            "cross_dataset": self.cross_dataset,
            "test_pictures_trained_on": self.test_seen,
        }

    def told(self, dataset: Dataset) -> str:
        """One clause for a title; "" where the data is the training's own and nothing is odd."""
        trained = " + ".join(self.sources)
        here = f"{dataset.name} ({dataset.layout})"
        if self.relation == "other":
            clause = f"trained on {trained}, evaluated on {here}: another data set"
        elif self.relation == "source":
            clause = f"trained on {trained}, evaluated on {here}: its training split was a source"
        elif self.relation == "other copy":
            clause = f"trained on another copy of {here}"
        else:
            clause = ""
        seen = "test pictures of it were trained on" if self.test_seen else ""
        return "; ".join(filter(None, (clause, seen)))


def sources_of(made: DatasetRef | None) -> dict[str, DatasetRef]:
    """The data sets behind a reference, by domain: those that were joined, or the one itself, called by its folder; none for None."""
    if made is None:
        return {}
    return dict(made.sources) or {name_by_layout(made.layout, made.root) or Path(made.root).name.lower(): made}


def provenance(checkpoint: Artifact | None, dataset: Dataset, protocols: Sequence[Protocol] = ()) -> Provenance:
    """What a checkpoint (None: a plain CLIP) has to do with a data set.

    Args:
        protocols: of the data set; their pictures are looked up among those trained on.
    """
    if checkpoint is None:
        return Provenance("untrained", {})
    made = checkpoint.manifest.dataset
    if made is None:
        return Provenance("unknown", {})
    sources, splits = sources_of(made), train_splits_of(checkpoint)
    relation = _relation(made, sources, dataset)
    mine = relation in ("same", "source", "other copy")
    return Provenance(relation, sources, splits, mine and _overlap(dataset, splits, protocols))


def train_splits_of(checkpoint: Artifact) -> tuple[str, ...]:
    """Splits that a checkpoint's training took; ("train",) where its manifest does not say."""
    settings = checkpoint.manifest.config.get("settings")
    splits = settings.get("train_splits") if isinstance(settings, dict) else None
    return tuple(str(split) for split in splits) if isinstance(splits, list) and splits else ("train",)


def is_published(layout: str, *roots: Path) -> bool:
    """Whether papers report on data of this layout, and none of the folders holds rendered pictures."""
    known = registry.info(LAYOUTS, layout).object if layout in registry.names(LAYOUTS) else None
    rendered = any((folder / PARAMETERS).is_file() for root in roots for folder in (root, root.parent))
    return bool(getattr(known, "published", ())) and not rendered


def same_folder(first: Path, second: Path) -> bool:
    """Whether two folders are one, or one holds the other."""
    first, second = first.resolve(), second.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _relation(made: DatasetRef, sources: dict[str, DatasetRef], dataset: Dataset) -> Relation:
    if made.fingerprint == dataset.fingerprint:
        return "same"
    if any(s.fingerprint == dataset.fingerprint for s in sources.values()):
        return "source" if len(sources) > 1 else "same"
    copies = [
        s
        for s in sources.values()
        if Path(s.root).resolve() == dataset.root.resolve()
        or (s.layout == dataset.layout and is_published(s.layout, Path(s.root), dataset.root))
    ]
    return "other copy" if copies else "other"


def _overlap(dataset: Dataset, splits: Sequence[str], protocols: Sequence[Protocol]) -> bool:
    """Whether a photograph that the protocols compare was trained on, as a training on these splits chooses its pictures.

    Where the same photographs are there in two kinds of boxes, those of the other kind count, found by the person: photographs of one
    person are never divided, and the numbers of a box's pictures need not be the other's.
    """
    trained = {s.path for s in choose_samples(dataset, tuple(in_all_boxes(splits))).samples}
    compared = required_samples(dataset, protocols)
    if any(s.path in trained for s in compared):
        return True
    if not any(s.split in OTHER_BOXES for s in dataset.samples):
        return False
    learned = {_person(dataset, s) for s in dataset.samples if s.path in trained}  # as the data set numbers them, not the training
    return any(_person(dataset, s) in learned for s in compared)


def _person(dataset: Dataset, sample: Sample) -> tuple[bool, int]:
    return dataset.numbered_apart and sample.split in TRAINING_HALF, sample.pid
