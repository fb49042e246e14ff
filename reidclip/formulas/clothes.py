"""Clothes as classes: the cosine classifier that finds them in a feature, and the loss that makes a feature forget them.

Gu et al., "Clothes-Changing Person Re-identification with RGB Modality Only", CVPR 2022 (CAL).
Letters: B batch, Kc clothes classes, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.distances import cosine_similarities


def clothes_cosines(features: Tensor, weight: Tensor) -> Tensor:
    """z_ij = cos(f_i, w_j), the clothes classifier: no bias, no scale; features (B, W), weight (Kc, W) -> (B, Kc)."""
    return cosine_similarities(features, weight)


def clothes_cross_entropy(cosines: Tensor, clothes: Tensor, scale: float = 16.0) -> Tensor:
    """L_C: cross-entropy over the scaled cosines (CosFace with margin 0); cosines (B, Kc), clothes (B,) -> scalar."""
    return F.cross_entropy(scale * cosines, clothes)


def clothes_of_identities(clothes_to_pid: Tensor, y: Tensor) -> Tensor:
    """Which clothes classes each picture's identity wears: its positives, own outfit included; (Kc,), (B,) -> (B, Kc) bool."""
    return clothes_to_pid[None, :] == y[:, None]


def clothes_adversarial(cosines: Tensor, clothes: Tensor, positives: Tensor, scale: float = 16.0, epsilon: float = 0.1) -> Tensor:
    """L_CA: a multi-positive cross-entropy that makes all outfits of an identity equally likely, and those of others unlikely.

    -mean_i sum_{c positive} q(c) log( exp(s z_c) / (exp(s z_c) + sum_{j negative} exp(s z_j)) ), with n positives of picture i and
    q = 1 - epsilon + epsilon/n for its own outfit, epsilon/n for the identity's other ones. Each positive competes with the negatives
    alone. (Published program ``losses/clothes_based_adversarial_loss.py``; the paper's definition is epsilon = 1, its equal weights.)

    Args:
        cosines: (B, Kc) of `clothes_cosines`.
        clothes: (B,) own clothes class; it counts as a positive whatever ``positives`` says.
        positives: (B, Kc) bool, outfits of the picture's identity.
        scale: s, on the cosines.
        epsilon: weight that is shared by all positives.

    Returns:
        scalar, mean over the batch. With one outfit per identity it is a plain cross-entropy.
    """
    logits = scale * cosines
    own = F.one_hot(clothes, logits.shape[1]).bool()
    positives = positives | own
    negatives = torch.logsumexp(logits.masked_fill(positives, -torch.inf), dim=1, keepdim=True)  # -inf where there are none
    log_p = logits - torch.logaddexp(logits, negatives)
    q = epsilon * positives.to(logits) / positives.sum(dim=1, keepdim=True) + (1 - epsilon) * own.to(logits)
    return -(q * log_p.masked_fill(~positives, 0.0)).sum(dim=1).mean()
