"""Inference form of the network: every normalisation folded into the convolution before it."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from reidclip_schp.abn import EPS, ActivatedBatchNorm

M = TypeVar("M", bound=nn.Module)


def fold(network: M) -> M:
    """Fold in place and put in evaluation mode: the same function up to rounding, with running statistics; it cannot be trained again."""
    modules = dict(network.named_modules())
    for name, norm in modules.items():
        if not isinstance(norm, ActivatedBatchNorm):
            continue
        conv = modules[convolution_before(name)]
        if not isinstance(conv, nn.Conv2d):
            raise ValueError(f"{name} does not follow a convolution")
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, EPS, norm.scale().detach(), norm.bias
        )
        owner, _, last = name.rpartition(".")
        setattr(modules[owner], last, nn.Identity() if norm.slope is None else nn.LeakyReLU(norm.slope, inplace=True))
    return network.eval()


def convolution_before(norm: str) -> str:
    """Name of the convolution that feeds a normalisation: ``layer1.0.bn2`` -> ``layer1.0.conv2``, ``fushion.1`` -> ``fushion.0``."""
    owner, dot, last = norm.rpartition(".")
    return owner + dot + (last.replace("bn", "conv") if last.startswith("bn") else str(int(last) - 1))
