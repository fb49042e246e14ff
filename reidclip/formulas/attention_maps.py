"""Heat maps of what an encoder looks at, as pure functions of attention weights or feature maps and their gradients.

Letters: B pictures, H heads, L tokens (the class token first), Q positions whose output is used (L, or 1: the class token alone),
C channels, (h, w) cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rollout(attentions: Sequence[Tensor], residual: float = 0.5) -> Tensor:
    """Attention rollout (Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3).

    Heads are averaged; the residual connection is mixed in, A' = (1 - residual) A + residual I; and the layers are multiplied,
    A'_n ... A'_1. Rows of the result sum to one, as those of A' do.

    Args:
        attentions: per layer, first to last, (B, H, Q, L) weights whose rows sum to one; Q = L but in the last, where Q rows may be left.
        residual: share of the residual connection; 0.5 in the paper.

    Returns:
        (B, Q, L): how much of each input token reaches each used output.
    """
    return _product([residual * _identity(a) + (1 - residual) * a.mean(dim=1) for a in attentions])


def gradient_relevance(attentions: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Gradient-weighted attention (Chefer, Gur and Wolf, "Generic Attention-model Explainability", ICCV 2021, eq. 5 and 6).

    Per layer A' = E_heads[relu(dA * A)]; relevance starts as the identity and takes R <- R + A' R, first layer to last.

    Args:
        attentions: as for `rollout`.
        gradients: of the score at each of them, same shapes.

    Returns:
        (B, Q, L), non-negative. The identity is part of it: what a token tells of itself.
    """
    weighted = [(a * g).relu().mean(dim=1) for a, g in zip(attentions, gradients, strict=True)]
    return _product([_identity(a) + w for a, w in zip(attentions, weighted, strict=True)])


def grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017, eq. 1 and 2): channels weighted by their mean gradient, summed, negative sums cut off.

    Args:
        maps: (B, C, h, w) last feature map.
        gradients: (B, C, h, w) of the score at it.

    Returns:
        (B, h, w), non-negative.
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu()


def hires_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin, "Use HiResCAM instead of Grad-CAM", 2020): each place's own gradient in place of its mean.

    Behind a mean pool and a linear score it is Grad-CAM. Behind an attention or maximum pool the gradient differs from place to place, and
    the mean that Grad-CAM takes forgets where the pool looks.

    Args:
        maps: (B, C, h, w) last feature map.
        gradients: (B, C, h, w) of the score at it.

    Returns:
        (B, h, w), non-negative.
    """
    return (gradients * maps).sum(dim=1).relu()


def _identity(attention: Tensor) -> Tensor:
    """The first Q rows of the identity, (Q, L)."""
    return torch.eye(attention.shape[-2], attention.shape[-1], dtype=attention.dtype, device=attention.device)


def _product(layers: Sequence[Tensor]) -> Tensor:
    """Last layer times ... times first, from the left: few rows stay few."""
    result = layers[-1]
    for layer in reversed(layers[:-1]):
        result = result @ layer
    return result
