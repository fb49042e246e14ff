"""BatchNorm over the whole batch when its rows lie in several processes.

torch's own SyncBatchNorm does the same on GPUs alone; this one runs wherever the processes can speak, so that the equality of one process
and many is tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reidclip.errors import UserError
from reidclip.parallel.processes import size
from reidclip.parallel.rows import sum_of


class WholeBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose training statistics are those of all processes' rows together."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, H, W) -> the same; statistics over the B rows of all processes."""
        if not self.training or size() == 1:
            return super().forward(x)
        wide = x.float()
        count = sum_of(torch.full((), float(x.numel() // x.shape[1]), device=x.device))
        mean = sum_of(wide.sum((0, 2, 3))) / count
        centred = wide - mean[None, :, None, None]
        variance = sum_of(centred.square().sum((0, 2, 3))) / count  # two passes: E[x^2] - E[x]^2 loses too many digits
        self._remember(mean.detach(), variance.detach(), count)
        out = centred * torch.rsqrt(variance + self.eps)[None, :, None, None]
        if self.affine:
            out = out * self.weight[None, :, None, None] + self.bias[None, :, None, None]
        return out.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), factor)


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
