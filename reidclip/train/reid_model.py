"""The trainable model that fine-tuning shares: an image encoder and a BNNeck on each of its two outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder, ImageFeatures
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.transforms import Normalisation
from reidclip.parallel.rows import gather_rows


class ReidOutputs(NamedTuple):
    """One forward. B batch, K identities."""

    last: Tensor  # (B, W1) class token before the final block, or stage-3 average
    pooled: Tensor  # (B, W2) after the final block and ln_post, or stage-4 average
    projected: Tensor  # (B, D) in the joint space with text
    score_pooled: Tensor  # (B, K) identity logits
    score_projected: Tensor  # (B, K)
    necked: tuple[Tensor, ...] = ()  # (B, W2) and (B, D): pooled and projected behind their BatchNorms


class ReidModel(nn.Module):
    """Image encoder with two heads.

    Attributes:
        chunks: the encoder takes a batch in so many pieces and computes each again on the way back, so that memory holds the activations
            of one piece. Features are kept whole, so every loss is what it is without: exact, at the price of a second forward.
    """

    chunks: int = 1

    def __init__(self, encoder: ImageEncoder, identities: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = ReidHeads(encoder.pooled_width, encoder.joint_width, identities)

    def forward(self, images: Tensor, camera: Tensor | None = None) -> ReidOutputs:
        """(B, 3, H, W) normalised pictures, or (B, T, 3, H, W) clips -> features and identity logits; of all processes' pictures."""
        features = ImageFeatures(*(gather_rows(feature) for feature in self._encode(images, camera)))
        pooled, projected = self.heads(features)
        return ReidOutputs(*features, pooled.scores, projected.scores, (pooled.feature, projected.feature))

    def _encode(self, images: Tensor, camera: Tensor | None) -> ImageFeatures:
        if self.chunks == 1 or not torch.is_grad_enabled():
            features: ImageFeatures = self.encoder(images, camera)
            return features
        cameras = [None] * self.chunks if camera is None else camera.chunk(self.chunks)
        parts = [checkpoint(self.encoder, x, c, use_reentrant=False) for x, c in zip(images.chunk(self.chunks), cameras, strict=False)]
        return ImageFeatures(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def for_inference(self, normalisation: Normalisation) -> InferenceEncoder:
        """The encoder alone: pooled and projected before the BatchNorms, joined and L2-normalised (CLIP-ReID's test feature)."""
        return InferenceEncoder(self.encoder, InferenceOptions(mean=normalisation.mean, std=normalisation.std), self.heads)
