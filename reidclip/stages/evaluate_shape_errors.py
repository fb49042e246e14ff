"""Errors of predicted shapes, by vertices, surfaces, measurements and words, through a body model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from reidclip.bodies.mesh_set import BodyTable
from reidclip.bodies.phrases import MEASURES, REPORTED
from reidclip.bodies.surface import chamfer, sample_surface
from reidclip.evaluation.shape import Floats, vertex_errors, wrong_words
from reidclip.interfaces import BodySession

NAMES: tuple[str, ...] = tuple(dict.fromkeys((*REPORTED, *MEASURES)))
"""Measurements whose errors are told, those of `reidclip.bodies.phrases.REPORTED` first."""

_BODIES = 32  # whose vertices are held at once


@dataclass(frozen=True)
class ShapeErrors:
    """Of N predicted bodies.

    Attributes:
        placed, aligned: (N,) metres, `reidclip.evaluation.shape.vertex_errors`.
        measures: (N, M) predicted less true, in the order and units of `NAMES`.
        wrong: (N, 16), 1 where a word is wrong.
    """

    placed: Floats
    aligned: Floats
    measures: Floats
    wrong: Floats

    def of(self, rows: np.ndarray) -> ShapeErrors:
        """Those of some bodies."""
        return ShapeErrors(self.placed[rows], self.aligned[rows], self.measures[rows], self.wrong[rows])


def shape_errors(session: BodySession, table: BodyTable, shapes: np.ndarray, rows: np.ndarray) -> ShapeErrors:
    """Errors but those of the surface.

    Args:
        shapes: (N, S) predicted.
        rows: (N,) rows of the true bodies in the table.
    """
    placed, aligned = [], []
    for start in range(0, len(rows), _BODIES):
        part = slice(start, start + _BODIES)
        predicted, true = vertices(session, shapes[part]), vertices(session, table.shape[rows[part]])
        placed.append(vertex_errors(predicted, true, aligned=False))
        aligned.append(vertex_errors(predicted, true, aligned=True))
    said, truth = measured(session, shapes), measured(session, table.shape[rows])
    columns = {name: said[:, i] for i, name in enumerate(NAMES)}
    wrong = wrong_words(columns, table.thresholds, table.choices[rows], MEASURES)
    return ShapeErrors(np.concatenate(placed), np.concatenate(aligned), said - truth, wrong)


def vertices(session: BodySession, shapes: np.ndarray) -> np.ndarray:
    """(B, S) -> (B, V, 3) float64, canonical pose, metres; a body's do not depend on its neighbours in the batch."""
    with torch.no_grad():
        return session.vertices(torch.from_numpy(np.ascontiguousarray(shapes, np.float64))).numpy()


def measured(session: BodySession, shapes: np.ndarray) -> Floats:
    """(N, S) -> (N, M) measurements in the order of `NAMES`; equal shapes are measured once."""
    distinct, back = np.unique(shapes, axis=0, return_inverse=True)
    found = session.measure(torch.from_numpy(np.ascontiguousarray(distinct, np.float32)))
    return np.stack([found[name].double().numpy() for name in NAMES], axis=1)[back.reshape(-1)]


@dataclass(frozen=True)
class SurfaceErrors:
    """Distances between surfaces of N bodies, columns: Chamfer-L2 in square metres, mean distance in metres (`reidclip.bodies.surface`).

    Attributes:
        predicted, mean_body: (N, 2), to the true surface.
        floor: (N, 2), of the true surface to itself, drawn twice: the least that can be found.
    """

    predicted: Floats
    mean_body: Floats
    floor: Floats


class Surfaces:
    """Distances between surfaces in the canonical pose, means aligned, each surface drawn on its own: no two share their points.

    What a person's true surface and the mean body's are is found once, however many pictures there are of the person.
    """

    def __init__(self, session: BodySession, table: BodyTable, mean: np.ndarray, *, samples: int, seed: int) -> None:
        """Nothing is drawn yet.

        Args:
            mean: (S,) the mean body.
            samples: points per surface.
            seed: of the points.
        """
        self._session, self._table, self._samples, self._seed = session, table, samples, seed
        self._mean = vertices(session, mean[None])[0]
        self._known: dict[int, tuple[np.ndarray, tuple[float, float], tuple[float, float]]] = {}

    def errors(self, shapes: np.ndarray, rows: np.ndarray, progress: Callable[[int, int], None]) -> SurfaceErrors:
        """Of predicted shapes (N, S) of bodies with these rows (N,) in the table; ``progress`` is told (done, N)."""
        found = np.empty((3, len(rows), 2))
        for i, row in enumerate(map(int, rows)):
            target, of_mean, floor = self._of_row(row)
            found[:, i] = self._apart(vertices(self._session, shapes[i : i + 1])[0], target, row), of_mean, floor
            progress(i + 1, len(rows))
        return SurfaceErrors(*found)

    def _of_row(self, row: int) -> tuple[np.ndarray, tuple[float, float], tuple[float, float]]:
        if row not in self._known:
            true = vertices(self._session, self._table.shape[row : row + 1])[0]
            target = self._points(true, row, 0)
            self._known[row] = target, self._apart(self._mean, target, row), self._apart(true, target, row)
        return self._known[row]

    def _apart(self, body: np.ndarray, target: np.ndarray, row: int) -> tuple[float, float]:
        found = chamfer(self._points(body, row, 1), target)
        return found.squared_m2, found.distance_m

    def _points(self, body: np.ndarray, row: int, which: int) -> np.ndarray:
        seed = int(np.random.SeedSequence([self._seed, row, which]).generate_state(1)[0])
        return sample_surface(body, self._session.faces, self._samples, seed)
