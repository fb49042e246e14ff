"""The numbered equations of CLIP-ReID, arXiv 2211.13977v4, in the paper's order.

Letters: B batch, K training identities, D joint width; V (B, D) image features, T (.., D) text features, y (B,) identity labels.
"""

from __future__ import annotations

from torch import Tensor

from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth
from reidclip.train.model_inputs import SimilarityRule


def eq01_similarity(V: Tensor, T: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (1), S(V_i, T_j): similarity of image and text features in the joint space.

    V (B, D), T (K, D) -> (B, K). The published code takes the plain dot product of un-normalised features.
    """
    return rule(V, T)


def eq02_image_to_text(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (2), L_i2t: each image picks the texts of its identity among the batch's texts.

    V (B, D), T (B, D), y (B,) -> scalar. Several texts of a batch may belong to one identity; all of them are positives.
    """
    return supervised_contrastive(V, T, y, y, rule.scale, rule.kind)


def eq04_text_to_image(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (4), L_t2i: each text picks the images of its identity, P(y_i), among the batch's images.

    V (B, D), T (B, D), y (B,) -> scalar.
    """
    return supervised_contrastive(T, V, y, y, rule.scale, rule.kind)


def eq05_stage1(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> dict[str, Tensor]:
    """Eq. (5), L_stage1 = L_i2t + L_t2i, as its named parts."""
    return {"i2t": eq02_image_to_text(V, T, y, rule), "t2i": eq04_text_to_image(V, T, y, rule)}


def eq06_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (6), L_id: cross-entropy with label smoothing over the training identities; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq07_triplet(features: Tensor, y: Tensor, margin: float | None = 0.3, normalise: bool = False) -> Tensor:
    """Eq. (7), L_tri = max(d_p - d_n + alpha, 0) with the batch's hardest positive and negative; features (B, D), y (B,) -> scalar."""
    return batch_hard_triplet(features, y, margin, normalise)


def eq08_image_to_text_cross_entropy(V: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (8), L_i2tce: label-smoothed cross-entropy over S(V_i, T_k) for all K training identities, text frozen.

    V (B, D), T (K, D), y (B,) -> scalar.
    """
    return cross_entropy_label_smooth(eq01_similarity(V, T, rule), y, smoothing)
