"""`schp-tiny`: a small encoder-decoder for the 20 labels of LIP, about 0.9 M parameters. Not SCHP's network.

Four halvings by strided 3x3 convolutions with residual blocks, a summary of the whole picture added at the coarsest map, and a
decoder that joins each finer map again. Scores come at half the input's size. Two channels with the pixel's position are appended
to the input: pedestrian crops are framed alike, and left and right labels need the whole body.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEFAULT_WIDTHS = (24, 48, 96, 128)


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
    """Bring a coarse map to the next finer one: narrow, double, join with the skip, convolve."""

    def __init__(self, coarse: int, fine: int, *, fused: bool = False) -> None:
        super().__init__()
        self.narrow = ConvUnit(coarse, fine, kernel=1, fused=fused)
        self.mix = ConvUnit(2 * fine, fine, fused=fused)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, coarse, H, W) and (B, fine, 2H, 2W) -> (B, fine, 2H, 2W)."""
        up = F.interpolate(self.narrow(coarse), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(torch.cat([up, skip], dim=1))
        return mixed


class TinyParserNet(nn.Module):
    """The network.

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the input.
        labels: number of labels.
        fused: build the form without batch normalisation, which `fuse` fills (inference).
    """

    def __init__(self, widths: tuple[int, ...] = DEFAULT_WIDTHS, labels: int = 20, *, fused: bool = False) -> None:
        super().__init__()
        self.widths, self.labels = tuple(widths), labels
        a, b, c, d = self.widths
        self.at2 = nn.Sequential(ConvUnit(5, a, stride=2, fused=fused), ConvUnit(a, a, fused=fused))
        self.at4 = nn.Sequential(ConvUnit(a, b, stride=2, fused=fused), Residual(b, fused=fused))
        self.at8 = nn.Sequential(ConvUnit(b, c, stride=2, fused=fused), Residual(c, fused=fused))
        self.at16 = nn.Sequential(ConvUnit(c, d, stride=2, fused=fused), Residual(d, fused=fused))
        self.summary = nn.Linear(d, d)
        self.to8, self.to4, self.to2 = (Join(*pair, fused=fused) for pair in ((d, c), (c, b), (b, a)))
        self.score = nn.Conv2d(a, labels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W), H and W multiples of 16 -> scores (B, labels, H / 2, W / 2)."""
        half = self.at2(torch.cat([x, _positions(x)], dim=1).contiguous(memory_format=torch.channels_last))
        quarter = self.at4(half)
        eighth = self.at8(quarter)
        coarse = self.at16(eighth)
        coarse = coarse + self.summary(coarse.mean((2, 3)))[:, :, None, None]
        scores: Tensor = self.score(self.to2(self.to4(self.to8(coarse, eighth), quarter), half))
        return scores


def _positions(x: Tensor) -> Tensor:
    batch, _, height, width = x.shape
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).view(1, 1, height, 1).expand(batch, 1, height, width)
    columns = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).view(1, 1, 1, width).expand(batch, 1, height, width)
    return torch.cat([rows, columns], dim=1)


def fuse(network: TinyParserNet) -> TinyParserNet:
    """The same function without batch normalisation (its running statistics folded into the convolutions), for inference."""
    plain = TinyParserNet(network.widths, network.labels, fused=True)
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
