"""Query expansion: a query is averaged with the pictures nearest to it, and asked again.

Average query expansion (AQE): Chum et al., "Total Recall: Automatic Query Expansion with a Generative Feature Model for Object
Retrieval", ICCV 2007. Weighted by similarity to the power alpha (alpha-QE): Radenovic, Tolias, Chum, "Fine-Tuning CNN Image Retrieval
with No Human Annotation", TPAMI 2019, Sec. 5.2; alpha = 0 is AQE. On the gallery's side (DBA): Turcot, Lowe, ICCV workshops 2009.
Labels are not looked at: a query's neighbours are what the gallery holds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reidclip.errors import UserError
from reidclip.evaluation.rerank_neighbours import smallest
from reidclip.evaluation.settings import ExpansionSettings
from reidclip.formulas.distances import Measure, closeness_to

_BLOCK_ELEMENTS = 1 << 24  # 64 MiB of float32 similarities


def expanded(vectors: Tensor, neighbours: Tensor, alpha: float = 3.0, measure: Measure = "similarity") -> Tensor:
    """Vectors averaged with their neighbours: sum_i w_i x_i / sum_i w_i, w_i = max(0, cos(q, x_i))^alpha; the vector itself weighs 1.

    Args:
        vectors: (Q, D).
        neighbours: (Q, n, D), in any order; rows that are NaN (a search found fewer) count nothing.
        alpha: 0 weighs all alike.
        measure: of "similarity" the result is brought to unit length again.

    Returns:
        (Q, D) float32.
    """
    vectors, neighbours = vectors.float(), neighbours.float()
    known = torch.isfinite(neighbours).all(dim=2)
    neighbours = neighbours.masked_fill(~known[:, :, None], 0)
    cosine = (F.normalize(vectors, dim=1)[:, None] * F.normalize(neighbours, dim=2)).sum(dim=2)
    weights = cosine.clamp(min=0) ** alpha * known
    total = vectors + (weights[:, :, None] * neighbours).sum(dim=1)
    return F.normalize(total, dim=1) if measure == "similarity" else total / (1 + weights.sum(dim=1, keepdim=True))


def expand_queries(
    query: Tensor,
    gallery: Tensor,
    settings: ExpansionSettings,
    measure: Measure = "similarity",
    block_elements: int = _BLOCK_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Queries (Q, D) averaged with their ``settings.count`` nearest of the gallery (G, D), and the gallery, so treated first where asked.

    Args:
        measure: how features are compared.
        block_elements: similarities held at once; bounds the memory.

    Returns:
        (Q, D) and (G, D) float32.

    Raises:
        UserError: the gallery has fewer pictures.
    """
    if not settings.count:
        return query, gallery
    if settings.count + settings.gallery > len(gallery):
        raise UserError(
            f"Query expansion by {settings.count} pictures needs as many; the gallery has {len(gallery)}.", "Take a smaller --expand."
        )
    if settings.gallery:  # a picture's nearest is itself, and already counted
        gallery = _expanded_by(gallery, gallery, settings, measure, block_elements, own=True)
    return _expanded_by(query, gallery, settings, measure, block_elements), gallery


def _expanded_by(rows: Tensor, gallery: Tensor, settings: ExpansionSettings, measure: Measure, elements: int, own: bool = False) -> Tensor:
    closeness_of = closeness_to(gallery.float(), measure)
    width = max(len(gallery), settings.count * gallery.shape[1])
    step = max(1, elements // width)
    found = []
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        further = -closeness_of(part.float())
        if own:
            number = torch.arange(len(part), device=part.device)
            further[number, number + start] = torch.inf
        found.append(expanded(part, gallery[smallest(further, settings.count)], settings.alpha, measure))
    return torch.cat(found)
