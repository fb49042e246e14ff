"""What an evaluation artifact tells of each query, and which queries two of them have in common."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidclip.artifacts.store import Artifact
from reidclip.errors import WorkError

METRICS = ("R1", "mAP")


@dataclass(frozen=True)
class QueryScores:
    """One protocol of one evaluation, valid queries alone; (V,) arrays.

    ``values["R1"]`` is 1 where the first match has rank 1, ``values["mAP"]`` the average precision (six decimals, as saved).
    Of a single-shot protocol it is the first draw of the gallery.
    """

    paths: tuple[str, ...]
    pids: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]


def read_scores(evaluation: Artifact, protocol: str) -> QueryScores:
    """The ranks table of a protocol.

    Raises:
        WorkError: it is not there, damaged, or holds no valid query.
    """
    path = evaluation.file(f"ranks-{protocol}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["valid"] == "1"]
    if not rows:
        raise WorkError(f"{path} holds no query with a match.", "Evaluate again.")
    return QueryScores(
        tuple(row["query"] for row in rows),
        np.array([int(row["pid"]) for row in rows], np.int64),
        {
            "R1": np.array([float(row["first_rank"] == "1") for row in rows]),
            "mAP": np.array([float(row["average_precision"]) for row in rows]),
        },
    )


def differences(this: QueryScores, other: QueryScores, metric: str) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    """Queries that are valid in both: their paths, identities, and this one's value minus the other's."""
    where = {path: index for index, path in enumerate(other.paths)}
    pairs = [(index, where[path]) for index, path in enumerate(this.paths) if path in where]
    left, right = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return tuple(this.paths[i] for i in left), this.pids[left], this.values[metric][left] - other.values[metric][right]


def read_metrics(evaluation: Artifact) -> dict[str, Any]:
    """``metrics.json``: protocol -> R1, mAP ... in 0..1."""
    metrics: dict[str, Any] = json.loads(evaluation.file("metrics.json").read_text(encoding="utf-8"))
    return metrics


def read_probe(evaluation: Artifact) -> dict[str, Any] | None:
    """The clothes probe of an evaluation made with diagnostics, None without.

    ``within_camera_share`` is its ``variance_share`` among the pictures of one camera; None where nobody changes clothes under one.
    """
    if "diagnostics.json" not in evaluation.files:
        return None
    found: dict[str, Any] = json.loads(evaluation.file("diagnostics.json").read_text(encoding="utf-8"))
    probe = found.get("clothes_probe")
    if not probe or "accuracy" not in probe:
        return None
    return {**probe, "within_camera_share": (probe.get("within_camera") or {}).get("variance_share")}
