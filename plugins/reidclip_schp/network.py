"""SCHP's network, an augmented CE2P: context, edges, parsing, and the fusion of the last two.

References: T. Ruan, T. Liu, Z. Huang, Y. Wei, S. Wei, Y. Zhao, "Devil in the Details: Towards Accurate Single and Multiple Human Parsing",
AAAI 2019 (CE2P), section 3; P. Li, Y. Xu, Y. Wei, Y. Yang, "Self-Correction for Human Parsing", TPAMI 2020, section 3.1 (the fusion).

Attribute names, ``fushion`` included, are the keys of the authors' checkpoints; layers are numbered as there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.backbone import Backbone, Maps, conv1x1, conv3x3

POOLED_SIZES = (1, 2, 3, 6)


class Scores(NamedTuple):
    """The network's outputs at a quarter of the input's size (rounded up), before any softmax."""

    parsing: Tensor  # (B, labels, h, w) of the decoder alone
    fusion: Tensor  # (B, labels, h, w) of decoder and edges together: the one that label maps are made of
    edge: Tensor  # (B, 2, h, w)


def to_size_of(x: Tensor, other: Tensor) -> Tensor:
    """Bilinear, corners aligned."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=True)


def unit(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution, normalisation, leaky ReLU."""
    return nn.Sequential(conv1x1(inputs, outputs), ActivatedBatchNorm(outputs))


class PyramidPooling(nn.Module):
    """Context: summaries of the whole map on grids of 1, 2, 3 and 6 cells, joined with the map (CE2P, "global context embedding")."""

    def __init__(self, inputs: int = 2048, outputs: int = 512) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(size), *unit(inputs, outputs)) for size in POOLED_SIZES)
        joined = inputs + len(POOLED_SIZES) * outputs
        self.bottleneck = nn.Sequential(conv3x3(joined, outputs), ActivatedBatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2048, h, w) -> (B, 512, h, w)."""
        context: Tensor = self.bottleneck(torch.cat([*(to_size_of(stage(x), x) for stage in self.stages), x], dim=1))
        return context


class Edge(nn.Module):
    """Borders between labels, from the first three stages (CE2P, "edge perceiving")."""

    def __init__(self, inputs: Sequence[int] = (256, 512, 1024), width: int = 256) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (unit(channels, width) for channels in inputs)
        self.conv4 = nn.Conv2d(width, 2, 3, padding=1)  # one for all three maps
        self.conv5 = nn.Conv2d(2 * len(inputs), 2, 1)

    def forward(self, maps: Maps) -> tuple[Tensor, Tensor]:
        """Feature maps -> edge scores (B, 2, h, w) and edge features (B, 768, h, w), at a quarter of the input's size."""
        features = [self.conv1(maps.at4), self.conv2(maps.at8), self.conv3(maps.at16)]
        scores = [to_size_of(self.conv4(each), maps.at4) for each in features]
        joined = torch.cat([to_size_of(each, maps.at4) for each in features], dim=1)
        return self.conv5(torch.cat(scores, dim=1)), joined


class Decoder(nn.Module):
    """Context, doubled twice, joined with the fine map of the first stage (CE2P, "high resolution embedding")."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.conv1 = unit(512, 256)
        self.conv2 = unit(256, 48)
        self.conv3 = nn.Sequential(*unit(304, 256), *unit(256, 256))
        self.conv4 = nn.Conv2d(256, labels, 1)

    def forward(self, context: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 512, ., .) and (B, 256, h, w) -> parsing scores (B, labels, h, w) and parsing features (B, 256, h, w)."""
        features = self.conv3(torch.cat([to_size_of(self.conv1(context), fine), self.conv2(fine)], dim=1))
        return self.conv4(features), features


class SchpNetwork(Backbone):
    """The whole network; it inherits the backbone because the checkpoints' keys have no level between.

    Args:
        labels: 20 (LIP), 18 (ATR) or 7 (Pascal-Person-Part) in the published checkpoints.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.context_encoding = PyramidPooling()
        self.edge = Edge()
        self.decoder = Decoder(labels)
        joined = nn.Sequential(*unit(1024, 256), nn.Dropout2d(0.1), nn.Conv2d(256, labels, 1))
        self.fushion = joined

    def forward(self, x: Tensor) -> Scores:
        """BGR pictures (B, 3, H, W), normalised as `reidclip_schp.crop.normalised` does -> `Scores`."""
        maps = self.maps(x)
        parsing, parsing_features = self.decoder(self.context_encoding(maps.context), maps.at4)
        edge, edge_features = self.edge(maps)
        fusion = self.fushion(torch.cat([parsing_features, edge_features], dim=1))
        return Scores(parsing, fusion, edge)


def key_shapes(labels: int) -> OrderedDict[str, tuple[int, ...]]:
    """Every key of a checkpoint with its tensor's shape; takes no memory."""
    with torch.device("meta"):
        network = SchpNetwork(labels)
    return OrderedDict((key, tuple(value.shape)) for key, value in network.state_dict().items())
