"""``reidclip evaluate --diagnostics``: tables and pictures that tell why a result is what it is; ``diagnostics.json``, ``diagnostics/``."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.data.join import is_distractor
from reidclip.evaluation.diagnostics.chart import GREEN, RED, Series, histogram_chart, scatter_chart
from reidclip.evaluation.diagnostics.histogram import TwoHistograms
from reidclip.evaluation.diagnostics.pairs import pair_distances
from reidclip.evaluation.diagnostics.probe import ProbeResult, clothes_probe
from reidclip.evaluation.diagnostics.project import choose_people, project
from reidclip.evaluation.matching import Labels
from reidclip.evaluation.protocols import Evaluation, Features
from reidclip.records import Sample
from reidclip.stages.diagnose_prompts import Skipped, measure_prompts

if TYPE_CHECKING:
    from reidclip.stages.evaluate import EvaluateJob

TABLE = "diagnostics.json"
FOLDER = "diagnostics"
_CAMERA_WARNING = 0.95  # above it, outfit and camera are nearly one


def diagnose(
    job: EvaluateJob,
    features: Features,
    samples: Sequence[Sample],
    results: Sequence[Evaluation],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write ``diagnostics.json`` and ``diagnostics/*.png`` of an evaluation.

    Args:
        job: what was evaluated.
        features: of ``samples``.
        samples: every picture that a protocol compares.
        results: per protocol.
        folder: of the artifact in the making.
        progress: told while pictures are encoded again, for the prompts.

    Returns:
        What ``diagnostics.json`` holds. A part that cannot be had is ``{"skipped": why}``.
    """
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    found = {
        "pairs": {r.protocol.name: _pairs(r, features, out) for r in results},
        "clothes_probe": _probe(features, samples, job.settings.resamples, job.seed),
        "prompts": _prompts(job, out, progress),
        "map": _map(features, [s for s in samples if not is_distractor(job.dataset, s)], job.settings.map_people, job.seed, out),
    }
    (folder / TABLE).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


# --------------------------------------------------------------------------------------------------------------------- pairs
def _pairs(result: Evaluation, features: Features, out: Path) -> dict[str, Any]:
    """Figure 6 of CCAF; of a single-shot protocol the first draw of its gallery."""
    gallery = result.galleries[0]
    sides = features.of(result.query), features.of(gallery)
    counted = pair_distances(*sides, Labels.of(result.query), Labels.of(gallery), result.protocol.rule)
    if counted is None:
        return {"skipped": "there is no pair of two people, or none of one"}
    title = f"Pairs under {result.protocol.name}"
    draw_two(out / f"pairs-{result.protocol.name}.png", title, counted, ("same person", "two people"), "cosine distance")
    return counted.to_json("positive", "negative")


def draw_two(path: Path, title: str, counted: TwoHistograms, names: tuple[str, str], x_label: str) -> None:
    """A chart of two histograms with their overlap."""
    told = f"overlap {counted.overlap:.2f}, AUC {counted.below:.3f}; means {counted.means[0]:.3f} and {counted.means[1]:.3f}"
    series = [Series(names[0], GREEN, counted.first), Series(names[1], RED, counted.second)]
    histogram_chart(title, told, counted.edges, series, x_label).save(path, format="PNG")


# --------------------------------------------------------------------------------------------------------------------- clothes
def _probe(features: Features, samples: Sequence[Sample], resamples: int, seed: int) -> dict[str, Any]:
    """Clothes within identity, within identity and camera, and, for comparison, from the camera alone."""
    known = [s for s in samples if s.pid >= 0 and s.clothes_id >= 0]
    pids, clothes = np.array([s.pid for s in known], np.int64), np.array([s.clothes_id for s in known], np.int64)
    cameras = np.array([s.camid if s.camera is None else s.camera for s in known], np.int64)
    x = features.of(known)
    result = clothes_probe(x, pids, pids, clothes, resamples=resamples, seed=seed) if known else None
    if result is None:
        return {"skipped": "no person is seen in two known outfits, twice in each"}
    both = np.unique(np.stack([pids, cameras]), axis=1, return_inverse=True)[1].astype(np.int64).reshape(-1)
    within_camera = clothes_probe(x, pids, both, clothes, resamples=resamples, seed=seed)
    by_camera = clothes_probe(_one_hot(cameras), pids, pids, clothes, resamples=0, seed=seed)
    assert by_camera is not None  # the same pictures take part
    told = {
        **dataclasses.asdict(result),
        "within_camera": dataclasses.asdict(within_camera) if within_camera else None,
        "camera_alone": by_camera.accuracy,
    }
    if by_camera.accuracy > _CAMERA_WARNING:
        told["note"] = _confounded(within_camera)
    return told


def _confounded(within_camera: ProbeResult | None) -> str:
    told = "the camera alone tells nearly every outfit apart, so the accuracy within identity may be owed to the camera"
    return told + ("; trust within_camera" if within_camera else ", and no person changes clothes under one camera here")


def _one_hot(values: NDArray[np.int64]) -> Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(np.unique(values, return_inverse=True)[1].reshape(-1))).float()


# --------------------------------------------------------------------------------------------------------------------- prompts
def _prompts(job: EvaluateJob, out: Path, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    """Figure 5 of CCAF."""
    try:
        measured = measure_prompts(job, progress)
    except Skipped as skipped:
        return {"skipped": str(skipped)}
    told: dict[str, Any] = dict(measured.facts)
    for name, distances in measured.by_prompt.items():
        title = f"{name.capitalize()} prompts and what they describe"
        names = ("to the shielding image", "to the clothes image")
        draw_two(out / f"prompts-{name}.png", title, distances.histograms, names, "cosine distance to the prompt of the picture's class")
        told[name] = {
            **distances.histograms.to_json("to_shielding", "to_clothes"),
            "accuracy": distances.accuracy,
            "shielding_closer": distances.closer,
        }
    return told


# --------------------------------------------------------------------------------------------------------------------- map
def _map(features: Features, samples: Sequence[Sample], people: int, seed: int, out: Path) -> dict[str, Any]:
    """Figure 7 of CCAF: colours are people, marks are their outfits."""
    chosen = [samples[i] for i in choose_people(samples, people)]
    if len(chosen) < 2:
        return {"skipped": "there are fewer than two pictures of known people"}
    points, way = project(features.of(chosen), seed)
    pids = list(dict.fromkeys(s.pid for s in chosen))
    outfits = {pid: sorted({s.clothes_id for s in chosen if s.pid == pid}) for pid in pids}
    marks = [outfits[s.pid].index(s.clothes_id) for s in chosen]
    title = f"{len(pids)} people, {'t-SNE' if way == 't-sne' else 'principal components'}"
    told = "a colour per person, a mark per outfit"
    chart = scatter_chart(title, told, points, [pids.index(s.pid) for s in chosen], marks, [str(pid) for pid in pids])
    chart.save(out / "map.png", format="PNG")
    with (out / "map.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "pid", "clothes", "camera", "x", "y"])
        for s, (x, y) in zip(chosen, points, strict=True):
            writer.writerow([s.path, s.pid, s.clothes_id, s.camid if s.camera is None else s.camera, f"{x:.6f}", f"{y:.6f}"])
    return {"way": way, "people": pids, "pictures": len(chosen)}
