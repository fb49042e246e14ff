"""A block between an image encoder's final map and its pools, in which every place looks at all others.

Both kinds start as the identity, to the last bit: what they add is scaled or projected by weights that begin at zero. They belong to
the encoder, at inference too; `EncoderConfig.context_block` names the kind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from reidclip.clip.blocks import multi_head
from reidclip.errors import UserError, nearest
from reidclip.formulas.context import dot_product_context, full_precision

if TYPE_CHECKING:
    from reidclip.clip.image_encoder import ImageEncoder

_HEAD_WIDTH = 64


class NonLocalBlock(nn.Module):
    """z = W_z y + x, y_i = 1/N sum_j (theta(x_i) . phi(x_j)) g(x_j) (Wang et al., CVPR 2018); inner width is half of x's.

    W_z is a linear layer and a BatchNorm whose scale starts at 0, as their section 4.1 has it. y grows with the cube of x, so that without
    the norm longer features make longer features: training from 30 to 15,000 was seen. With it, what is added is as long as the scale.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.theta, self.phi, self.g = (nn.Linear(width, inner) for _ in range(3))
        self.w_z = nn.Linear(inner, width, bias=False)  # the norm would take a bias away again
        self.norm = nn.BatchNorm2d(width)  # of two dimensions: several processes share the statistics of that kind
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) places -> (B, N, W), in x's precision; in training, statistics are those of all places of the batch."""
        y = dot_product_context(self.theta(x), self.phi(x), self.g(x))
        with full_precision(x.device.type):  # nothing bounds y before the norm
            added = self.norm(self.w_z(y.to(self.w_z.weight.dtype)).transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        z: Tensor = x + added.to(x.dtype)
        return z


class SelfAttentionBlock(nn.Module):
    """x + W_o attention(LN(x)): scaled dot products and softmax, heads of width 64, as in a pre-norm transformer layer without its MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // _HEAD_WIDTH if width % _HEAD_WIDTH == 0 else 1
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.w_o = _zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) places -> (B, N, W), in x's precision."""
        query, key, value = self.qkv(self.norm(x)).chunk(3, dim=-1)
        z: Tensor = x + self.w_o(multi_head(query, key, value, self.heads)).to(x.dtype)
        return z


CONTEXT_BLOCKS: Mapping[str, Callable[[int], nn.Module]] = {"nonlocal": NonLocalBlock, "self-attention": SelfAttentionBlock}
"""Kinds by their name in `EncoderConfig.context_block`."""


def make_context_block(kind: str | None, width: int) -> nn.Module | None:
    """A block for a map of ``width`` channels, randomly initialised; None for None.

    Raises:
        UserError: no such kind.
    """
    if kind is None:
        return None
    if kind not in CONTEXT_BLOCKS:
        raise UserError(f"There is no context block '{kind}'.", nearest(kind, CONTEXT_BLOCKS))
    return CONTEXT_BLOCKS[kind](width)


def with_context_block(encoder: ImageEncoder, kind: str | None, seed: int) -> ImageEncoder:
    """A copy of an encoder with a new block of its own, on the same device; with ``kind`` None a plain copy.

    The block's weights depend on ``seed`` alone and no other random state moves, so that with and without it everything else starts
    alike.

    Raises:
        UserError: no such kind, or an encoder whose map has no place for it.
    """
    extended = copy.deepcopy(encoder)
    if kind is None:
        return extended
    if not extended.takes_context_block:
        raise UserError("This image encoder takes no context block.", "Use a CLIP.")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        block = make_context_block(kind, extended.pooled_width)
    extended.config = replace(extended.config, context_block=kind)
    extended.context_block = None if block is None else block.to(next(extended.parameters()).device)
    return extended


def through(block: nn.Module | None, feature_map: Tensor) -> Tensor:
    """A (B, W, h, w) map through a block, its order in memory kept: pools over another order would round otherwise."""
    if block is None:
        return feature_map
    places: Tensor = block(feature_map.flatten(2).transpose(1, 2))
    result = places.transpose(1, 2).reshape(feature_map.shape)
    return result if torch.onnx.is_in_onnx_export() else torch.empty_like(feature_map).copy_(result)  # graphs know no order in memory


def _zeroed(layer: nn.Linear) -> nn.Linear:
    """With weight and bias 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
