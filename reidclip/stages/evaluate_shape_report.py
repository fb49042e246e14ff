"""What an evaluation of shapes tells: numbers of single pictures and of people's mean shapes, beside the mean body's; its files."""

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
from safetensors.torch import save_file

from reidclip.bodies.phrases import PAIRS
from reidclip.evaluation.shape import Floats, compare
from reidclip.records import Sample
from reidclip.stages.evaluate_shape_errors import NAMES, ShapeErrors, SurfaceErrors

SINGLE, MEAN = "single", "mean_of_person"
"""One picture alone, and the mean shape over all pictures of a person."""

SURFACE = {"chamfer_l2_cm2": 1e4, "surface_mm": 1e3}
"""Distances between surfaces and their units; factors on those of `SurfaceErrors`, in its order."""


@dataclass(frozen=True)
class Judged:
    """N predicted bodies and what was found of them.

    Attributes:
        rows: (N,) rows of the true bodies.
        shapes: (N, S) predicted.
        errors, mean_body: of the prediction and of the mean body.
        surface: of some of them; None of none.
        on_surface: which of the N those are.
    """

    rows: np.ndarray
    shapes: np.ndarray
    errors: ShapeErrors
    mean_body: ShapeErrors
    surface: SurfaceErrors | None
    on_surface: np.ndarray


def told(judged: Judged, resamples: int, seed: int) -> dict[str, Any]:
    """Numbers of one way to predict, an entry of metrics.json.

    Returns:
        "errors": by name: ``value``, ``mean_body``, ``ratio`` and intervals (`reidclip.evaluation.shape.Comparison`), and, of measurements,
        ``bias``, the mean of predicted less true. Measurements are in their own units; the ``floor`` of a surface's distance is that of
        the true surface drawn twice. "words": by pair of phrases the share that is right.
    """
    good, base = judged.errors, judged.mean_body

    def beside(one: Floats, other: Floats, rows: np.ndarray) -> dict[str, Any]:
        return dataclasses.asdict(compare(one, other, rows, resamples, seed))

    errors = {
        "vertex_mm": beside(1000 * good.placed, 1000 * base.placed, judged.rows),
        "vertex_aligned_mm": beside(1000 * good.aligned, 1000 * base.aligned, judged.rows),
    }
    if judged.surface is not None:
        surface, rows = judged.surface, judged.rows[judged.on_surface]
        for i, (name, factor) in enumerate(SURFACE.items()):
            errors[name] = beside(factor * surface.predicted[:, i], factor * surface.mean_body[:, i], rows)
            errors[name] |= {"floor": factor * float(surface.floor[:, i].mean()), "bodies": len(rows)}
    for i, name in enumerate(NAMES):
        errors[name] = beside(abs(good.measures[:, i]), abs(base.measures[:, i]), judged.rows)
        signed = compare(good.measures[:, i], base.measures[:, i], judged.rows, resamples, seed)
        errors[name] |= {"bias": signed.value, "bias_interval": signed.interval, "bias_mean_body": signed.mean_body}
    errors["words_wrong"] = beside(good.wrong.mean(axis=1), base.wrong.mean(axis=1), judged.rows)
    words = {
        f"{pair.first} / {pair.second}": {"right": 1 - float(good.wrong[:, i].mean()), "mean_body": 1 - float(base.wrong[:, i].mean())}
        for i, pair in enumerate(PAIRS)
    }
    return {"bodies": len(judged.rows), "people": len(np.unique(judged.rows)), "errors": errors, "words": words}


def headline(metrics: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """For the manifest: the errors that papers tell, and their ratios to the mean body's."""
    names = ("vertex_aligned_mm", "chamfer_l2_cm2", "stature_m", "words_wrong")
    return {
        f"shape, {way.replace('_', ' ')}": {
            key: value
            for name in names
            if (row := metrics[way]["errors"].get(name))
            for key, value in ((name, row["value"]), (f"{name} ratio", row["ratio"]))
        }
        for way in (SINGLE, MEAN)
    }


def write_tables(
    folder: Path, single: Judged, judged: np.ndarray, people: Judged, pids: Mapping[int, int], samples: Sequence[Sample]
) -> None:
    """``pictures.csv`` and ``people.csv``: errors per body judged, in mm and the measurements' own units.

    Args:
        judged: which samples ``single`` is of.
        pids: row of a body -> the person's number in the data.
        samples: all held-out pictures.
    """
    _write(folder / "pictures.csv", "picture", [samples[i].path for i in judged], single)
    _write(folder / "people.csv", "pid", [pids[int(row)] for row in people.rows], people)


def _write(path: Path, first: str, keys: Sequence[object], judged: Judged) -> None:
    surface = {} if judged.surface is None else dict(zip(judged.on_surface.tolist(), judged.surface.predicted, strict=True))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([first, "row", "vertex_mm", "vertex_aligned_mm", *SURFACE, "words_wrong", *NAMES])
        e = judged.errors
        for i, key in enumerate(keys):
            apart = [f"{v:.6g}" for v in surface[i] * list(SURFACE.values())] if i in surface else [""] * len(SURFACE)
            placed = [f"{1000 * e.placed[i]:.4f}", f"{1000 * e.aligned[i]:.4f}"]
            writer.writerow([key, judged.rows[i], *placed, *apart, int(e.wrong[i].sum()), *(f"{v:.6g}" for v in e.measures[i])])


def write_shapes(folder: Path, paths: Sequence[str], tensors: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """``shapes.safetensors`` (predicted of every picture, mean of every person, true) and ``paths.json``, its rows' pictures."""
    found = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}
    save_file(found, folder / "shapes.safetensors", metadata={"format": "pt", **about})
    (folder / "paths.json").write_text(json.dumps(list(paths)), encoding="utf-8")
