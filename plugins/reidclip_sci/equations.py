"""The numbered equations of SCI, in the paper's order. Our source lost their printed form: PAPER.md says what is rebuilt from its text.

Letters: B batch, K training identities, Kc clothes classes, D joint width, N places of the final map, W its width, I inner width;
V (B, D) image feature, t_id and t_c (B, D) identity and clothes text of each picture, t_orth (B, D) the former without the latter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.clothes import clothes_adversarial
from reidclip.formulas.context import dot_product_context
from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.formulas.distances import at_least_float32
from reidclip.formulas.losses import cross_entropy_label_smooth
from reidclip.train.model_inputs import SimilarityRule

_SMALLEST = 1e-12  # of a squared length: a clothes text of length 0 has no direction, and nothing is taken away


def eq01_similarity(V: Tensor, T: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (1), s(V_i, T_k) of images and texts; V (B, D), T (K, D) -> (B, K)."""
    return rule(V, T)


def eq03_image_to_text(V: Tensor, t_id: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (3), L_i2t of CLIP-ReID on plain identity texts; V (B, D), t_id (B, D), y (B,) -> scalar."""
    return supervised_contrastive(V, t_id, y, y, rule.scale, rule.kind)


def eq04_text_to_image(V: Tensor, t_id: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (4), L_t2i of CLIP-ReID on plain identity texts; V (B, D), t_id (B, D), y (B,) -> scalar."""
    return supervised_contrastive(t_id, V, y, y, rule.scale, rule.kind)


def eq05_clothes_part(t_id: Tensor, t_c: Tensor) -> Tensor:
    """Eq. (5), proj = (t_id . t_c / ||t_c||^2) t_c, row by row; (B, D), (B, D) -> (B, D), at least float32."""
    t_id, t_c = at_least_float32(t_id), at_least_float32(t_c)
    share = (t_id * t_c).sum(dim=1, keepdim=True) / t_c.square().sum(dim=1, keepdim=True).clamp(min=_SMALLEST)
    return share * t_c


def eq06_orthogonal_text(t_id: Tensor, t_c: Tensor) -> Tensor:
    """Eq. (6), t_orth = t_id - proj, so that t_orth . t_c = 0, row by row; (B, D), (B, D) -> (B, D), at least float32."""
    return at_least_float32(t_id) - eq05_clothes_part(t_id, t_c)


def eq07_identity_similarity(V: Tensor, t_orth: Tensor) -> Tensor:
    """Eq. (7), S_id = mean_i cos(V_i, t_orth_i); (B, D), (B, D) -> scalar."""
    return F.cosine_similarity(at_least_float32(V), at_least_float32(t_orth), dim=1).mean()


def eq08_clothes_similarity(V: Tensor, t_c: Tensor) -> Tensor:
    """Eq. (8), S_c = mean_i cos(V_i, t_c_i); (B, D), (B, D) -> scalar."""
    return F.cosine_similarity(at_least_float32(V), at_least_float32(t_c), dim=1).mean()


def eq09_separation(s_id: Tensor, s_c: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """Eq. (9), L_sse = alpha (1 - S_id) + beta max(S_c, 0); scalars. Below 0 clothes texts have no reason to go: the loss is bounded."""
    return alpha * (1 - s_id) + beta * s_c.clamp(min=0)


def eq10_image_to_orthogonal_text(V: Tensor, t_orth: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (10), L_i2t on t_orth: positives are all texts of the picture's identity, whatever it wears; (B, D), (B, D), (B,) -> scalar."""
    return eq03_image_to_text(V, t_orth, y, rule)


def eq11_orthogonal_text_to_image(V: Tensor, t_orth: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (11), L_t2i on t_orth; (B, D), (B, D), y (B,) -> scalar."""
    return eq04_text_to_image(V, t_orth, y, rule)


def eq12_stage1(i2t: Tensor, t2i: Tensor, sse: Tensor) -> dict[str, Tensor]:
    """Eq. (12), L_stage1 = L_i2t + L_t2i + L_sse, as named parts that the training loop adds; scalars."""
    return {"i2t": i2t, "t2i": t2i, "sse": sse}


def eq13_context(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """Eq. (13), y_i = 1/N sum_j (theta(x_i)^T phi(x_j)) g(x_j); embedded places (B, N, I) each -> (B, N, I)."""
    return dot_product_context(theta, phi, g)


def eq14_residual(x: Tensor, y: Tensor, W_z: Tensor, bias: Tensor | None = None) -> Tensor:
    """Eq. (14), z = W_z y + x; x (B, N, W), y (B, N, I), W_z (W, I), bias (W,) -> (B, N, W).

    Of a trained block (`reidclip.clip.context_block.NonLocalBlock`) W_z and bias are its linear layer with the BatchNorm behind it.
    """
    return x + F.linear(y, W_z, bias)


def eq15_queries_keys_values(t_orth: Tensor, z: Tensor, W_q: Tensor, W_k: Tensor, W_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. (15), Q = t_orth W_q, K = z W_k, V = z W_v.

    t_orth (B, D), z (B, N, W), W_q (D, D), W_k and W_v (W, D) -> (B, D), (B, N, D), (B, N, D).
    """
    return t_orth @ W_q, z @ W_k, z @ W_v


def eq16_attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Eq. (16), a = softmax(Q K^T / sqrt(d)) V: one head, one query per picture; (B, D), (B, N, D), (B, N, D) -> (B, D)."""
    attended: Tensor = F.scaled_dot_product_attention(Q.unsqueeze(1), K, V, scale=1 / math.sqrt(Q.shape[-1])).squeeze(1)
    return attended


def eq17_guided_feature(v: Tensor, a: Tensor, gamma: Tensor) -> Tensor:
    """Eq. (17), v' = v + gamma a; v (B, D), a (B, D), gamma scalar, learned from 1e-4 -> (B, D)."""
    return v + gamma * a


def eq18_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (18), L_id: label-smoothed cross-entropy over identities; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq19_clothes_adversarial(z: Tensor, c: Tensor, positives: Tensor, scale: float = 16.0, epsilon: float = 0.1) -> Tensor:
    """Eq. (19), L_cal of CAL: all outfits of an identity alike; cosines z (B, Kc), c (B,), positives (B, Kc) bool -> scalar.

    `reidclip.train.clothes_classifier.ClothesClassifier.forget` computes it from features, with the classifier held fixed.
    """
    return clothes_adversarial(z, c, positives, scale, epsilon)


def eq20_image_to_text_cross_entropy(v: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (20), L_i2tce: cross-entropy over s(v'_i, T_k), k = 1..K, text frozen; v (B, D), T (K, D), y (B,) -> scalar."""
    return cross_entropy_label_smooth(rule(v, T), y, smoothing)


def eq21_weights(identity: float = 1.0, cal: float = 1.0, i2tce: float = 1.0, triplet: float = 0.0) -> dict[str, float]:
    """Eq. (21), L_stage2 = L_id + L_cal + L_i2tce, as weights by name; the paper has no triplet loss."""
    return {"id": identity, "cal": cal, "i2tce": i2tce, "triplet": triplet}


def identity_texts(t_orth: Tensor, clothes_to_pid: Tensor, identities: int) -> Tensor:
    """T of eq. (20): the mean of t_orth over each identity's outfits; (Kc, D), (Kc,) -> (K, D)."""
    sums = t_orth.new_zeros(identities, t_orth.shape[1]).index_add(0, clothes_to_pid, t_orth)
    return sums / torch.bincount(clothes_to_pid, minlength=identities)[:, None]
