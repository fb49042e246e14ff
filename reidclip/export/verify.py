"""Whether an export gives the same vectors as PyTorch: directions and lengths over batches of several sizes, and each picture by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidclip.errors import WorkError
from reidclip.interfaces import ExportedSession

BATCHES = (1, 2, 7, 64)
BOUNDS: Mapping[str, float] = {"fp32": 0.99999, "fp16": 0.999}  # least cosine to PyTorch's float32 vector, by precision
LENGTHS: Mapping[str, float] = {"fp32": 1e-3, "fp16": 1e-2}  # largest |length / PyTorch's - 1|, by precision: cosines are blind to it
PICTURES = max(BATCHES)
_EACH = 8  # pictures that small batches are tried on

Inputs = Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray | None]]
"""Numbers of pictures -> what the session takes: pictures, and cameras where the encoder has some."""


@dataclass(frozen=True)
class Allowed:
    """How far an export may be from PyTorch's float32 vectors; that every number is finite is asked in any case.

    Attributes:
        cosine: least to PyTorch's vector; None where the protocols judge by R1 and mAP instead.
        alone: least between the vectors of one picture in two batches.
        length: largest ``|length / PyTorch's - 1|``.
    """

    cosine: float | None
    alone: float
    length: float

    @classmethod
    def of(cls, precision: str, exact: bool) -> Allowed:
        """What formats are held to; those that are not exact by what no rounding to 8 bits excuses."""
        return cls(BOUNDS[precision], BOUNDS[precision], LENGTHS[precision]) if exact else INEXACT


INEXACT = Allowed(None, 0.99, 0.2)
"""Ranges measured on every call let a vector depend a little on its neighbours (measured: 0.9995), and rounding changes lengths where they
are not made one (3 %); a batch that is mixed up or a lost scale is far beyond both."""


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
        length: largest ``|length / PyTorch's - 1|``.
        stretched: number of the picture with it.
    """

    batch: int
    pictures: int
    cosine: float
    difference: float
    worst: int
    alone: float
    length: float = 0.0
    stretched: int = 0


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


def check(checked: Sequence[Checked], allowed: Allowed, paths: Sequence[str], what: str) -> None:
    """Every vector is finite, and every cosine (that to PyTorch, that between batches) and length is within what is allowed.

    Raises:
        WorkError: one is not; names the worst picture.
    """
    remedy = "Nothing was kept. Update torch and the runtime, or report it with the checkpoint's configuration."
    worst = min(checked, key=lambda c: _or_least(c.cosine))
    if not math.isfinite(worst.cosine):
        raise WorkError(f"{what} gives no finite vector of {paths[worst.worst]} in a batch of {worst.batch}, or one of zeros.", remedy)
    if allowed.cosine is not None and worst.cosine < allowed.cosine:
        raise WorkError(
            f"{what} does not give PyTorch's vectors: the cosine of {paths[worst.worst]} in a batch of {worst.batch} is {worst.cosine:.6f} "
            f"(at least {allowed.cosine} is asked; largest difference of a number {worst.difference:.2g}).",
            remedy,
        )
    apart = min(checked, key=lambda c: _or_least(c.alone))
    if not apart.alone >= allowed.alone:
        raise WorkError(
            f"{what} gives vectors that depend on the batch: of {apart.batch} and of {PICTURES} their cosine is {apart.alone:.6f} "
            f"(at least {allowed.alone} is asked).",
            remedy,
        )
    long = min(checked, key=lambda c: _or_least(-c.length))
    if not long.length <= allowed.length:
        raise WorkError(
            f"{what} gives vectors of another length than PyTorch's: that of {paths[long.stretched]} in a batch of {long.batch} is off by "
            f"{long.length:.2%} (at most {allowed.length:.1%} is allowed).",
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
            "largest_difference_of_length": c.length,
        }
        for c in checked
    ]


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row, (N, D) and (N, D) -> (N,) float64; not a number where a vector is not finite or 0."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return found


def stretches(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row, (N, D) and (N, D) -> (N,) float64, ``|length of one / length of other - 1|``; not finite where a vector is not."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.linalg.norm(one.astype(np.float64), axis=1) / np.linalg.norm(other.astype(np.float64), axis=1)
    found: np.ndarray = np.abs(ratio - 1)
    return found


def least(values: np.ndarray) -> int:
    """Place of the least; what is no number is less than any."""
    return int(np.argmin(np.where(np.isnan(values), -np.inf, values)))


def _or_least(value: float) -> float:
    """The value, by which the worst is chosen: what is no number compares false with all, and so would be passed over."""
    return -math.inf if math.isnan(value) else value


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
    place = least(to_torch)
    stretched = stretches(given, wanted[numbers])
    longest = least(-stretched)
    largest = float(np.abs(given - wanted[numbers]).max())
    return Checked(
        batch=size,
        pictures=len(rows),
        cosine=float(to_torch[place]),
        difference=largest,
        worst=numbers[place],
        alone=float(between.min()),
        length=float(stretched[longest]),
        stretched=numbers[longest],
    )
