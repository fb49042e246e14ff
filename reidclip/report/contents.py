"""What a page holds, decided and computed, before a line of HTML is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidclip.artifacts.lineage import LineageNode
from reidclip.artifacts.manifest import DatasetRef, Environment
from reidclip.report.pair_distances import PairDistances


@dataclass(frozen=True, slots=True)
class Item:
    """One picture (or tracklet) that a list shows.

    Attributes:
        path: relative to the data set.
        pid: identity; -1 where unknown.
        camera, clothes: None where the data does not know them.
        picture: place among the page's pictures; None where there is none.
    """

    path: str
    pid: int
    camera: int | None = None
    clothes: int | None = None
    picture: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one evaluation found for a query.

    Attributes:
        precision: average precision, 0 to 1.
        first_rank: 1-based, of the first match.
        matches: in the gallery.
        answers: (item, distance, whether it is of the query's person), the nearest first; empty where labels are not at hand.
    """

    precision: float
    first_rank: int
    matches: int
    answers: tuple[tuple[int, float, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A query that is shown: its item, what it was chosen as, and what each evaluation found."""

    item: int
    tags: tuple[str, ...]
    found: tuple[Found | None, ...]


@dataclass(frozen=True)
class ProtocolView:
    """One protocol in several evaluations; tuples are by evaluation, None where one lacks it.

    Attributes:
        rule: which gallery items are ignored, in words.
        note: one sentence for the reader, of the data set.
        metrics: entries of metrics.json.
        curves: CMC at ranks 1, 2, ...
        distances: of pairs.
        queries: those shown.
        valid: queries with a match, of all.
        other_clothes: how many of all are first found in other clothes, by evaluation; None where clothes are not known.
    """

    name: str
    rule: str
    note: str
    metrics: tuple[Mapping[str, Any] | None, ...]
    curves: tuple[NDArray[np.float64] | None, ...]
    distances: tuple[PairDistances | None, ...]
    queries: tuple[Query, ...]
    valid: int
    other_clothes: tuple[int | None, ...]


@dataclass(frozen=True)
class FeatureMap:
    """Features of some people in the plane.

    Attributes:
        way: "t-SNE" or "principal components".
        points: (N, 2).
        items: of each point.
    """

    way: str
    points: NDArray[np.float64]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class HeatMap:
    """One query and the overlays of the checkpoints' maps: places among the page's pictures."""

    item: Item
    overlays: tuple[int, ...]


@dataclass(frozen=True)
class GroupView:
    """Evaluations of one data set.

    Attributes:
        title: the data set's name.
        evaluations: references, in the order of all tuples "by evaluation".
        dataset: what they were made from; None where nothing says.
        items: pictures that lists name by their place here.
        maps: by evaluation.
        heat: of some queries; ``heat_of`` names the checkpoints.
        notes: what the reader should know.
    """

    title: str
    evaluations: tuple[str, ...]
    dataset: DatasetRef | None
    protocols: tuple[ProtocolView, ...]
    items: tuple[Item, ...] = ()
    maps: tuple[FeatureMap | None, ...] = ()
    heat: tuple[HeatMap, ...] = ()
    heat_of: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Values by key and evaluation; ``rows`` are (key, values), "" where one has no such key."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Contents:
    """A whole page.

    Attributes:
        pictures: data URIs; None where one was left out for the sake of the page's size.
        averages: rows of summaries over data sets and seeds.
        settings: of evaluations and trainings, one table per command.
        lineage: per evaluation.
        environments: (reference, where it ran, when, with which version).
    """

    title: str
    created: str
    version: str
    groups: tuple[GroupView, ...]
    pictures: tuple[str | None, ...] = ()
    averages: tuple[Table, ...] = ()
    settings: tuple[Table, ...] = ()
    lineage: tuple[LineageNode, ...] = ()
    environments: tuple[tuple[str, Environment, str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
