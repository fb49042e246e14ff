"""Runs open_clip's transformer blocks, all positions or only those whose output is used.

The class token (or the end-of-text token) is all that leaves the last block, so there the other positions need keys and values
only: same numbers, and most of that block's work saved. Where a text begins with words that never change, their keys and values may be
given as ``past`` and only the later positions are run. Attention goes through `scaled_dot_product_attention`, which never forms its
weights; within `recorded_attention` they are formed and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_record: list[Tensor] | None = None  # a plain global, which torch.compile can trace past


@contextmanager
def recorded_attention() -> Iterator[list[Tensor]]:
    """Within, every plain block that is run adds its attention weights to the list, in order: (B, heads, Q, L), rows sum to one.

    Q is L, or 1 where only the class token's output is used. The weights are part of the graph, so gradients of what the encoder gives
    may be taken at them. Blocks that are not plain (`is_plain`) run themselves and add nothing.
    """
    global _record
    before, _record = _record, []
    try:
        yield _record
    finally:
        _record = before


class KeyValues(NamedTuple):
    """Keys and values of positions that come before those that are run, (1, P, D) each: the same for every row."""

    key: Tensor
    value: Tensor


def run_block(block: Any, x: Tensor, causal: bool = False, past: KeyValues | None = None) -> Tensor:
    """One pre-norm block at every position.

    Args:
        block: an open_clip ``ResidualAttentionBlock`` or ``CustomResidualAttentionBlock``.
        x: (B, L, D) residual stream.
        causal: position l sees positions 0..l only.
        past: of the P positions before x, which all of x may see; causal, plain blocks only.

    Returns:
        (B, L, D).
    """
    if not is_plain(block):
        result: Tensor = block(x, attn_mask=_causal_mask(x) if causal else None)
        return result
    normed = block.ln_1(x)
    mask = None if past is None else _seen_after(x, past.key.shape[1])
    return _rest_of_block(block, x, _attention(block.attn, normed, normed, mask, causal and past is None, past))


def run_block_at(block: Any, x: Tensor, positions: Tensor | int, causal: bool = False, past: KeyValues | None = None) -> Tensor:
    """One pre-norm block, its output at one position per row.

    Args:
        block: as for `run_block`.
        x: (B, L, D) residual stream at all positions.
        positions: (B,) position of each row in x, or one position for all rows.
        causal: the position sees itself and those before it only.
        past: as for `run_block`.

    Returns:
        (B, D).
    """
    if not is_plain(block):
        return select(run_block(block, x, causal), positions)
    normed = block.ln_1(x)
    mask = _seen(x, positions, 0 if past is None else past.key.shape[1]) if causal else None
    attended = _attention(block.attn, select(normed, positions).unsqueeze(1), normed, mask, past=past)
    return _rest_of_block(block, select(x, positions).unsqueeze(1), attended)[:, 0]


def key_values(block: Any, x: Tensor) -> KeyValues:
    """What a plain block's later positions read of these ones: (1, P, D) residual stream that enters the block -> keys and values."""
    weight, bias = _rows_of_projection(block.attn, slice(block.attn.embed_dim, None))
    return KeyValues(*F.linear(block.ln_1(x), weight, bias).chunk(2, dim=-1))


def select(x: Tensor, positions: Tensor | int) -> Tensor:
    """One position of each row: (B, L, D) and (B,) or int -> (B, D)."""
    if isinstance(positions, int):
        return x[:, positions]
    return x[torch.arange(len(x), device=x.device), positions]


def multi_head(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Scaled dot-product attention of already projected inputs: (B, Q, D), (B, L, D), (B, L, D) -> (B, Q, D)."""
    query, key, value = (t.reshape(*t.shape[:2], heads, t.shape[-1] // heads).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal).transpose(1, 2).flatten(2)


def is_plain(block: Any) -> bool:
    """Whether the block is CLIP's own, run here from its parameters, and not one of open_clip's variants, which runs itself."""
    attention = getattr(block, "attn", None)
    return isinstance(attention, nn.MultiheadAttention) and attention.in_proj_weight is not None and not hasattr(block, "ln_1_kv")


def _attention(
    attention: nn.MultiheadAttention,
    queries: Tensor,
    x: Tensor,
    mask: Tensor | None,
    causal: bool = False,
    past: KeyValues | None = None,
) -> Tensor:
    width = attention.embed_dim
    if queries is x:
        query, key, value = F.linear(x, *_rows_of_projection(attention)).chunk(3, dim=-1)
    else:
        query = F.linear(queries, *_rows_of_projection(attention, slice(width)))
        key, value = F.linear(x, *_rows_of_projection(attention, slice(width, None))).chunk(2, dim=-1)
    if past is not None:
        key, value = (torch.cat([t.expand(x.shape[0], -1, -1), new], dim=1) for t, new in zip(past, (key, value), strict=True))
    run = multi_head if _record is None else _multi_head_recorded
    projected: Tensor = attention.out_proj(run(query, key, value, attention.num_heads, mask, causal))
    return projected


def _multi_head_recorded(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None, causal: bool) -> Tensor:
    """As `multi_head`, by way of the weights, which the record gets."""
    if mask is not None or causal or _record is None:
        raise ValueError("attention weights are recorded in image encoders, where every position sees all others")
    query, key, value = (t.reshape(*t.shape[:2], heads, t.shape[-1] // heads).transpose(1, 2) for t in (query, key, value))
    weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(dim=-1)
    _record.append(weights)
    return (weights @ value).transpose(1, 2).flatten(2)


def _rows_of_projection(attention: nn.MultiheadAttention, rows: slice | None = None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the joint projection, which stacks query, key and value, or of some of its rows."""
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    assert weight is not None  # checked by `is_plain`
    if rows is None:
        return weight, bias
    return weight[rows], None if bias is None else bias[rows]


def _rest_of_block(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    x = x + block.ls_1(attended)
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


def _seen(x: Tensor, positions: Tensor | int, before: int) -> Tensor | None:
    """(B, 1, 1, before + L) mask of the positions that a row's query may see; None when it sees all of them."""
    length = x.shape[1]
    if isinstance(positions, int):
        if positions == length - 1:
            return None
        positions = torch.full((len(x),), positions, device=x.device)
    return (torch.arange(-before, length, device=x.device) <= positions[:, None])[:, None, None]


def _seen_after(x: Tensor, before: int) -> Tensor:
    """(L, before + L) causal mask of L positions that come after ``before`` others."""
    length = x.shape[1]
    return torch.ones(length, before + length, dtype=torch.bool, device=x.device).tril(before)


def _causal_mask(x: Tensor) -> Tensor:
    length = x.shape[1]
    return torch.full((length, length), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
