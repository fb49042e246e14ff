"""The pyramid of summaries, `network.PyramidPooling`, folded, without its large intermediate maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidclip_schp.crop import upsampling
from reidclip_schp.network import POOLED_SIZES, PyramidPooling


class Context(nn.Module):
    """The share of the 3x3 convolution that comes from the summaries is computed from their 1 + 4 + 9 + 36 cells.

    Each cell is multiplied with the weights of each of the 9 taps, and each product is laid out over the map (`placement`).

    Args:
        pyramid: folded; its layers are taken over.
    """

    def __init__(self, pyramid: PyramidPooling) -> None:
        super().__init__()
        joining, *others = pyramid.bottleneck
        assert isinstance(joining, nn.Conv2d)
        outputs = joining.out_channels
        of_summaries = len(POOLED_SIZES) * outputs
        self.stages, self.others = pyramid.stages, nn.Sequential(*others)
        self.own = nn.Conv2d(joining.in_channels - of_summaries, outputs, 3, padding=1)
        self.own.weight = nn.Parameter(joining.weight.detach()[:, of_summaries:].contiguous(memory_format=torch.channels_last))
        self.own.bias = joining.bias
        summaries = joining.weight.detach()[:, :of_summaries].chunk(len(POOLED_SIZES), dim=1)
        self.taps = nn.Parameter(torch.stack([weight.permute(1, 2, 3, 0).flatten(1) for weight in summaries]))  # (4, C, 9 * outputs)
        self.placed = torch.empty(0)
        self.placed_hw = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2048, h, w) -> (B, 512, h, w)."""
        batch, _, h, w = x.shape
        if self.placed_hw != (h, w):
            self.placed, self.placed_hw = placement(h, w).to(x), (h, w)
        cells = []
        for stage, taps in zip(self.stages, self.taps, strict=True):
            summary = stage(x).flatten(2).mT  # (B, cells, C)
            cells.append((summary @ taps).reshape(batch, -1, self.own.out_channels))
        total = self.own(x)
        total += (self.placed @ torch.cat(cells, dim=1)).reshape(batch, h, w, -1).permute(0, 3, 1, 2)
        result: Tensor = self.others(total)
        return result


def placement(h: int, w: int) -> Tensor:
    """(h * w, 50 * 9): how much of a summary's cell a tap of a 3x3 convolution sees from a place of the map, 0 beyond the map."""
    shares = []
    for size in POOLED_SIZES:
        rows, columns = _seen_by_taps(upsampling(size, h)), _seen_by_taps(upsampling(size, w))
        shares.append(torch.einsum("ayp,bxq->yxpqab", rows, columns).reshape(h * w, size * size * 9))
    return torch.cat(shares, dim=1)


def _seen_by_taps(rows: Tensor) -> Tensor:
    """Rows before, at and after each row, 0 outside: (n, m) -> (3, n, m)."""
    padded = F.pad(rows, (0, 0, 1, 1))
    return torch.stack([padded[tap : tap + len(rows)] for tap in range(3)])
