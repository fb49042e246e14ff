"""SCHP's backbone: ResNet-101 with a stem of three 3x3 convolutions and a last stage that is dilated instead of strided.

Attribute names are the keys of the authors' checkpoints.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from reidclip_schp.abn import ActivatedBatchNorm

BLOCKS = (3, 4, 23, 3)
EXPANSION = 4


class Maps(NamedTuple):
    """Feature maps of the four stages, (B, C, H / s, W / s)."""

    at4: Tensor  # C = 256, s = 4
    at8: Tensor  # 512
    at16: Tensor  # 1024
    context: Tensor  # 2048, also s = 16: dilated


def norm(channels: int) -> ActivatedBatchNorm:
    """The backbone's normalisation: no activation of its own, a ReLU follows where one is wanted."""
    return ActivatedBatchNorm(channels, slope=None)


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Convolution without bias that keeps the size (at stride 1)."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class Bottleneck(nn.Module):
    """Narrow, 3x3, widen, beside the identity or its projection; the 3x3 convolution carries stride and dilation."""

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1, self.bn1 = conv1x1(inputs, width), norm(width)
        self.conv2, self.bn2 = conv3x3(width, width, stride, dilation), norm(width)
        self.conv3, self.bn3 = conv1x1(width, outputs), norm(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv1x1(inputs, outputs, stride), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


def stage(inputs: int, width: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Bottlenecks of which the first changes width and size."""
    first = Bottleneck(inputs, width, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1, dilation) for _ in range(blocks - 1)))


class Backbone(nn.Module):
    """The stem and the four stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(3, 64, stride=2), norm(64)
        self.conv2, self.bn2 = conv3x3(64, 64), norm(64)
        self.conv3, self.bn3 = conv3x3(64, 128), norm(128)
        self.layer1 = stage(128, 64, BLOCKS[0])
        self.layer2 = stage(256, 128, BLOCKS[1], stride=2)
        self.layer3 = stage(512, 256, BLOCKS[2], stride=2)
        self.layer4 = stage(1024, 512, BLOCKS[3], dilation=2)

    def maps(self, x: Tensor) -> Maps:
        """Normalised BGR pictures (B, 3, H, W) -> four feature maps."""
        at4 = self.layer1(self.stem(x))
        at8 = self.layer2(at4)
        at16 = self.layer3(at8)
        return Maps(at4, at8, at16, self.layer4(at16))

    def stem(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 128, H / 4, W / 4)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = F.relu(self.bn3(self.conv3(x)), inplace=True)
        return F.max_pool2d(x, 3, stride=2, padding=1)
