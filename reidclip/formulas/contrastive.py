"""Image-text similarity and the supervised contrastive loss of prompt learning."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reidclip.formulas.distances import SIMILARITIES

Similarity = Literal["dot", "cosine"]


def similarity(features: Tensor, texts: Tensor, kind: Similarity = "dot", scale: float | Tensor = 1.0) -> Tensor:
    """s(v_i, t_k) = scale times dot product or cosine; features (B, D), texts (K, D) -> (B, K).

    "dot" with scale 1 is what the published CLIP-ReID and CLIP-FGDI code computes, on un-normalised features; "cosine" goes with
    CLIP's own exp(logit_scale) as ``scale``.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in SIMILARITIES:
        raise ValueError(f"similarity kind must be one of {sorted(SIMILARITIES)}, given: {kind!r}")
    return SIMILARITIES[kind](features, texts) * scale


def supervised_contrastive(
    rows: Tensor,
    columns: Tensor,
    row_labels: Tensor,
    column_labels: Tensor,
    scale: float | Tensor = 1.0,
    kind: Similarity = "dot",
) -> Tensor:
    """The prompt loss in one direction (Khosla et al., NeurIPS 2020, eq. (2), across two modalities); CLIP-ReID's L_i2t and L_t2i.

    -mean_i mean_{p in P(i)} log softmax_a(s(r_i, c_a))[p] with P(i) = {p : label of column p = label of row i}. Image rows and text
    columns give i2t; exchange them for t2i. Several positives per row, and repeated columns, are as published: each positive has its
    own term and every column stays in the denominator.

    Args:
        rows: (R, D).
        columns: (C, D).
        row_labels: (R,).
        column_labels: (C,).
        scale: factor on the similarities.
        kind: "dot" (published) or "cosine".

    Returns:
        Scalar; the mean is over the rows that have a positive (0 when none has).
    """
    log_probabilities = torch.log_softmax(similarity(rows, columns, kind, scale), dim=1)
    positive = row_labels[:, None] == column_labels[None, :]
    count = positive.sum(dim=1)
    per_row = -(log_probabilities * positive).sum(dim=1) / count.clamp(min=1)
    return per_row.sum() / (count > 0).sum().clamp(min=1)
