"""SCHP's network for label maps alone: the scores of a folded `SchpNetwork` up to rounding, with a seventh fewer products.

Enlarging is linear in each channel and a 1x1 convolution in each cell, so the order of the two is exchanged: parts of what a convolution
joins are multiplied at their own size, a quarter or a sixteenth of the cells, and then enlarged (`joined`). The pyramid's summaries, 50
cells in all, never become maps of 2048 channels for a 3x3 convolution (`context.Context`). What label maps do not hang on, the scores of
edges and those of the decoder alone, is left out.

In lower precision only what residual branches add, and the last layers' joining, is rounded. The stem takes differences of neighbouring
pixels; what rounding makes of those, and of the stream that all branches add to, grows through all layers above. `PAPER.md` has what each
group of layers costs in labels and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidclip_schp.backbone import Bottleneck
from reidclip_schp.context import Context
from reidclip_schp.network import SchpNetwork, to_size_of


class LabelNetwork(nn.Module):
    """Fusion scores.

    Args:
        network: folded; its layers are taken over, so that it is of no use afterwards.
        rounded: what the layers named above compute in, bfloat16 or float16; None for float32 throughout.
    """

    def __init__(self, network: SchpNetwork, rounded: torch.dtype | None = None) -> None:
        super().__init__()
        self.stem = nn.ModuleList([network.conv1, network.conv2, network.conv3])
        self.stages = nn.ModuleList([network.layer1, network.layer2, network.layer3, network.layer4])
        self.context = Context(network.context_encoding)
        self.decoder, self.edge = network.decoder, network.edge
        self.fusion, self.last = network.fushion[:-1], network.fushion[-1]
        self.rounded = torch.float32 if rounded is None else rounded
        for block in self.stages.modules():
            if isinstance(block, Bottleneck):
                for conv in (block.conv1, block.conv2, block.conv3):
                    conv.to(self.rounded)
        for module in (self.decoder, self.edge, self.fusion):
            module.to(self.rounded)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised BGR pictures (B, 3, H, W) -> fusion scores (B, labels, H / 4, W / 4), float32."""
        for conv in self.stem:
            x = F.relu(conv(x), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage in self.stages:
            for block in cast(nn.Sequential, stage):
                x = residual(cast(Bottleneck, block), x)
            maps.append(x)
        context = self.context(x)
        at4, at8, at16, context = (each.to(self.rounded) for each in (*maps[:3], context))
        decoder, edge = self.decoder, self.edge
        parsing = joined(decoder.conv3, [decoder.conv1(context), decoder.conv2(at4)])
        features = joined(self.fusion, [parsing, edge.conv1(at4), edge.conv2(at8), edge.conv3(at16)])
        scores: Tensor = self.last(features.float())
        return scores


def residual(block: Bottleneck, x: Tensor) -> Tensor:
    """A folded `Bottleneck` of which only the branch is rounded: float32 (B, C, H, W) -> float32; x may be overwritten."""
    y = x.to(block.conv1.weight.dtype)
    y = F.relu(block.conv1(y), inplace=True)
    y = F.relu(block.conv2(y), inplace=True)
    stream = x if block.downsample is None else block.downsample(x)
    return F.relu(stream.add_(block.conv3(y)), inplace=True)


def joined(layers: nn.Sequential, parts: Sequence[Tensor]) -> Tensor:
    """Layers, the first a 1x1 convolution, of maps that are enlarged to the largest of them and joined."""
    conv, *others = layers
    assert isinstance(conv, nn.Conv2d)
    ends = np.cumsum([part.shape[1] for part in parts])
    weights = [conv.weight[:, end - part.shape[1] : end] for end, part in zip(ends, parts, strict=True)]
    size = max(part.shape[2:] for part in parts)
    large, small = (
        [pair for pair in zip(parts, weights, strict=True) if (pair[0].shape[2:] == size) is wanted] for wanted in (True, False)
    )
    total = F.conv2d(torch.cat([part for part, _ in large], dim=1), torch.cat([weight for _, weight in large], dim=1), conv.bias)
    for part, weight in small:
        total += to_size_of(F.conv2d(part, weight), total)
    for layer in others:
        total = layer(total)
    return total
