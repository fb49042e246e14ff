"""The equations of CAL in the order in which an iteration needs them; the numbers are ours, see PAPER.md.

Letters: B batch, K training identities, Kc clothes classes, W width; f (B, W) features behind BatchNorm, phi (Kc, W) directions of the
clothes classifier, y (B,) identity and c (B,) clothes labels.
"""

from __future__ import annotations

from torch import Tensor

from reidclip.formulas.clothes import clothes_adversarial, clothes_cosines, clothes_cross_entropy, clothes_of_identities
from reidclip.formulas.losses import cross_entropy_label_smooth


def eq01_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (1), L_ID: label-smoothed cross-entropy over identities; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq02_clothes_cosines(f: Tensor, phi: Tensor) -> Tensor:
    """Eq. (2), z = cos(f, phi), the clothes classifier; f (B, W), phi (Kc, W) -> (B, Kc)."""
    return clothes_cosines(f, phi)


def eq03_clothes(z: Tensor, c: Tensor, scale: float = 16.0) -> Tensor:
    """Eq. (3), L_C: cross-entropy over the scaled cosines; z (B, Kc) of features cut from the graph, c (B,) -> scalar."""
    return clothes_cross_entropy(z, c, scale)


def eq04_positives(clothes_to_pid: Tensor, y: Tensor) -> Tensor:
    """Eq. (4), S+: the outfits of each picture's identity, its own among them; (Kc,), y (B,) -> (B, Kc) bool."""
    return clothes_of_identities(clothes_to_pid, y)


def eq06_adversarial(z: Tensor, c: Tensor, positives: Tensor, scale: float = 16.0, epsilon: float = 0.1) -> Tensor:
    """Eq. (6), L_CA: multi-positive cross-entropy with the weights q of eq. (5); z (B, Kc), c (B,), positives (B, Kc) -> scalar."""
    return clothes_adversarial(z, c, positives, scale, epsilon)


def eq07_weights(id_weight: float = 1.0, cal_weight: float = 1.0, pair_weight: float = 0.0) -> dict[str, float]:
    """Eq. (7), L = L_ID + L_CA (and, in the program, a pair loss), as weights by name."""
    return {"id": id_weight, "ca": cal_weight, "pair": pair_weight}
