"""Losses beside L_ID, L_C and L_CA that the published program offers by name: margins on identity cosines, and losses between pairs.

Letters: B batch, K identities, W width. Pair losses read the cosines between the batch's features; a picture is not its own positive,
except in the triplet loss. Where a picture has no positive or no negative in its batch, its term is 0 (the program gives NaN).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.distances import cosine_similarities

_NONE = -1e8  # a logit that no sum of exponentials notices, finite so that no gradient is NaN

IdentityMargin = Callable[[Tensor, Tensor, float, float], Tensor]
"""(cosines (B, K), labels (B,), scale, margin) -> scalar."""
PairLoss = Callable[[Tensor, Tensor, float, float], Tensor]
"""(features (B, W), labels (B,), scale, margin) -> scalar."""


# ------------------------------------------------------------------------------------------------ on the cosines of a classifier
def cosface(cosines: Tensor, y: Tensor, scale: float = 16.0, margin: float = 0.1) -> Tensor:
    """Cross-entropy over s (z - m [own class]) (Wang et al., CVPR 2018, eq. (4)); cosines (B, K), y (B,) -> scalar."""
    own = F.one_hot(y, cosines.shape[1])
    return F.cross_entropy(scale * (cosines - margin * own), y)


def arcface(cosines: Tensor, y: Tensor, scale: float = 16.0, margin: float = 0.1) -> Tensor:
    """Cross-entropy with cos(angle + m) for the own class (Deng et al., CVPR 2019, eq. (3)); cosines (B, K), y (B,) -> scalar.

    Where the angle plus the margin would pass pi the own cosine becomes z - m sin(m), as published.
    """
    own = F.one_hot(y, cosines.shape[1]).bool()
    sines = (1 - cosines.square()).clamp(min=1e-12).sqrt()
    turned = cosines * math.cos(margin) - sines * math.sin(margin)
    turned = torch.where(cosines > math.cos(math.pi - margin), turned, cosines - margin * math.sin(margin))
    return F.cross_entropy(scale * torch.where(own, turned, cosines), y)


def circle(cosines: Tensor, y: Tensor, scale: float = 96.0, margin: float = 0.3) -> Tensor:
    """Circle loss over class directions (Sun et al., CVPR 2020, eq. (6) and (8)); cosines (B, K), y (B,) -> scalar."""
    own = F.one_hot(y, cosines.shape[1]).bool()
    return F.cross_entropy(scale * torch.where(own, -_circle_positive(cosines, margin), _circle_negative(cosines, margin)), y)


# ---------------------------------------------------------------------------------------------------------- between pictures
def cosine_triplet(features: Tensor, y: Tensor, scale: float = 1.0, margin: float = 0.3) -> Tensor:
    """Batch-hard triplet loss on d = 1 - cos: mean max(0, d_ap - d_an + m); features (B, W), y (B,) -> scalar.

    The anchor counts among its positives, as published. ``scale`` is not used.
    """
    distances, same = 1 - cosine_similarities(features, features), y[:, None] == y[None, :]
    farthest = distances.masked_fill(~same, -torch.inf).max(dim=1).values
    nearest = distances.masked_fill(same, torch.inf).min(dim=1).values
    return F.relu(farthest - nearest + margin).mean()


def contrastive(features: Tensor, y: Tensor, scale: float = 16.0, margin: float = 0.0) -> Tensor:
    """-mean_i mean_{p} log( exp(s z_ip) / (exp(s z_ip) + sum_n exp(s z_in)) ), p positives and n negatives of i.

    features (B, W), y (B,) -> scalar. ``margin`` is not used.
    """
    cosines, positive, negative = _pairs(features, y)
    logits = scale * cosines
    others = _log_sum_exp(logits, negative)[:, None]
    log_p = logits - torch.logaddexp(logits, others)
    return -((log_p * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()


def pair_cosface(features: Tensor, y: Tensor, scale: float = 16.0, margin: float = 0.0) -> Tensor:
    """mean ln(1 + sum_n exp(s (z_n + m)) sum_p exp(-s z_p)) (Sun et al., CVPR 2020, eq. (1)); features (B, W), y (B,) -> scalar."""
    cosines, positive, negative = _pairs(features, y)
    return F.softplus(_log_sum_exp(scale * (cosines + margin), negative) + _log_sum_exp(-scale * cosines, positive)).mean()


def pair_circle(features: Tensor, y: Tensor, scale: float = 48.0, margin: float = 0.35) -> Tensor:
    """Circle loss between pairs (Sun et al., CVPR 2020, eq. (8)); features (B, W), y (B,) -> scalar."""
    cosines, positive, negative = _pairs(features, y)
    pushed = _log_sum_exp(scale * _circle_negative(cosines, margin), negative)
    return F.softplus(pushed + _log_sum_exp(scale * _circle_positive(cosines, margin), positive)).mean()


def _circle_positive(cosines: Tensor, margin: float) -> Tensor:
    """a_p (1 - m - z): how much a positive is missing, weighted by how far it is from its optimum 1 + m; the weight has no gradient."""
    return F.relu(1 + margin - cosines.detach()) * (1 - margin - cosines)


def _circle_negative(cosines: Tensor, margin: float) -> Tensor:
    """a_n (z - m), optimum -m."""
    return F.relu(cosines.detach() + margin) * (cosines - margin)


def _pairs(features: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines (B, B), and which of them belong to positives and negatives."""
    same = y[:, None] == y[None, :]
    return cosine_similarities(features, features), same & ~torch.eye(len(y), dtype=torch.bool, device=y.device), ~same


def _log_sum_exp(logits: Tensor, chosen: Tensor) -> Tensor:
    return torch.logsumexp(logits.masked_fill(~chosen, _NONE), dim=1)


IDENTITY_MARGINS: Mapping[str, IdentityMargin] = {"cosface": cosface, "arcface": arcface, "circle": circle}
PAIR_LOSSES: Mapping[str, PairLoss] = {
    "triplet": cosine_triplet,
    "contrastive": contrastive,
    "cosface": pair_cosface,
    "circle": pair_circle,
}
