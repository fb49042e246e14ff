"""Distances and similarities between rows, and the one place that knows which way is closer.

All of it is computed in at least float32, also under autocast: in half precision the differences that matter for a hardest pair or
for a rank are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Measure = Literal["similarity", "distance"]  # larger is closer, smaller is closer

_EPSILON = 1e-12  # on squared distances: a root's slope at zero is infinite


def closeness(values: Tensor, measure: Measure) -> Tensor:
    """Turn similarities or distances (any shape) into numbers of which larger means closer; exact, ties stay ties."""
    return values if measure == "similarity" else -values


def closeness_to(gallery: Tensor, measure: Measure) -> Callable[[Tensor], Tensor]:
    """How close rows (b, D) are to each of the gallery (G, D), as a function of the rows: (b, G), larger is closer, fit to rank by.

    Similarities are dot products. Euclidean distances are ranked by q.g - |g|^2 / 2 = (|q|^2 - |q - g|^2) / 2: the length of the query is
    the same for its whole gallery, and left out, no pass over the matrix is needed beyond the product. Equal rows of the gallery tie.
    """
    if measure == "similarity":
        return lambda rows: rows @ gallery.T
    offset = gallery.square().sum(dim=1).div_(-2)
    return lambda rows: torch.addmm(offset, rows, gallery.T)


def euclidean_distances(x: Tensor, y: Tensor) -> Tensor:
    """d_ij = sqrt(max(||x_i - y_j||^2, 1e-12)); x (N, D), y (M, D) -> (N, M).

    The floor keeps the gradient finite (zero) for equal rows. Both sets are moved by the mean of ``y`` first: distances do not change,
    but squared norms shrink, and with them the cancellation in ||x||^2 + ||y||^2 - 2 x.y.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    centre = y.detach().mean(dim=0, keepdim=True) if len(y) else y.new_zeros(1, y.shape[1])
    x, y = x - centre, y - centre
    squared = x.square().sum(dim=1, keepdim=True) + y.square().sum(dim=1) - 2 * inner_products(x, y)
    return squared.clamp(min=_EPSILON).sqrt()


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
