"""Exact counts: parameters of modules, and floating-point operations of a forward by torch's own counter."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reidclip.clip.inference import InferenceEncoder


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Numbers in the parameters of the modules, each parameter once; running statistics of BatchNorms are no parameters."""
    return sum(p.numel() for p in {id(p): p for module in modules for p in module.parameters()}.values())


def count_flops(encoder: InferenceEncoder) -> int:
    """Floating-point operations that one picture's feature takes.

    Counted are convolutions and matrix products, a multiplication and its addition as two; papers that count multiply-adds give half of
    it. Activations, normalisation layers and pools are left out, as usual. What the encoder saves is saved here too: of a ViT's final
    block only the class token is run; a feature of both mirror images costs two forwards.

    The counter sees operators, so attention is taken apart into its products: fused kernels, which it may not know, are switched off. It
    counts on shapes alone; nothing is computed.
    """
    with torch.device("meta"):
        shadow = InferenceEncoder.from_config(encoder.to_config()).to("meta")  # some towers are built in memory wherever they are asked
        picture = torch.empty(1, 3, *encoder.image_encoder.config.image_size)
    shadow.requires_grad_(False)  # the counter follows what could have a gradient, and stumbles over a pool's learned query
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        shadow(picture)
    return int(counter.get_total_flops())
