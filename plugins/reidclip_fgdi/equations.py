"""The numbered equations of CILP-FGDI, arXiv 2501.16065v3. Numbers as PAPER.md explains.

Letters: B batch, K training identities, D joint width, S domains; V (B, D) image features, T (.., D) text features without the domain
token (domain-invariant), N (.., D) with it (domain-relevant); y (B,) identity labels, d (B,) domain labels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.formulas.distances import at_least_float32
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth
from reidclip.train.model_inputs import SimilarityRule

_COSINE_EPS = 1e-6  # smallest product of lengths, as published
_DISTANCE_EPS = 1e-12  # smallest squared distance: the root's gradient at 0 is infinite


# ----------------------------------------------------------------------------------------------------------- stage 1: warm-up
def eq01_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (1), L_id: cross-entropy with label smoothing over the identities of all domains; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq02_triplet(features: Tensor, y: Tensor, margin: float | None = 0.3, normalise: bool = False) -> Tensor:
    """Eq. (2), L_tri: hardest positive and negative of the batch, whatever domain they are from; features (B, D), y (B,) -> scalar."""
    return batch_hard_triplet(features, y, margin, normalise)


# ----------------------------------------------------------------------------------------------------------- stage 2: tokens
def eq03_image_to_text(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (3), L_i2t: each image picks the texts of its identity among the batch's; V (B, D), T (B, D), y (B,) -> scalar."""
    return supervised_contrastive(V, T, y, y, rule.scale, rule.kind)


def eq04_text_to_image(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (4), L_t2i: each text picks the images of its identity among the batch's; V (B, D), T (B, D), y (B,) -> scalar."""
    return supervised_contrastive(T, V, y, y, rule.scale, rule.kind)


def eq06_domain(logits: Tensor, d: Tensor) -> Tensor:
    """Eq. (6), L_domain: cross-entropy of a domain classifier on text features; logits (B, S), d (B,) -> scalar."""
    return F.cross_entropy(at_least_float32(logits), d)


def eq07_tokens_weights(alpha: float) -> dict[str, float]:
    """Eq. (7), L_i2t + L_t2i + alpha L_domain: the weights of its parts.

    Before L_domain stands a gradient reversal while identity tokens are learned, none while domain tokens are.
    """
    return {"i2t": 1.0, "t2i": 1.0, "domain": alpha}


# ----------------------------------------------------------------------------------------------------------- stage 3: guidance
def eq08_distance(V: Tensor, T: Tensor, N: Tensor, margin: float | None = 0.3, normalise: bool = False) -> Tensor:
    """Eq. (8), L_apn as a distance, form "ed": mean of max(0, |V - T| - |V - N| + margin).

    V (B, D) anchors, T (B, D) the positives, N (B, D) the negatives, all of one identity per row -> scalar. Margin None: ln(1 + exp(.)).
    """
    if normalise:
        V, T, N = (F.normalize(at_least_float32(x), dim=1) for x in (V, T, N))
    return _hinge(_distances(V, T) - _distances(V, N), margin)


def eq08_cosine(V: Tensor, T: Tensor, N: Tensor, margin: float | None = 0.3) -> Tensor:
    """Eq. (8), L_apn as a similarity, form "cs": mean of max(0, cos(V, N) - cos(V, T) + margin).

    Shapes as `eq08_distance`. The equation prints Sim(a, p) - Sim(a, n), which is right for a distance; with a similarity the order turns.
    """
    return _hinge(_cosines(V, N) - _cosines(V, T), margin)


def eq09_image_to_text_cross_entropy(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (9), L_i2tce: label-smoothed cross-entropy over s(V_i, T_k), k = 1..K, text frozen; V (B, D), T (K, D), y (B,) -> scalar."""
    return cross_entropy_label_smooth(rule(V, T), y, smoothing)


def eq10_stage3_weights(id_weight: float, triplet_weight: float, text_weight: float, beta: float) -> dict[str, float]:
    """Eq. (10), L_id + L_tri + (1 - beta) L_i2tce + beta L_apn: the weights of its parts (paper: the first three 1)."""
    return {"id": id_weight, "triplet": triplet_weight, "i2tce": text_weight * (1 - beta), "apn": text_weight * beta}


def eq12_contrastive(V: Tensor, T: Tensor, N: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (12), L_con: -log of the share of the own invariant text beside all K domain-relevant ones.

    V (B, D), T (K, D), N (K, D), y (B,) -> scalar: mean over i of -log( e^s(V_i, T_y) / (e^s(V_i, T_y) + sum_k e^s(V_i, N_k)) ).
    """
    own = rule(V, T).gather(1, y[:, None])
    scores = at_least_float32(torch.cat([own, rule(V, N)], dim=1))
    return -scores.log_softmax(dim=1)[:, 0].mean()


def eq13_joint(V: Tensor, T: Tensor, N: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (13), L_apnce: L_i2tce and L_con in one softmax over the 2K texts.

    V (B, D), T (K, D), N (K, D), y (B,) -> scalar. Label smoothing spreads over the K invariant texts alone, as in eq. (9): it shall not
    ask for a share of domain-relevant ones.
    """
    identities = len(T)
    log_shares = at_least_float32(torch.cat([rule(V, T), rule(V, N)], dim=1)).log_softmax(dim=1)[:, :identities]
    own = log_shares.gather(1, y[:, None])[:, 0]
    return -((1 - smoothing) * own + smoothing * log_shares.mean(dim=1)).mean()


def _hinge(excess: Tensor, margin: float | None) -> Tensor:
    return F.softplus(excess).mean() if margin is None else F.relu(excess + margin).mean()


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """(B,) lengths of the rows of x - y."""
    difference = at_least_float32(x) - at_least_float32(y)
    return difference.square().sum(dim=1).clamp(min=_DISTANCE_EPS).sqrt()


def _cosines(x: Tensor, y: Tensor) -> Tensor:
    """(B,) cosines of corresponding rows."""
    return F.cosine_similarity(at_least_float32(x), at_least_float32(y), dim=1, eps=_COSINE_EPS)
