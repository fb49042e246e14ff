"""The trainable models that fine-tuning shares: an image encoder, and one with a BNNeck on each of its two outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.transforms import Normalisation
from reidclip.parallel.rows import gather_rows
from reidclip.train.model_inputs import inference_options
from reidclip.train.settings import TrainingSettings


class ReidOutputs(NamedTuple):
    """One forward. B batch, K identities."""

    last: Tensor  # (B, W1) class token before the final block, or stage-3 average
    pooled: Tensor  # (B, W2) after the final block and ln_post, or stage-4 average
    projected: Tensor  # (B, D) in the joint space with text; (B, 0) where there is none
    score_pooled: Tensor  # (B, K) identity logits
    score_projected: Tensor  # (B, K); (B, 0) likewise
    necked: tuple[Tensor, ...] = ()  # (B, W2) and (B, D): pooled and projected behind their BatchNorms


class TrainedEncoder(nn.Module):
    """An image encoder in training: what its method adds (heads, a guide) stands in a subclass.

    Attributes:
        chunks: the encoder takes a batch in so many pieces and computes each again on the way back, so that memory holds the activations
            of one piece. Features are kept whole, so every loss is what it is without: exact, at the price of a second forward.
    """

    chunks: int = 1

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def features(self, images: Tensor, camera: Tensor | None = None) -> ImageFeatures:
        """(B, 3, H, W) normalised pictures, or (B, T, 3, H, W) clips -> the encoder's outputs; of all processes' pictures."""
        return ImageFeatures(*self.in_pieces(self.encoder, images, camera))

    def in_pieces(self, encode: Callable[..., tuple[Tensor, ...]], *columns: Tensor | None) -> tuple[Tensor, ...]:
        """What ``encode`` makes of the columns (B, ...) of a batch, in ``chunks`` pieces: (B', W) each, the rows of all processes."""
        if self.chunks == 1 or not torch.is_grad_enabled():
            return tuple(gather_rows(rows) for rows in encode(*columns))
        cut = [[None] * self.chunks if column is None else column.chunk(self.chunks) for column in columns]
        parts = [checkpoint(encode, *piece, use_reentrant=False) for piece in zip(*cut, strict=False)]  # a batch may have fewer rows
        return tuple(gather_rows(torch.cat(rows)) for rows in zip(*parts, strict=True))


class ReidModel(TrainedEncoder):
    """Image encoder with two heads; with one where there is no joint space with text."""

    def __init__(self, encoder: ImageEncoder, identities: int) -> None:
        super().__init__(encoder)
        self.heads = ReidHeads(encoder.pooled_width, encoder.joint_width, identities)

    def forward(self, images: Tensor, camera: Tensor | None = None) -> ReidOutputs:
        """(B, 3, H, W) normalised pictures, or (B, T, 3, H, W) clips -> features and identity logits; of all processes' pictures."""
        return self.outputs(self.features(images, camera))

    def outputs(self, features: ImageFeatures) -> ReidOutputs:
        """Features and what the heads make of them."""
        pooled, projected = self.heads(features)
        return ReidOutputs(*features, pooled.scores, projected.scores, (pooled.feature, projected.feature))

    def for_inference(self, normalisation: Normalisation, settings: TrainingSettings | None = None) -> InferenceEncoder:
        """The encoder alone: pooled and projected before the BatchNorms, joined and L2-normalised (CLIP-ReID's test feature).

        ``settings`` say how test pictures are resized and whether features are L2-normalised; None: bilinearly, and they are.
        """
        return InferenceEncoder(self.encoder, inference_options(normalisation, settings), self.heads)
