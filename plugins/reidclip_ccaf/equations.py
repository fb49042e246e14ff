"""The numbered equations of CCAF, in the paper's order. The images of eq. (4) and (11) are made with the batch: see eq04, eq11.

Letters: B batch, P identities and Kp pictures each in a batch, K training identities, Kc clothes classes, D joint width;
M (B, H, W) is 1 where a pixel is not clothes; f (B, D) raw feature, f_s (B, D) shielding feature; T text features.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.formulas.distances import at_least_float32, inner_products
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth
from reidclip.formulas.masks import shield
from reidclip.train.model_inputs import SimilarityRule


def eq01_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (1), L_ce: label-smoothed cross-entropy over identities; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq02_triplet(features: Tensor, y: Tensor, margin: float | None = 0.3, normalise: bool = False) -> Tensor:
    """Eq. (2), L_tri: batch-hard triplet with margin; features (B, D), y (B,) -> scalar."""
    return batch_hard_triplet(features, y, margin, normalise)


def eq03_id_loss(cross_entropy: Tensor, triplet: Tensor) -> Tensor:
    """Eq. (3), L_id = L_ce + L_tri; scalars."""
    return cross_entropy + triplet


def eq04_shielding_image(x: Tensor, M: Tensor, colour: float | Sequence[float] = 255.0) -> Tensor:
    """Eq. (4), x_s = M x + (1 - M) 255: clothes painted white, or in a colour; x (B, 3, H, W) in 0..255, before normalisation."""
    return shield(x, M, colour)


def eq05_image_to_text(f_s: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (5), L_i2t of identity prompts on shielding features; f_s (B, D), T (B, D), y (B,) -> scalar."""
    return supervised_contrastive(f_s, T, y, y, rule.scale, rule.kind)


def eq06_text_to_image(f_s: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (6), L_t2i of identity prompts on shielding features; f_s (B, D), T (B, D), y (B,) -> scalar."""
    return supervised_contrastive(T, f_s, y, y, rule.scale, rule.kind)


def eq07_image_to_text_cross_entropy(f: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (7), L_i2tce: cross-entropy over s(f_i, T_k), k = 1..K, text frozen; f (B, D), T (K, D), y (B,) -> scalar."""
    return cross_entropy_label_smooth(rule(f, T), y, smoothing)


def eq08_shielding_id(cross_entropy: Tensor, triplet: Tensor) -> Tensor:
    """Eq. (8), L_id^s: eq. (3) on the shielding stream; scalars."""
    return eq03_id_loss(cross_entropy, triplet)


def eq09_shielding_image_to_text(f_s: Tensor, T: Tensor, y: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (9), L_i2tce^s: eq. (7) on the shielding stream; f_s (B, D), T (K, D), y (B,) -> scalar."""
    return eq07_image_to_text_cross_entropy(f_s, T, y, rule, smoothing)


def eq10_centre_consistency(f: Tensor, f_s: Tensor, y: Tensor, normalise: bool = False) -> Tensor:
    """Eq. (10), L_con: mean over the batch's identities of ||c_p - c_p^s||^2, c the mean feature of an identity's pictures.

    f, f_s (B, D), y (B,) -> scalar; gradients flow to both streams (mutual).
    """
    f, f_s = at_least_float32(f), at_least_float32(f_s)
    if normalise:
        f, f_s = F.normalize(f, dim=1), F.normalize(f_s, dim=1)
    same = (y[:, None] == y[None, :]).to(f.dtype)  # (B, B)
    pictures = same.sum(1)  # (B,): how many pictures row i's identity has
    # Row i: c_p - c_p^s of its identity; the mean is linear, so the difference of means is the mean difference.
    centres = inner_products(same, (f - f_s).T) / pictures[:, None]
    # Every identity counts once, so its rows share the weight: sums over rows, for to list the identities would wait for a GPU.
    return (centres.square().sum(1) / pictures).sum() / (1 / pictures).sum()


def eq11_clothes_image(x: Tensor, M: Tensor, colour: float | Sequence[float] = 255.0) -> Tensor:
    """Eq. (11), x_c = (1 - M) x + M 255: all but clothes painted white, or in a colour; x (B, 3, H, W) in 0..255, not normalised."""
    return shield(x, M == 0, colour)


def eq12_clothes_image_to_text(f_c: Tensor, T_c: Tensor, c: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (12), L_i2t of clothes prompts on clothes features; f_c (B, D), T_c (B, D), c (B,) clothes labels -> scalar."""
    return supervised_contrastive(f_c, T_c, c, c, rule.scale, rule.kind)


def eq13_clothes_text_to_image(f_c: Tensor, T_c: Tensor, c: Tensor, rule: SimilarityRule) -> Tensor:
    """Eq. (13), L_t2i of clothes prompts on clothes features; f_c (B, D), T_c (B, D), c (B,) -> scalar."""
    return supervised_contrastive(T_c, f_c, c, c, rule.scale, rule.kind)


def eq14_examine(f: Tensor, proj: Tensor, T_c: Tensor, c: Tensor, rule: SimilarityRule, smoothing: float = 0.1) -> Tensor:
    """Eq. (14), L_i2tce^c: find the clothes in f: cross-entropy over s(f Proj, T_clothes); only Proj is trained by it.

    f (B, D) is detached here; proj (D, D); T_c (Kc, D), c (B,) the image's own clothes class -> scalar.
    """
    return cross_entropy_label_smooth(rule(clothes_part(f, proj), T_c), c, smoothing)


def clothes_part(f: Tensor, proj: Tensor) -> Tensor:
    """f_c = f Proj with f detached, as eq. (14) reads it; f (B, D), proj (D, D) -> (B, D), float32 also under autocast."""
    return inner_products(f.detach(), proj.T)


def eq15_disentangle(f: Tensor, proj: Tensor, sign: int = 1) -> Tensor:
    """Eq. (15), L_dis = mean cos(f, f Proj): move f away from its clothes part; Proj is frozen, only the encoder is trained by it.

    f (B, D), proj (D, D) -> scalar. The paper prints a minus sign, which would pull the two together against its own text; ``sign`` -1
    gives that.
    """
    # Near its start Proj is almost the identity and the cosine almost flat: half precision would round the difference away.
    return sign * F.cosine_similarity(at_least_float32(f), inner_products(f, proj.detach().T), dim=1).mean()


def eq16_stage1(identity: dict[str, Tensor], clothes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Eq. (16), L_stage1: the sum of identity and clothes prompt losses, as named parts (the two share no parameter)."""
    return {**identity, **clothes}


def eq17_weights(lambda1: float = 0.1, lambda2: float = 1.0) -> dict[str, float]:
    """Eq. (17), L_stage2 = L_id + L_i2tce + L_id^s + L_i2tce^s + L_i2tce^c + lambda1 L_con + lambda2 L_dis, as weights by name."""
    return {"con": lambda1, "dis": lambda2}
