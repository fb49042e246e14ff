"""BLIP's text encoder (Li et al., ICML 2022), as `transformers` has it, taking token embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.blocks import KeyValues
from reidclip.clip.text_encoder import TextEncoder


class BlipTextEncoder(TextEncoder):
    """BERT's encoder, read at its first token. Every token sees all others; padding is masked, so that it is not wanted."""

    def __init__(self, text_encoder: Any, text_proj: nn.Linear) -> None:
        """Take over the text modules of a `BlipForImageTextRetrieval`."""
        nn.Module.__init__(self)
        self.text_encoder = text_encoder
        self.text_proj = text_proj
        self.context_length = int(text_encoder.config.max_position_embeddings)
        self.width = int(text_encoder.config.hidden_size)
        self.reads_padding = False

    @property
    def positional_embedding(self) -> Tensor:
        """(context length, width) positions."""
        table: Tensor = self.text_encoder.embeddings.position_embeddings.weight
        return table

    @property
    def joint_width(self) -> int:
        """Width D of text features."""
        return self.text_proj.out_features

    def embed(self, token_ids: Tensor) -> Tensor:
        """See `TextEncoder.embed`."""
        embedded: Tensor = self.text_encoder.embeddings.word_embeddings(token_ids)
        return embedded

    def end_of_text(self, token_ids: Tensor) -> Tensor:
        """See `TextEncoder.end_of_text`: the last token that is not padding."""
        ends: Tensor = (token_ids != self.text_encoder.config.pad_token_id).int().sum(-1) - 1
        return ends

    def forward(self, embeddings: Tensor, end: Tensor | int, prefix: Sequence[KeyValues] | None = None) -> Tensor:
        """See `TextEncoder.forward`; there is no ``prefix``.

        Raises:
            ValueError: a prefix, or an end beyond the tokens or positions.
        """
        length = (end if isinstance(end, int) else int(end.max())) + 1
        if prefix or length > min(embeddings.shape[1], self.context_length):
            raise ValueError(
                f"end-of-text at {length - 1} of {embeddings.shape[1]} tokens, or a prefix, which this text tower does not take"
            )
        parts = self.text_encoder.embeddings
        placed = embeddings[:, :length].to(self.positional_embedding.dtype) + self.positional_embedding[:length]
        ends = torch.as_tensor(end, device=placed.device).expand(len(placed))
        mask = (torch.arange(length, device=placed.device) <= ends[:, None]).long()
        states = self.text_encoder(encoder_embeds=parts.dropout(parts.LayerNorm(placed)), attention_mask=mask).last_hidden_state
        features: Tensor = self.text_proj(states[:, 0]).to(self.positional_embedding.dtype)
        return features

    @property
    def takes_prefix(self) -> bool:
        """Never: every token sees all others."""
        return False
