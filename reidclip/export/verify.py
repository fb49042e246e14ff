"""Whether an export gives the same vectors as PyTorch: cosines over batches of several sizes, and each picture by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidclip.errors import WorkError
from reidclip.interfaces import ExportedSession

BATCHES = (1, 2, 7, 64)
BOUNDS: Mapping[str, float] = {"fp32": 0.99999, "fp16": 0.999}  # least cosine to PyTorch's float32 vector, by precision
PICTURES = max(BATCHES)
_EACH = 8  # pictures that small batches are tried on

Inputs = Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray | None]]
"""Numbers of pictures -> what the session takes: pictures, and cameras where the encoder has some."""


@dataclass(frozen=True)
class Checked:
    """One batch size's result.

    Attributes:
        batch: pictures per call.
        pictures: how many were compared.
        cosine: least cosine to PyTorch's vector.
        difference: largest absolute difference of a number.
        worst: number of the picture with the least cosine.
        alone: least cosine to the export's own vector of the picture in the largest batch.
    """

    batch: int
    pictures: int
    cosine: float
    difference: float
    worst: int
    alone: float


def compare(session: ExportedSession, inputs: Inputs, wanted: np.ndarray, progress: Callable[[int, int], None]) -> list[Checked]:
    """Run the export in batches of every size and compare with the wanted vectors.

    Args:
        session: the loaded export.
        inputs: gives the pictures.
        wanted: (`PICTURES`, D) float32 of PyTorch.
        progress: is told (batch sizes done, of how many).

    Returns:
        one entry per batch size, ascending.
    """
    found: dict[int, list[tuple[int, np.ndarray]]] = {}
    for done, size in enumerate(BATCHES, 1):
        found[size] = []
        for numbers in _batches(size):
            vectors = _run(session, inputs, numbers)
            found[size] += zip(numbers, vectors, strict=True)
        progress(done, len(BATCHES))
    whole = dict(found[PICTURES])
    return [_checked(size, rows, wanted, whole) for size, rows in found.items()]


def check(checked: Sequence[Checked], bound: float, paths: Sequence[str], what: str) -> None:
    """Every cosine reaches the bound, that to PyTorch and that between batches.

    Raises:
        WorkError: one does not; names the worst picture.
    """
    worst = min(checked, key=lambda c: c.cosine)
    remedy = "Nothing was kept. Update torch and the runtime, or report it with the checkpoint's configuration."
    if not worst.cosine >= bound:  # a cosine that is no number fails too
        raise WorkError(
            f"{what} does not give PyTorch's vectors: the cosine of {paths[worst.worst]} in a batch of {worst.batch} is {worst.cosine:.6f} "
            f"(at least {bound} is asked; largest difference of a number {worst.difference:.2g}).",
            remedy,
        )
    apart = min(checked, key=lambda c: c.alone)
    if not apart.alone >= bound:
        raise WorkError(
            f"{what} gives vectors that depend on the batch: of {apart.batch} and of {PICTURES} their cosine is {apart.alone:.6f} "
            f"(at least {bound} is asked).",
            remedy,
        )


def as_json(checked: Sequence[Checked], paths: Sequence[str]) -> list[dict[str, Any]]:
    """The table as plain values."""
    return [
        {
            "batch": c.batch,
            "pictures": c.pictures,
            "least_cosine": c.cosine,
            "largest_difference": c.difference,
            "worst_picture": paths[c.worst],
            "least_cosine_between_batches": c.alone,
        }
        for c in checked
    ]


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row, (N, D) and (N, D) -> (N,) float64; not a number where a vector is not finite or 0."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return found


def _batches(size: int) -> Iterator[list[int]]:
    last = PICTURES if size == PICTURES else max(_EACH, 2 * size)
    for start in range(0, last - size + 1, size):
        yield list(range(start, start + size))


def _run(session: ExportedSession, inputs: Inputs, numbers: Sequence[int]) -> np.ndarray:
    pictures, camera = inputs(numbers)
    vectors = session(pictures) if camera is None else session(pictures, camera)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(numbers):
        raise WorkError(
            f"The export gives {vectors.dtype} {vectors.shape} for {len(numbers)} pictures, not one float32 vector each.",
            "Nothing was kept. Report it to the author of the exporter.",
        )
    return vectors


def _checked(size: int, rows: Sequence[tuple[int, np.ndarray]], wanted: np.ndarray, whole: Mapping[int, np.ndarray]) -> Checked:
    numbers = [number for number, _ in rows]
    given = np.stack([vector for _, vector in rows])
    if given.shape[1] != wanted.shape[1]:
        raise WorkError(f"The export gives vectors of {given.shape[1]} numbers, the encoder of {wanted.shape[1]}.", "Nothing was kept.")
    to_torch = cosines(given, wanted[numbers])
    between = cosines(given, np.stack([whole[n] for n in numbers]))
    place = int(np.argmin(np.where(np.isnan(to_torch), -2, to_torch)))
    largest = float(np.abs(given - wanted[numbers]).max())
    return Checked(size, len(rows), float(to_torch[place]), largest, numbers[place], float(between.min()))
