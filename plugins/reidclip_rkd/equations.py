"""The equations of distilling an encoder into a student, in the order of PAPER.md; the numbers are ours, see there.

Letters: B batch, K training identities, D width of a feature; s (B, D) features of the student and t (B, D') of the teacher, of the same
augmented pictures, y (B,) identity labels. Everything that the teacher gives counts as constant: it has no graph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reidclip.formulas.distances import at_least_float32, cosine_similarities, euclidean_distances
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth

_TINY = 1e-12  # squared length below which two rows have no direction from one to the other


def eq01_identity(logits: Tensor, y: Tensor, smoothing: float = 0.1) -> Tensor:
    """Eq. (1), L_id: label-smoothed cross-entropy over identities; logits (B, K), y (B,) -> scalar."""
    return cross_entropy_label_smooth(logits, y, smoothing)


def eq02_triplet(s: Tensor, y: Tensor, margin: float | None = 0.3, normalise: bool = False) -> Tensor:
    """Eq. (2), L_tri: batch-hard triplet loss (Hermans et al., 2017); s (B, D), y (B,) -> scalar."""
    return batch_hard_triplet(s, y, margin, normalise)


def eq03_feature(s: Tensor, t: Tensor) -> Tensor:
    """Eq. (3), L_feat = mean_i (1 - cos(s_i, t_i)), half the squared distance of the unit vectors; s, t (B, D) -> scalar in 0..2.

    A hint (Romero et al., ICLR 2015, eq. (3)) for the last layer, of which only the direction is ranked.
    """
    return (1 - F.cosine_similarity(at_least_float32(s), at_least_float32(t), dim=1)).mean()


def eq04_distances(x: Tensor) -> Tensor:
    """Eq. (4), psi_D = ||x_i - x_j|| / mu, mu the mean over all pairs i != j (Park et al., CVPR 2019).

    x (B, D), B > 1 -> (B (B - 1),), pairs row by row. In units of mu: the same for a x + b, whatever the a > 0 and b.
    """
    distances = euclidean_distances(x, x)[_apart(len(x), x.device)]
    return distances / distances.mean()


def eq05_huber(x: Tensor, y: Tensor) -> Tensor:
    """Eq. (5), l = (x - y)^2 / 2 where |x - y| <= 1, else |x - y| - 1/2; same shapes -> the same."""
    return F.smooth_l1_loss(x, y, reduction="none", beta=1.0)


def eq06_distance(s: Tensor, t: Tensor) -> Tensor:
    """Eq. (6), L_D: mean over pairs of the Huber loss (5) between the distances (4) of student and teacher; s (B, D), t (B, D') -> scalar.

    0 for a batch of fewer than two.
    """
    return eq05_huber(eq04_distances(s), eq04_distances(t)).mean() if len(s) > 1 else s.sum() * 0.0


def eq07_angles(x: Tensor) -> Tensor:
    """Eq. (7), psi_A = cos of the angle at x_j between x_i - x_j and x_k - x_j, i, j, k all different (Park et al., CVPR 2019).

    x (B, D), B > 2 -> (B (B - 1) (B - 2),), in the order of (j, i, k). The same for a R x + b, R a rotation, a > 0. Where two rows are
    equal there is no direction: cosine 0 without gradient.
    """
    x = at_least_float32(x)
    with torch.autocast(x.device.type, enabled=False):
        steps = x[None, :] - x[:, None]  # (j, i, D): x_i - x_j
        squared = steps.square().sum(dim=2, keepdim=True)
        far = squared > _TINY  # the root is taken of these alone: its slope at 0 is infinite
        directions = torch.where(far, steps / squared.where(far, torch.ones_like(squared)).sqrt(), torch.zeros_like(steps))
        cosines = directions @ directions.transpose(1, 2)
    apart = _apart(len(x), x.device)
    return cosines[apart[:, :, None] & apart[:, None, :] & apart[None, :, :]]


def eq08_angle(s: Tensor, t: Tensor) -> Tensor:
    """Eq. (8), L_A: mean over triples of the Huber loss (5) between the angles (7) of student and teacher; s (B, D), t (B, D') -> scalar.

    0 for a batch of fewer than three.
    """
    return eq05_huber(eq07_angles(s), eq07_angles(t)).mean() if len(s) > 2 else s.sum() * 0.0


def eq09_similarity(s: Tensor, t: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. (9), L_sim = mean_i KL(p_i || q_i), p_i = softmax over j != i of cos(t_i, t_j) / temperature, q_i likewise of s: which pictures
    of the batch are near (the batch in place of the memory of CompRess and SEED); s (B, D), t (B, D') -> scalar.

    0 for a batch of fewer than two.
    """
    if len(s) < 2:
        return s.sum() * 0.0
    apart = _apart(len(s), s.device)
    log_q, log_p = (F.log_softmax(cosine_similarities(x, x)[apart].view(len(x), -1) / temperature, dim=1) for x in (at_least_float32(s), t))
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def eq10_weights(id_: float, triplet: float, feature: float, distance: float, angle: float, similarity: float) -> dict[str, float]:
    """Eq. (10), L as the weights of the named losses; a loss whose weight is 0 is not computed."""
    return {"id": id_, "triplet": triplet, "feature": feature, "distance": distance, "angle": angle, "similarity": similarity}


def _apart(count: int, device: torch.device) -> Tensor:
    """(B, B) bool, False on the diagonal."""
    return ~torch.eye(count, dtype=torch.bool, device=device)
