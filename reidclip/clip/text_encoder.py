"""The text side of CLIP, taking token embeddings, so that some of them may be learned.

The text transformer is causal: positions after end-of-text cannot reach it. So only the positions up to it are encoded (12 of 77 for
"A photo of a X X X X person."): same numbers, a sixth of the work. State-dict keys are CLIP's own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from reidclip.clip.blocks import run_block, run_block_at


class TextEncoder(nn.Module):
    """A causal CLIP text tower.

    Attributes:
        context_length: most tokens of a text.
        width: width of token embeddings.
        joint_width: width D of text features.
    """

    def __init__(self, clip: Any) -> None:
        """Take over the text modules of an open_clip ``CLIP``."""
        super().__init__()
        self.token_embedding = clip.token_embedding
        self.positional_embedding = clip.positional_embedding
        self.transformer = clip.transformer
        self.ln_final = clip.ln_final
        self.text_projection = clip.text_projection
        self.context_length: int = self.positional_embedding.shape[0]
        self.width: int = self.positional_embedding.shape[1]
        self._eos_id: int | None = clip.text_eos_id if clip.text_pool_type == "eos" else None  # None: the highest id ends a text

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

    def forward(self, embeddings: Tensor, end: Tensor | int) -> Tensor:
        """Encode token embeddings.

        Args:
            embeddings: (B, L, width) without positions; L may be anything from the longest text to the context length.
            end: (B,) position of end-of-text of each row, or one for all.

        Returns:
            (B, D) text features, not normalised, in the parameters' precision, also under autocast.
        """
        length = (end if isinstance(end, int) else int(end.max())) + 1
        if length > embeddings.shape[1] or length > self.context_length:
            raise ValueError(f"end-of-text at {length - 1}, but there are {embeddings.shape[1]} tokens and {self.context_length} positions")
        dtype = self.positional_embedding.dtype
        x = embeddings[:, :length].to(dtype) + self.positional_embedding[:length]
        for block in self.transformer.resblocks[:-1]:
            x = run_block(block, x, causal=True)
        x = self.ln_final(run_block_at(self.transformer.resblocks[-1], x, end, causal=True))
        if self.text_projection is not None:
            x = self.text_projection(x) if isinstance(self.text_projection, nn.Linear) else x @ self.text_projection
        features: Tensor = x.to(dtype)
        return features

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Ordinary CLIP text encoding: (B, L) token ids -> (B, D) features, not normalised."""
        end = self.end_of_text(token_ids)
        features: Tensor = self(self.embed(token_ids[:, : int(end.max()) + 1]), end)
        return features

    def freeze(self) -> TextEncoder:
        """Stop training it: no gradients for its weights, evaluation mode."""
        self.requires_grad_(False)
        return self.eval()
