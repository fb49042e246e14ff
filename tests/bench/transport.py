"""Sinkhorn's time, plain and in logarithms: forward and gradient of the cost, as a training step pays it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from reidclip.formulas.transport import cosine_cost, sinkhorn, transport_cost
from tests.bench.row import Row, seconds

BATCH, WORDS, CHANNELS = 64, 16, 64
PLACES = (128, 192)  # the grids of 256x128 and 384x128 at stride 16
ITERATIONS = (1, 10, 100)


def step(cost: Tensor, iterations: int, log_domain: bool) -> None:
    """The loss and its gradient with respect to the costs, through the plan."""
    cost.grad = None
    plan = sinkhorn(cost, iterations=iterations, log_domain=log_domain).plan
    transport_cost(plan, cost).mean().backward()


def main(quick: bool) -> list[Row]:
    """Milliseconds per batch, the least of several, both ways in turns; the note says how much slower logarithms are."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for places in PLACES:
        drawn = [torch.randn(BATCH, count, CHANNELS, generator=generator) for count in (places, WORDS)]
        cost = cosine_cost(*drawn).requires_grad_()
        for iterations in ITERATIONS:
            rows += compare(cost, iterations, 1 if quick else max(5, 60 // iterations))
    return rows


def compare(cost: Tensor, iterations: int, repeats: int) -> list[Row]:
    """Both ways on the same costs."""
    best: dict[bool, float] = {}
    for _ in range(repeats):
        for log_domain in (False, True):
            taken = 1000 * seconds(partial(step, cost, iterations, log_domain))
            best[log_domain] = min(best.get(log_domain, float("inf")), taken)
    size = f"{len(cost)} x {cost.shape[1]} x {cost.shape[2]}, iterations {iterations}"
    return [
        Row(f"Sinkhorn and its gradient, plain, {size}", best[False], "ms"),
        Row(f"Sinkhorn and its gradient, logarithms, {size}", best[True], "ms", note=f"{best[True] / best[False]:.1f} times the plain way"),
    ]
