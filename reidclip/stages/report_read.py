"""An evaluation artifact read again: metrics, ranks per query, features."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from reidclip.artifacts.store import Artifact
from reidclip.errors import WorkError
from reidclip.evaluation.protocols import Features

METRICS, FEATURES, PATHS, SUMMARY = "metrics.json", "features.safetensors", "paths.json", "summary.json"
_AGAIN = "Remove the artifact and evaluate again."


@dataclass(frozen=True)
class RankLine:
    """One line of a table of ranks: a query, and where its matches stand."""

    path: str
    pid: int
    matches: int
    first_rank: int
    precision: float


@dataclass(frozen=True)
class Read:
    """One evaluation of retrieval.

    Attributes:
        artifact: itself; every file that is read is checked against its digest first.
    """

    artifact: Artifact

    @property
    def ref(self) -> str:
        """Its name in the page."""
        return self.artifact.ref

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Entries of metrics.json by protocol."""
        found = read_json(self.artifact, METRICS)
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise WorkError(f"{self.artifact.path / METRICS} is no table of metrics.", _AGAIN)
        return found

    @cached_property
    def features(self) -> Features:
        """Features of all pictures that were compared.

        Raises:
            WorkError: a damaged file, or one that does not fit its list of paths.
        """
        place, paths = self.artifact.file(FEATURES), read_json(self.artifact, PATHS)
        try:
            matrix = load_file(place)["features"]
        except (SafetensorError, KeyError, OSError) as error:
            raise WorkError(f"{place} holds no features: {error}.", _AGAIN) from error
        if matrix.ndim != 2 or not isinstance(paths, list) or len(paths) != len(matrix) or not bool(matrix.isfinite().all()):
            raise WorkError(f"{place} does not hold one finite row for each path of {PATHS}.", _AGAIN)
        distance = self.artifact.manifest.config.get("feature", {}).get("distance", "cosine")
        return Features(tuple(map(str, paths)), matrix.float(), "distance" if distance == "Euclidean" else "similarity")

    def ranks(self, protocol: str) -> list[RankLine]:
        """Lines of the queries that have a match; empty where the artifact has no such table, or one per random split."""
        name = f"ranks-{protocol}.csv"
        if name not in self.artifact.files:
            return []
        place = self.artifact.file(name)
        try:
            with place.open(newline="", encoding="utf-8") as file:
                return [_line(row) for row in csv.DictReader(file) if row["valid"] == "1"]
        except (KeyError, ValueError, TypeError) as error:
            raise WorkError(f"{place} is no table of ranks: {error}.", _AGAIN) from error


def _line(row: Mapping[str, str]) -> RankLine:
    return RankLine(row["query"], int(row["pid"]), int(row["matches"]), int(row["first_rank"]), float(row["average_precision"]))


def read_json(artifact: Artifact, name: str) -> Any:
    """A JSON file of an artifact, its digest checked.

    Raises:
        WorkError: damaged, or no JSON.
    """
    place: Path = artifact.file(name)
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkError(f"{place} is not valid JSON: {error}.", _AGAIN) from error


def curve_of(lines: list[RankLine], ranks: int) -> NDArray[np.float64]:
    """CMC at ranks 1 .. ``ranks`` from a table of ranks."""
    first = np.array([line.first_rank for line in lines], np.int64)
    return np.array([(first <= rank).mean() for rank in range(1, ranks + 1)])
