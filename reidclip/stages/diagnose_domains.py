"""``reidclip evaluate A B ... --diagnostics``: whether test features tell the data sets apart; ``diagnostics.json``, ``diagnostics/``."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from reidclip.artifacts.artifact import Artifact
from reidclip.evaluation.diagnostics.chart import scatter_chart
from reidclip.evaluation.diagnostics.domain_probe import domain_probe
from reidclip.evaluation.diagnostics.project import project
from reidclip.evaluation.over_seeds import mean_and_interval
from reidclip.records import Dataset
from reidclip.stages.diagnose import FOLDER, TABLE

MAP_PICTURES = 150  # of each data set


@dataclass(frozen=True)
class DomainFeatures:
    """Test features of people of several data sets; those of nobody (distractors, unknown) are left out.

    Attributes:
        names: of the data sets.
        matrix: (N, D), as they are compared.
        paths: of the pictures.
        people: (N,) a number of its own for each person of each data set.
        domains: (N,) number of the data set.
    """

    names: tuple[str, ...]
    matrix: Tensor
    paths: tuple[str, ...]
    people: NDArray[np.int64]
    domains: NDArray[np.int64]


def diagnose_domains(
    names: Sequence[str], datasets: Sequence[Dataset], runs: Sequence[Sequence[Artifact]], resamples: int, seed: int, folder: Path
) -> dict[str, Any]:
    """Write ``diagnostics.json`` and ``diagnostics/domains.png`` and ``.csv`` of several evaluations into an artifact in the making.

    Args:
        names, datasets: of the targets.
        runs: per checkpoint (seed), the evaluation of each target; the map shows the first's.
        resamples: of the bootstrap over people, where there is one checkpoint.
        seed: of every random choice.

    Returns:
        What ``diagnostics.json`` holds. A part that cannot be had is ``{"skipped": why}``.
    """
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    features = [_features(names, datasets, run) for run in runs]
    found = {"domain_probe": _probe(features, resamples, seed), "map": _map(features[0], seed, out)}
    (folder / TABLE).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _features(names: Sequence[str], datasets: Sequence[Dataset], run: Sequence[Artifact]) -> DomainFeatures:
    parts: list[Tensor] = []
    paths: list[str] = []
    people: list[tuple[int, int]] = []
    for number, (dataset, artifact) in enumerate(zip(datasets, run, strict=True)):
        known = {s.path: s.pid for s in dataset.samples if s.pid >= 0 and s.pid not in dataset.distractors}
        listed: list[str] = json.loads(artifact.file("paths.json").read_text(encoding="utf-8"))
        kept = [row for row, path in enumerate(listed) if path in known]
        parts.append(load_file(artifact.file("features.safetensors"))["features"][kept])
        paths += [listed[row] for row in kept]
        people += [(number, known[listed[row]]) for row in kept]
    table = np.array(people, np.int64).reshape(-1, 2)
    dense = np.unique(table, axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)
    return DomainFeatures(tuple(names), torch.cat(parts), tuple(paths), dense, table[:, 0])


def _probe(features: Sequence[DomainFeatures], resamples: int, seed: int) -> dict[str, Any]:
    """Of several checkpoints mean and interval over them, with each one's result."""
    several = len(features) > 1
    results = [domain_probe(f.matrix, f.people, f.domains, resamples=0 if several else resamples, seed=seed) for f in features]
    known = [dataclasses.asdict(result) for result in results if result is not None]
    if len(known) < len(results):
        return {"skipped": "it takes two data sets with two people each"}
    told: Mapping[str, Any] = {**known[0], "recall": dict(zip(features[0].names, known[0]["recall"], strict=True))}
    if not several:
        return dict(told)
    each = [result["accuracy"] for result in known]
    mean, interval = mean_and_interval(each)
    recall = {name: float(np.mean([result["recall"][i] for result in known])) for i, name in enumerate(features[0].names)}
    return {**told, "accuracy": mean, "interval": interval, "recall": recall, "accuracy_each": each}


def _map(features: DomainFeatures, seed: int, out: Path) -> dict[str, Any]:
    """CLIP-FGDI's figure 5: colours, and marks, are data sets."""
    draw = np.random.default_rng(seed)
    chosen = [np.sort(draw.permutation(np.flatnonzero(features.domains == d))[:MAP_PICTURES]) for d in range(len(features.names))]
    rows = np.concatenate(chosen)
    if len(rows) < 2:
        return {"skipped": "there are fewer than two pictures of known people"}
    points, way = project(features.matrix[torch.from_numpy(rows)], seed)
    domains = [int(features.domains[row]) for row in rows]
    title = f"{len(features.names)} data sets, {'t-SNE' if way == 't-sne' else 'principal components'}"
    chart = scatter_chart(title, "a colour and a mark per data set", points, domains, domains, list(features.names))
    chart.save(out / "domains.png", format="PNG")
    with (out / "domains.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["data set", "picture", "x", "y"])
        for row, (x, y) in zip(rows, points, strict=True):
            writer.writerow([features.names[features.domains[row]], features.paths[row], f"{x:.6f}", f"{y:.6f}"])
    return {"way": way, "pictures": len(rows)}
