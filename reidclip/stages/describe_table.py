"""The inspection table of ``descriptions``: which phrases dominate, and where bodies are known, how often they are true."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidclip.artifacts.store import Artifact
from reidclip.bodies.mesh_set import open_bodies
from reidclip.bodies.phrases import PAIRS
from reidclip.counted import counted
from reidclip.data.join import is_distractor, with_halves_joined
from reidclip.evaluation.phrases import DEGENERATE, PairUse, agreement, consistency, texts_alike
from reidclip.records import Dataset
from reidclip.stages.choose import made_from
from reidclip.stages.read_descriptions import KIND, described_rows, read_tables


@dataclass(frozen=True)
class DescriptionTable:
    """What the pictures of a data set say of every pair.

    Attributes:
        pairs: in the order of `reidclip.bodies.phrases.PAIRS`.
        pictures: how many were described.
        people: how many people's bodies are known; 0 without a table of bodies.
    """

    pairs: tuple[PairUse, ...]
    pictures: int
    people: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on pairs that say nothing."""
        alike = [f"{p.first} / {p.second}" for p in self.pairs if p.alike]
        degenerate = [f"{p.first} / {p.second}" for p in self.pairs if p.degenerate and not p.alike]
        told = []
        if alike:
            told.append(f"The CLIP takes both phrases of {counted(len(alike), 'pair', 'pairs')} for the same text: {', '.join(alike)}.")
        if degenerate:
            what = counted(len(degenerate), "pair has", "pairs have")
            told.append(f"{what} the same phrase on more than {DEGENERATE:.0%} of the pictures: {', '.join(degenerate)}.")
        return tuple(told)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        pairs = [{**asdict(p), "degenerate": p.degenerate, "alike": p.alike} for p in self.pairs]
        return {"pictures": self.pictures, "people": self.people, "pairs": pairs, "warnings": list(self.warnings)}


def description_table(artifact: Artifact, dataset: Dataset) -> DescriptionTable:
    """The table of some descriptions of a data set; their own, checked.

    Raises:
        UserError: they are of other data, or its table of bodies cannot be read.
    """
    made_from(artifact, dataset, KIND)
    rows, tables = described_rows(artifact), read_tables(artifact)
    return table_of(list(rows), {name: tensor.numpy() for name, tensor in tables.items()}, dataset)


def table_of(pictures: list[str], tables: Mapping[str, NDArray[Any]], dataset: Dataset) -> DescriptionTable:
    """The table of descriptions in memory.

    Args:
        pictures: relative paths of N pictures.
        tables: ``choices`` (N, 16), ``scores`` (N, 16, 2) and ``texts`` (16, 2, D).
        dataset: says who is in the pictures, and which bodies they have.
    """
    choices = tables["choices"]
    leanings = tables["scores"][..., 0].astype(np.float64) - tables["scores"][..., 1]
    alike = texts_alike(tables["texts"].astype(np.float64))
    identities = _identities(dataset)
    people = [identities.get(path) for path in pictures]
    bodies = true_words(dataset)
    known = [row for row, path in enumerate(pictures) if path in bodies]
    owners = [bodies[pictures[row]][0] for row in known]
    truths = {bodies[pictures[row]][0]: bodies[pictures[row]][1] for row in known}
    uses = []
    for number, pair in enumerate(PAIRS):
        own = choices[:, number]
        truth = {person: int(true[number]) for person, true in truths.items()}
        uses.append(
            PairUse(
                pair.first,
                pair.second,
                float((own == 0).mean()),
                float(np.abs(leanings[:, number]).mean()),
                float(alike[number]),
                *consistency(own, people),
                agreement(own[known], leanings[known, number], owners, truth) if known else None,
            )
        )
    return DescriptionTable(tuple(uses), len(pictures), len(truths))


def _identities(dataset: Dataset) -> dict[str, Hashable]:
    """Picture -> number of the person; without pictures of nobody."""
    found: dict[str, Hashable] = {}
    for sample, numbered in zip(dataset.samples, with_halves_joined(dataset), strict=True):
        if sample.pid >= 0 and not is_distractor(dataset, sample):
            for path in sample.pictures:
                found.setdefault(path, numbered.pid)
    return found


def true_words(dataset: Dataset) -> dict[str, tuple[Hashable, NDArray[np.int64]]]:
    """Picture -> whose body it shows, and which phrases are true of that body; of joined data from the sources' own tables."""
    if dataset.sources:
        parts = ((domain, true_words(source)) for domain, source in dataset.sources.items())
        return {f"{domain}/{path}": ((domain, owner), true) for domain, part in parts for path, (owner, true) in part.items()}
    table = open_bodies(dataset.root)
    return {} if table is None else {path: (row, table.choices[row]) for path, row in table.rows.items()}
