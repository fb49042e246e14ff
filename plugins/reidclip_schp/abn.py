"""The activated batch normalisation that SCHP was trained with (InPlaceABN), in plain PyTorch.

Reference: S. Rota Bulo, L. Porzi, P. Kontschieder, "In-Place Activated BatchNorm for Memory-Optimized Training of DNNs", CVPR 2018.
Only its arithmetic is rebuilt here, not its saving of memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
SLOPE = 0.01


class ActivatedBatchNorm(nn.Module):
    """y = act((x - mean) / sqrt(var + eps) * (|weight| + eps) + bias).

    A checkpoint may hold negative weights: their sign counts for nothing, which is where a plain batch normalisation goes wrong. The
    gradient of a negative weight has its sign flipped accordingly. The state has no ``num_batches_tracked``.

    Args:
        channels: C.
        slope: of the leaky ReLU for negative y; None for no activation.
        momentum: share of the batch in the running statistics; the running variance is the unbiased one.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, slope: float | None = SLOPE, momentum: float = 0.1) -> None:
        super().__init__()
        self.slope, self.momentum = slope, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale(self) -> Tensor:
        """(C,) |weight| + eps. At exactly 0 the gradient is that of a positive weight."""
        return torch.where(self.weight < 0, -self.weight, self.weight) + EPS

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape; batch statistics in training mode, running ones otherwise."""
        y = F.batch_norm(x, self.running_mean, self.running_var, self.scale(), self.bias, self.training, self.momentum, EPS)
        return y if self.slope is None else F.leaky_relu(y, self.slope)
