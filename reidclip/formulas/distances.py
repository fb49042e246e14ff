"""Distances and similarities between rows, and the one place that knows which way is closer.

All of it is computed in at least float32, also under autocast: in half precision the differences that matter for a hardest pair or
for a rank are lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Measure = Literal["similarity", "distance"]  # larger is closer, smaller is closer

_SMALLEST_STEP = -90  # exponent: quotients by it stay finite
_EPSILON = 1e-12  # on squared distances: a root's slope at zero is infinite


def closeness(values: Tensor, measure: Measure) -> Tensor:
    """Turn similarities or distances (any shape) into numbers of which larger means closer; exact, ties stay ties."""
    return values if measure == "similarity" else -values


def closeness_to(gallery: Tensor, measure: Measure) -> Callable[[Tensor], Tensor]:
    """How close rows (b, D) are to each of the gallery (G, D), as a function of the rows: (b, G), larger is closer, fit to rank by.

    Similarities are dot products. Euclidean distances are ranked by q.g - |g|^2 / 2 = (|q|^2 - |q - g|^2) / 2: the length of the query is
    the same for its whole gallery, and left out, no pass over the matrix is needed beyond the product. Equal rows of the gallery tie.
    Both sides are moved by the gallery's mean first, nearly, against the cancellation that `euclidean_distances` tells of; it is one mean
    for all rows asked about, so that the numbers do not depend on how these come in blocks. Those of two galleries are not comparable.
    """
    if measure == "similarity":
        return lambda rows: rows @ gallery.T
    centre = _on_a_grid(_centre(gallery), gallery)
    moved = gallery - centre
    offset = moved.square().sum(dim=1).div_(-2)
    return lambda rows: torch.addmm(offset, rows - centre, moved.T)


def euclidean_distances(x: Tensor, y: Tensor) -> Tensor:
    """d_ij = sqrt(max(||x_i - y_j||^2, 1e-12)); x (N, D), y (M, D) -> (N, M).

    The floor keeps the gradient finite (zero) for equal rows. Both sets are moved by the mean of ``y`` first: distances do not change,
    but squared norms shrink, and with them the cancellation in ||x||^2 + ||y||^2 - 2 x.y.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    centre = _centre(y.detach())
    x, y = x - centre, y - centre
    squared = x.square().sum(dim=1, keepdim=True) + y.square().sum(dim=1) - 2 * inner_products(x, y)
    return squared.clamp(min=_EPSILON).sqrt()


def _centre(rows: Tensor) -> Tensor:
    """Mean row (1, D); zero where there are none."""
    return rows.mean(dim=0, keepdim=True) if len(rows) else rows.new_zeros(1, rows.shape[1])


def _on_a_grid(centre: Tensor, rows: Tensor) -> Tensor:
    """The centre to the next multiple of a power of two no larger than the rows' mean deviation.

    A mean's many digits would be rounded away, and with them the ties of numbers of few digits; these stay exact when moved by such a
    multiple, and the remaining mean is no more than half the deviation.
    """
    _, exponent = math.frexp(float((rows - centre).abs().mean()) if len(rows) else 0.0)
    step = math.ldexp(0.5, max(exponent, _SMALLEST_STEP))
    return (centre / step).round() * step


def cosine_similarities(x: Tensor, y: Tensor) -> Tensor:
    """cos(x_i, y_j); x (N, D), y (M, D) -> (N, M). A zero row has cosine 0 with everything."""
    return inner_products(F.normalize(at_least_float32(x), dim=1), F.normalize(at_least_float32(y), dim=1))


def inner_products(x: Tensor, y: Tensor) -> Tensor:
    """x_i . y_j in at least float32; x (N, D), y (M, D) -> (N, M)."""
    with torch.autocast(x.device.type, enabled=False):
        return at_least_float32(x) @ at_least_float32(y).T


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision tensors as float32, everything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"dot": inner_products, "cosine": cosine_similarities}
"""Similarity s(v, t) of image and text features by its name in settings; both are larger for closer rows."""
