"""The trainable model that fine-tuning shares: an image encoder and a BNNeck on each of its two outputs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reidclip.clip.heads import BNNeck
from reidclip.clip.image_encoder import ImageEncoder


class ReidOutputs(NamedTuple):
    """One forward. B batch, K identities; widths as in methods.md section 0."""

    last: Tensor  # (B, W1) class token before the final block, or stage-3 average
    pooled: Tensor  # (B, W2) after the final block and ln_post, or stage-4 average
    projected: Tensor  # (B, D) in the joint space with text
    score_pooled: Tensor  # (B, K) identity logits
    score_projected: Tensor  # (B, K)


class ReidModel(nn.Module):
    """Image encoder with two heads (methods.md section 0, "Heads"). Keys follow the official CLIP-ReID checkpoint's names for the heads."""

    def __init__(self, encoder: ImageEncoder, identities: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head_pooled = BNNeck(encoder.pooled_width, identities)
        self.head_projected = BNNeck(encoder.projected_width, identities)

    def forward(self, images: Tensor, camera: Tensor | None = None) -> ReidOutputs:
        """(B, 3, H, W) normalised pictures -> features and identity logits."""
        last, pooled, projected = self.encoder(images, camera)
        _, score_pooled = self.head_pooled(pooled)
        _, score_projected = self.head_projected(projected)
        return ReidOutputs(last, pooled, projected, score_pooled, score_projected)
