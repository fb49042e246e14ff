"""`schp-tiny`: a small encoder-decoder for the 20 labels of LIP, about 1.5 M parameters. Not SCHP's network.

Each 4x4 block of pixels becomes one position of 48 channels (space to depth), so that no convolution runs on the large, thin maps where
a processor spends most of its time for little; residual blocks follow at 1/4, 1/8 and 1/16 of the input, with a summary of the whole
picture added at the coarsest map, and a decoder that joins each finer map again. The last layer scores four pixels of half the input's
size per position of the 1/4 map (depth to space). Two channels with the position in the picture are appended to the input: pedestrian
crops are framed alike, and left and right labels need the whole body.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEFAULT_WIDTHS = (64, 96, 144)
DEFAULT_BLOCKS = (1, 2, 2)
PATCH = 4
"""Side of the block of pixels that becomes one position."""
FINER = 2
"""Scores per position of the finest map, along each side."""


class ConvUnit(nn.Module):
    """Convolution, batch normalisation (folded away in the fused form), ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, act: bool = True, fused: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=fused)
        self.norm = nn.Identity() if fused else nn.BatchNorm2d(outputs)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.act else x


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int, *, fused: bool = False) -> None:
        super().__init__()
        self.first = ConvUnit(width, width, fused=fused)
        self.second = ConvUnit(width, width, act=False, fused=fused)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return F.relu(x + self.second(self.first(x)), inplace=True)


class Join(nn.Module):
    """Bring a coarse map to the next finer one: narrow, double, add to the finer map, convolve."""

    def __init__(self, coarse: int, fine: int, *, fused: bool = False) -> None:
        super().__init__()
        self.narrow = ConvUnit(coarse, fine, kernel=1, act=False, fused=fused)
        self.mix = ConvUnit(fine, fine, fused=fused)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, coarse, H, W) and (B, fine, 2H, 2W) -> (B, fine, 2H, 2W)."""
        up = F.interpolate(self.narrow(coarse), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(F.relu(up + skip, inplace=True))
        return mixed


class TinyParserNet(nn.Module):
    """The network.

    Args:
        widths: channels at 1/4, 1/8 and 1/16 of the input.
        blocks: residual blocks at each of these.
        labels: number of labels.
        fused: build the form without batch normalisation, which `fuse` fills (inference).
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = DEFAULT_WIDTHS,
        blocks: tuple[int, int, int] = DEFAULT_BLOCKS,
        labels: int = 20,
        *,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.widths, self.blocks, self.labels = widths, blocks, labels
        a, b, c = widths
        self.at4 = _level(3 * PATCH**2 + 2, a, 1, blocks[0], fused)
        self.at8 = _level(a, b, 2, blocks[1], fused)
        self.at16 = _level(b, c, 2, blocks[2], fused)
        self.summary = nn.Linear(c, c)
        self.to8, self.to4 = Join(c, b, fused=fused), Join(b, a, fused=fused)
        self.score = nn.Conv2d(a, labels * FINER**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W), H and W multiples of 16 -> scores (B, labels, H / 2, W / 2)."""
        patches = F.pixel_unshuffle(x, PATCH)
        quarter = self.at4(torch.cat([patches, _positions(patches)], dim=1).contiguous(memory_format=torch.channels_last))
        eighth = self.at8(quarter)
        coarse = self.at16(eighth)
        coarse = coarse + self.summary(coarse.mean((2, 3)))[:, :, None, None]
        scores = self.score(self.to4(self.to8(coarse, eighth), quarter))
        return F.pixel_shuffle(scores, FINER)


def _level(inputs: int, width: int, stride: int, blocks: int, fused: bool) -> nn.Sequential:
    return nn.Sequential(ConvUnit(inputs, width, stride=stride, fused=fused), *(Residual(width, fused=fused) for _ in range(blocks)))


def _positions(x: Tensor) -> Tensor:
    batch, _, height, width = x.shape
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).view(1, 1, height, 1).expand(batch, 1, height, width)
    columns = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).view(1, 1, 1, width).expand(batch, 1, height, width)
    return torch.cat([rows, columns], dim=1)


def fuse(network: TinyParserNet) -> TinyParserNet:
    """The same function without batch normalisation (its running statistics folded into the convolutions), for inference."""
    plain = TinyParserNet(network.widths, network.blocks, network.labels, fused=True)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if ".norm." not in k}, strict=False)
    targets = dict(plain.named_modules())
    with torch.no_grad():
        for name, unit in network.named_modules():
            if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
                mean, var = unit.norm.running_mean, unit.norm.running_var
                if mean is None or var is None:
                    raise ValueError(f"{name} keeps no running statistics")
                scale = unit.norm.weight / torch.sqrt(var + unit.norm.eps)
                target = targets[name].conv
                target.weight.copy_(unit.conv.weight * scale[:, None, None, None])
                target.bias.copy_(unit.norm.bias - mean * scale)
    return plain.eval()
