"""BatchNorm over the whole batch when its rows lie in several processes.

torch's own SyncBatchNorm does the same on GPUs alone; this one runs wherever the processes can speak, so that the equality of one process
and many is tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from reidclip.errors import UserError
from reidclip.parallel.processes import size
from reidclip.parallel.rows import at_least_float32, sum_over_processes

_ROWS = (0, 2, 3)  # of a map (b, C, H, W): everything but the channel


class WholeBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose training statistics are those of all processes' rows together."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, H, W) -> the same; statistics over the B rows of all processes."""
        if not self.training or size() == 1:
            return super().forward(x)
        weight, bias = (self.weight, self.bias) if self.affine else (x.new_ones(x.shape[1]), x.new_zeros(x.shape[1]))
        out, mean, variance, count = _Normalise.apply(x, weight, bias, self.eps)
        self._remember(mean, variance, count)
        return cast(Tensor, out)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), factor)


class _Normalise(torch.autograd.Function):
    """Ioffe & Szegedy (ICML 2015), algorithm 1 and the gradients of section 3, sums over the rows of all processes.

    Sums are of float64, as those of torch's own on the CPU: deep networks with small batches enlarge what is rounded here.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = at_least_float32(x)
        sums = wide.sum(_ROWS, dtype=torch.float64)
        sums = sum_over_processes(torch.cat([sums, sums.new_full((1,), x.numel() // x.shape[1])]))
        mean, count = sums[:-1] / sums[-1], sums[-1]
        centred = wide - _along_channels(mean, wide)
        squares = centred.square().sum(_ROWS, dtype=torch.float64)  # a second pass: E[x^2] - E[x]^2 loses too many digits
        variance = sum_over_processes(squares) / count
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, inverse, count)
        ctx.mark_non_differentiable(mean, variance, count)
        out = centred * _along_channels(inverse * weight, wide) + _along_channels(bias, wide)
        return out.to(x.dtype), mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        wide, g = at_least_float32(x), at_least_float32(gradient)
        normal = (wide - _along_channels(mean, wide)) * _along_channels(inverse, wide)
        of_bias, of_weight = g.sum(_ROWS, dtype=torch.float64), (g * normal).sum(_ROWS, dtype=torch.float64)
        means = sum_over_processes(torch.stack([of_bias, of_weight])) / count
        inner = g - _along_channels(means[0], g) - normal * _along_channels(means[1], g)
        of_x = inner * _along_channels(inverse * weight, g)
        return of_x.to(x.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None


def _along_channels(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype)[None, :, None, None]


def see_whole_batch(module: nn.Module, encoders: Iterable[nn.Module] = ()) -> None:
    """Make every BatchNorm2d below ``module`` take its statistics over all processes; parameters, buffers and names stay what they are.

    Args:
        module: what a stage trains. The BatchNorms of its heads see gathered features, which are those of all processes already.
        encoders: parts of it that see this process's rows alone.

    Raises:
        UserError: an encoder has a BatchNorm of another kind, whose statistics would be those of a part of the batch.
    """
    for name, child in (pair for encoder in encoders for pair in encoder.named_modules()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and type(child) not in (nn.BatchNorm2d, WholeBatchNorm2d):
            raise UserError(
                f"The image encoder's layer '{name}' is a {type(child).__name__}, which would take its statistics from one process's "
                f"part of the batch: {size()} processes would train another model than one.",
                "Train in one process (without torchrun), or build the encoder with torch.nn.BatchNorm2d, whose statistics are shared.",
            )
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = WholeBatchNorm2d
