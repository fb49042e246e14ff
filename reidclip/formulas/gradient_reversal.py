"""The gradient reversal layer (Ganin, Lempitsky: "Unsupervised Domain Adaptation by Backpropagation", ICML 2015, eq. (7)-(9))."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return -ctx.strength * gradient, None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself, of any shape; on the way back its gradient comes multiplied by ``-strength``.

    What learns behind this layer gets better at its task, what lies before it makes that task harder.
    """
    reversed_: Tensor = _Reversal.apply(x, strength)
    return reversed_
