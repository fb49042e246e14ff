"""The text side of CLIP, taking token embeddings, so that some of them may be learned.

CLIP's text transformer is causal: positions after end-of-text cannot reach it. So only the positions up to it are encoded (12 of 77 for
"A photo of a X X X X person."): same numbers, a sixth of the work. Nor can later positions reach earlier ones: what all texts begin with
("<start> A photo of a") may be encoded once (`encode_prefix`), which leaves 7 positions.

Others read the padding too (``reads_padding``): where every position sees all others (SigLIP, MobileCLIP-S), or the feature is taken at the
last one. Of these the whole context is encoded. State-dict keys are CLIP's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.blocks import KeyValues, is_plain, key_values, run_block, run_block_at


class TextEncoder(nn.Module):
    """A CLIP text tower.

    Attributes:
        context_length: most tokens of a text.
        width: width of token embeddings.
        joint_width: width D of text features.
        reads_padding: whether what stands after end-of-text reaches the feature: then all ``context_length`` embeddings are wanted.
    """

    def __init__(self, clip: Any) -> None:
        """Take over the text modules of an open_clip ``CLIP``, or of a `reidclip.clip.coca.CocaTowers`."""
        super().__init__()
        self.token_embedding = clip.token_embedding
        self.positional_embedding = clip.positional_embedding
        self.transformer = clip.transformer
        self.ln_final = clip.ln_final
        self.text_projection = clip.text_projection
        self.cls_emb: nn.Parameter | None = getattr(clip, "cls_emb", None)
        self.context_length: int = self.positional_embedding.shape[0] - (self.cls_emb is not None)
        self.width: int = self.positional_embedding.shape[1]
        self._pool: str = clip.text_pool_type
        self._eos_id: int | None = clip.text_eos_id if self._pool == "eos" else None  # None: the highest id ends a text
        self._causal = clip.attn_mask is not None
        self.reads_padding: bool = not self._causal or self._pool == "last" or self.cls_emb is not None

    @property
    def joint_width(self) -> int:
        """Width D of text features."""
        if self.text_projection is None:
            return self.width
        return int(self.text_projection.out_features if isinstance(self.text_projection, nn.Linear) else self.text_projection.shape[1])

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token embeddings without positions: (..., L) -> (..., L, width)."""
        embedded: Tensor = self.token_embedding(token_ids)
        return embedded

    def end_of_text(self, token_ids: Tensor) -> Tensor:
        """(B, L) token ids -> (B,) position of each text's end."""
        return token_ids.argmax(-1) if self._eos_id is None else (token_ids == self._eos_id).int().argmax(-1)

    def forward(self, embeddings: Tensor, end: Tensor | int, prefix: Sequence[KeyValues] | None = None) -> Tensor:
        """Encode token embeddings.

        Args:
            embeddings: (B, L, width) without positions; L may be anything from the longest text to the context length, and is the latter
                where the tower reads padding.
            end: (B,) position of end-of-text of each row, or one for all; never inside the prefix.
            prefix: of the P positions that all rows begin with (`encode_prefix`); ``embeddings`` then are those after them, while
                ``end`` still counts from the start of the text.

        Returns:
            (B, D) text features, not normalised, in the parameters' precision, also under autocast.
        """
        before = prefix[0].key.shape[1] if prefix else 0
        length = (end if isinstance(end, int) else int(end.max())) + 1
        if length > before + embeddings.shape[1] or length > self.context_length:
            have = f"there are {before + embeddings.shape[1]} tokens and {self.context_length} positions"
            raise ValueError(f"end-of-text at {length - 1}, but {have}")
        if self.reads_padding:
            return self._projected(self._read_whole(embeddings, end))
        blocks = self.transformer.resblocks
        past: Sequence[KeyValues | None] = prefix or [None] * len(blocks)
        x = self._with_positions(embeddings[:, : length - before], before)
        for block, seen in zip(blocks[:-1], past[:-1], strict=True):
            x = run_block(block, x, causal=True, past=seen)
        place = 0 if self._pool == "first" else end - before
        return self._projected(self.ln_final(run_block_at(blocks[-1], x, place, causal=True, past=past[-1])))

    def _read_whole(self, embeddings: Tensor, end: Tensor | int) -> Tensor:
        """(B, width) behind ``ln_final``, of a tower that reads padding."""
        if embeddings.shape[1] != self.context_length:
            raise ValueError(f"this text tower reads padding: it takes {self.context_length} tokens, not {embeddings.shape[1]}")
        if self.cls_emb is not None:
            return self._read_by_own_token(embeddings, end)
        x = self._with_positions(embeddings, 0)
        for block in self.transformer.resblocks[:-1]:
            x = run_block(block, x, causal=self._causal)
        place: Tensor | int = {"first": 0, "last": embeddings.shape[1] - 1}.get(self._pool, end)
        normed: Tensor = self.ln_final(run_block_at(self.transformer.resblocks[-1], x, place, causal=self._causal))
        return normed

    def _read_by_own_token(self, embeddings: Tensor, end: Tensor | int) -> Tensor:
        """CoCa: an embedding after the context collects the text.

        Its mask is open_clip's, with which the published weights were trained: one place late, so that one padding is seen and, unless the
        text fills the context, the collecting position does not see itself.
        """
        rows, length = embeddings.shape[:2]
        assert self.cls_emb is not None
        x = self._with_positions(torch.cat([embeddings, self.cls_emb.expand(rows, 1, -1)], dim=1), 0)
        places = torch.arange(length + 1, device=x.device)
        last = torch.as_tensor(end, device=x.device).expand(rows)
        seen = (places <= places[:, None]) & (places <= last[:, None, None] + 1)  # (B, query, key)
        mask = torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill(~seen, float("-inf"))
        heads: int = self.transformer.resblocks[0].attn.num_heads
        x = self.transformer(x, attn_mask=mask.repeat_interleave(heads, 0))
        normed: Tensor = self.ln_final(x[:, -1])
        return normed

    def _projected(self, x: Tensor) -> Tensor:
        dtype = self.positional_embedding.dtype
        if self.text_projection is not None:
            x = self.text_projection(x) if isinstance(self.text_projection, nn.Linear) else x @ self.text_projection
        features: Tensor = x.to(dtype)
        return features

    @property
    def takes_prefix(self) -> bool:
        """Whether `encode_prefix` can be used: the text is causal and read at its end, all blocks are CLIP's own kind, and no weight is
        trained, so that none may change."""
        plain = not self.reads_padding and self._pool != "first" and all(is_plain(block) for block in self.transformer.resblocks)
        return plain and not any(p.requires_grad for p in self.parameters())

    @torch.inference_mode(False)  # what is remembered may meet gradients later, also when the first to ask for it wanted none
    @torch.no_grad()
    def encode_prefix(self, embeddings: Tensor) -> tuple[KeyValues, ...]:
        """Keys and values of what all texts begin with, for `forward`; they hold for these weights and this precision only.

        Args:
            embeddings: (P, width) without positions.

        Returns:
            per block, (1, P, width) keys and values.
        """
        x = self._with_positions(embeddings[None], 0)
        found = []
        for block in self.transformer.resblocks:
            found.append(key_values(block, x))
            x = run_block(block, x, causal=True)
        return tuple(found)

    def _with_positions(self, embeddings: Tensor, start: int) -> Tensor:
        positions = self.positional_embedding[start : start + embeddings.shape[1]]
        placed: Tensor = embeddings.to(positions.dtype) + positions
        return placed

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Ordinary CLIP text encoding: (B, L) token ids -> (B, D) features, not normalised."""
        end = self.end_of_text(token_ids)
        kept = token_ids if self.reads_padding else token_ids[:, : int(end.max()) + 1]
        features: Tensor = self(self.embed(kept), end)
        return features

    def freeze(self) -> TextEncoder:
        """Stop training it: no gradients for its weights, evaluation mode."""
        self.requires_grad_(False)
        return self.eval()
