"""Entropic optimal transport between the places of a feature map and a set of words: Sinkhorn's iterations, plain and in logarithms.

CLIP3DReID (Liu et al., "Distilling CLIP with Dual Guidance for Learning Discriminative Human Body Shape Representation", CVPR 2024),
eq. (3)-(7); the algorithm is Cuturi's ("Sinkhorn Distances", NeurIPS 2013). All of it in at least float32, also under autocast.
Letters: B batch, N places, M words, D channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reidclip.formulas.context import full_precision
from reidclip.formulas.distances import at_least_float32

LOG_BELOW = 0.1  # regularisation under which logarithms are taken whatever the costs are (costs of cosines go up to 2)
_SHORTEST = 1e-8  # rows no longer than this have no direction


class Plan(NamedTuple):
    """How the mass of N places is moved to M words.

    Attributes:
        plan: T, (B, N, M), non-negative; columns sum to v.
        iterations: how many were made.
        row_error, column_error: (B,) sum of absolute differences between T's row (column) sums and u (v); no gradient.
        log_domain: whether logarithms of the scalings were iterated.
    """

    plan: Tensor
    iterations: int
    row_error: Tensor
    column_error: Tensor
    log_domain: bool


def cosine_cost(F: Tensor, H: Tensor) -> Tensor:
    """Eq. (3), C_nm = 1 - cos(F_n, H_m); F (B, N, D), H (B, M, D) -> (B, N, M) between 0 and 2, in at least float32.

    A row of zeros (padding behind ReLUs) has cosine 0 with everything, and no gradient; equal rows have the gradient 0 that they should.

    Raises:
        ValueError: shapes that do not belong together.
    """
    if F.ndim != 3 or H.ndim != 3 or F.shape[0] != H.shape[0] or F.shape[2] != H.shape[2]:
        raise ValueError(f"F must be (B, N, D) and H (B, M, D), not {tuple(F.shape)} and {tuple(H.shape)}")
    with full_precision(F.device.type):
        F, H = at_least_float32(F), at_least_float32(H)
        return 1 - F @ H.transpose(1, 2) * _inverse_lengths(F)[:, :, None] * _inverse_lengths(H)[:, None, :]


def _inverse_lengths(rows: Tensor) -> Tensor:
    """(B, N, D) -> (B, N); 0, with gradient 0, for rows without a direction: by way of an infinite length, whose slope is 0 and not NaN."""
    length = torch.linalg.vector_norm(rows, dim=2)
    return torch.where(length > _SHORTEST, length, torch.inf).reciprocal()


def sinkhorn(
    cost: Tensor,
    u: Tensor | None = None,
    v: Tensor | None = None,
    *,
    regularisation: float = 1.0,
    iterations: int = 1,
    tolerance: float | None = None,
    log_domain: bool | None = None,
) -> Plan:
    """Eq. (5)-(7): the plan T that moves u to v at cost <T, C> - lambda * entropy(T), as far as the iterations go.

        K = exp(-C / lambda);  t times: a = u / (K b), b = v / (K^T a);  T = diag(a) K diag(b)

    b starts at 1, as in the published code. The paper's start is any constant's: b times a constant is a over it, and T is the same.
    After the last half-step columns are exact, rows as near as the iterations came; with one iteration (the paper's number) and costs
    that differ little against lambda, that is near. T has a gradient with respect to the costs.

    Args:
        cost: C, (B, N, M).
        u: (B, N) mass at the places, non-negative; None spreads 1 evenly.
        v: (B, M) mass of the words, with the sum that u has; None spreads 1 evenly.
        regularisation: lambda, in units of the cost.
        iterations: t, at most.
        tolerance: stop when a's mean absolute change over all rows of the batch is below it (published: 0.01). None makes all iterations;
            a number costs one wait for the device in each.
        log_domain: iterate log a and log b, slower but for any lambda. None does so for lambda below 0.1, and for costs of which
            exp(-C / lambda) comes near the ends of the number format; to see the latter, costs are waited for. False may give NaN.

    Raises:
        ValueError: shapes that do not belong together, or numbers outside their range.
    """
    _check(cost, regularisation, iterations, tolerance)
    with full_precision(cost.device.type):
        cost = at_least_float32(cost)
        u, v = _mass("u", u, cost, 1), _mass("v", v, cost, 2)
        if log_domain is None:
            log_domain = needs_log_domain(cost, regularisation)
        iterate = _iterate_logarithms if log_domain else _iterate
        plan, made = iterate(-cost / regularisation, u, v, iterations, tolerance)
        done = plan.detach()
        return Plan(plan, made, (done.sum(2) - u).abs().sum(1), (done.sum(1) - v).abs().sum(1), log_domain)


def needs_log_domain(cost: Tensor, regularisation: float) -> bool:
    """Whether the plain iterations could leave the number format: lambda below 0.1, or |C| / lambda beyond half of its exponents.

    Half of them, as a scaling is the inverse of sums of exp(-C / lambda), times the other scaling.
    """
    if regularisation < LOG_BELOW:
        return True
    limit = -0.5 * math.log(torch.finfo(cost.dtype).tiny) * regularisation
    return cost.numel() > 0 and bool(cost.detach().abs().amax() > limit)


def transport_cost(plan: Tensor, cost: Tensor, detach_plan: bool = False) -> Tensor:
    """Eq. (4), d = <T, C>; T and C (B, N, M) -> (B,) in at least float32.

    Args:
        plan: T.
        cost: C.
        detach_plan: take T as a constant, as the published code does (its loss 1 - <T, cos> is this one where T sums to 1); the paper's
            formula has a gradient through T too.

    Raises:
        ValueError: different shapes.
    """
    if plan.shape != cost.shape or plan.ndim != 3:
        raise ValueError(f"plan and cost must both be (B, N, M), not {tuple(plan.shape)} and {tuple(cost.shape)}")
    plan = plan.detach() if detach_plan else plan
    return (at_least_float32(plan) * at_least_float32(cost)).sum(dim=(1, 2))


def _iterate(scores: Tensor, u: Tensor, v: Tensor, iterations: int, tolerance: float | None) -> tuple[Tensor, int]:
    """Scores -C / lambda (B, N, M) -> T and how many iterations were made."""
    kernel = scores.exp()
    a, b = torch.ones_like(u), torch.ones_like(v)
    made = 0
    while made < iterations:
        before = a.detach()
        a = u / torch.matmul(kernel, b[:, :, None])[:, :, 0]
        b = v / torch.matmul(a[:, None, :], kernel)[:, 0, :]
        made += 1
        if tolerance is not None and made < iterations and (a.detach() - before).abs().mean() < tolerance:
            break
    return a[:, :, None] * kernel * b[:, None, :], made


def _iterate_logarithms(scores: Tensor, u: Tensor, v: Tensor, iterations: int, tolerance: float | None) -> tuple[Tensor, int]:
    """The same by log a and log b.

    The last half-step is a softmax over the places: it is the same number, but columns then sum to v to the last digits, which
    differences of large logarithms do not give.
    """
    log_u, log_v = u.log(), v.log()
    log_a, log_b = torch.zeros_like(u), torch.zeros_like(v)
    made = 0
    while made < iterations:
        before = log_a.detach()
        log_a = log_u - (scores + log_b[:, None, :]).logsumexp(dim=2)
        made += 1
        if made == iterations or (tolerance is not None and _mean_change(log_a.detach(), before) < tolerance):
            break
        log_b = log_v - (scores + log_a[:, :, None]).logsumexp(dim=1)
    return v[:, None, :] * (scores + log_a[:, :, None]).softmax(dim=1), made


def _mean_change(log_a: Tensor, before: Tensor) -> Tensor:
    """Mean of |a - before|, infinite where a is beyond the number format; equal logarithms are no change even there."""
    step = (log_a - before).abs().nan_to_num(nan=0.0)  # places without mass: -inf both times
    return (torch.maximum(log_a, before) + (-torch.expm1(-step)).log()).exp().mean()


def _check(cost: Tensor, regularisation: float, iterations: int, tolerance: float | None) -> None:
    if cost.ndim != 3 or 0 in cost.shape[1:]:
        raise ValueError(f"cost must be (B, N, M) with at least one place and one word, not {tuple(cost.shape)}")
    if not cost.is_floating_point():
        raise ValueError(f"cost must be of floating point, not {cost.dtype}")
    if not 0 < regularisation < math.inf:
        raise ValueError(f"the regularisation lambda must be positive and finite, not {regularisation}")
    if iterations < 1:
        raise ValueError(f"Sinkhorn needs at least one iteration, not {iterations}")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"the tolerance must be 0 or more, or None, not {tolerance}")


def _mass(name: str, given: Tensor | None, cost: Tensor, dim: int) -> Tensor:
    """Marginals (B, N) or (B, M): those given, in the costs' precision, or even ones."""
    count = cost.shape[dim]
    if given is None:
        return cost.new_full((cost.shape[0], count), 1 / count)
    if given.shape != (cost.shape[0], count):
        raise ValueError(f"{name} must be {(cost.shape[0], count)} for a cost {tuple(cost.shape)}, not {tuple(given.shape)}")
    if bool((given < 0).any()):
        raise ValueError(f"{name} has negative mass")
    return given.to(cost)
