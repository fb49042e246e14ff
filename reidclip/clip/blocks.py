"""Runs open_clip's transformer blocks, all positions or only those whose output is used.

The class token (or the end-of-text token) is all that leaves the last block, so there the other positions need keys and values
only: same numbers, and most of that block's work saved. Attention goes through `scaled_dot_product_attention`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def run_block(block: Any, x: Tensor, causal: bool = False) -> Tensor:
    """One pre-norm block at every position.

    Args:
        block: an open_clip ``ResidualAttentionBlock`` or ``CustomResidualAttentionBlock``.
        x: (B, L, D) residual stream.
        causal: position l sees positions 0..l only.

    Returns:
        (B, L, D).
    """
    if not _is_plain(block):
        result: Tensor = block(x, attn_mask=_causal_mask(x) if causal else None)
        return result
    normed = block.ln_1(x)
    return _rest_of_block(block, x, _attention(block.attn, normed, normed, None, causal))


def run_block_at(block: Any, x: Tensor, positions: Tensor | int, causal: bool = False) -> Tensor:
    """One pre-norm block, its output at one position per row.

    Args:
        block: as for `run_block`.
        x: (B, L, D) residual stream at all positions.
        positions: (B,) position of each row, or one position for all rows.
        causal: the position sees itself and those before it only.

    Returns:
        (B, D).
    """
    if not _is_plain(block):
        return select(run_block(block, x, causal), positions)
    normed = block.ln_1(x)
    attended = _attention(block.attn, select(normed, positions).unsqueeze(1), normed, _seen(x, positions) if causal else None)
    return _rest_of_block(block, select(x, positions).unsqueeze(1), attended).squeeze(1)


def select(x: Tensor, positions: Tensor | int) -> Tensor:
    """One position of each row: (B, L, D) and (B,) or int -> (B, D)."""
    if isinstance(positions, int):
        return x[:, positions]
    return x[torch.arange(len(x), device=x.device), positions]


def multi_head(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Scaled dot-product attention of already projected inputs: (B, Q, D), (B, L, D), (B, L, D) -> (B, Q, D)."""
    query, key, value = (t.reshape(*t.shape[:2], heads, -1).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal).transpose(1, 2).flatten(2)


def _is_plain(block: Any) -> bool:
    attention = getattr(block, "attn", None)
    return isinstance(attention, nn.MultiheadAttention) and attention.in_proj_weight is not None and not hasattr(block, "ln_1_kv")


def _attention(attention: nn.MultiheadAttention, queries: Tensor, x: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    assert weight is not None  # checked by `_is_plain`
    if queries is x:
        query, key, value = F.linear(x, weight, bias).chunk(3, dim=-1)
    else:
        query = F.linear(queries, weight[:width], None if bias is None else bias[:width])
        key, value = F.linear(x, weight[width:], None if bias is None else bias[width:]).chunk(2, dim=-1)
    projected: Tensor = attention.out_proj(multi_head(query, key, value, heads, mask, causal))
    return projected


def _rest_of_block(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    x = x + block.ls_1(attended)
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


def _seen(x: Tensor, positions: Tensor | int) -> Tensor | None:
    """(B, 1, 1, L) mask of the positions that a row's query may see; None when it sees all of them."""
    length = x.shape[1]
    if isinstance(positions, int):
        if positions == length - 1:
            return None
        positions = torch.full((len(x),), positions, device=x.device)
    return (torch.arange(length, device=x.device) <= positions[:, None])[:, None, None]


def _causal_mask(x: Tensor) -> Tensor:
    length = x.shape[1]
    return torch.full((length, length), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
