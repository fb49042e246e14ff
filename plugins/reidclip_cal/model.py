"""What CAL trains: an image encoder and the heads that its kind has, with one feature behind BatchNorm that all losses read."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.heads import CLASSIFIER_STD, HeadOutput, ReidHeads
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.trunk import TrunkEncoder, pooled_as
from reidclip.data.transforms import Normalisation
from reidclip.formulas.distances import cosine_similarities
from reidclip.train.model_inputs import inference_options
from reidclip.train.reid_model import TrainedEncoder
from reidclip_cal.settings import CalFinetune

_SCALE_STD = 0.02


class CalOutputs(NamedTuple):
    """One forward. B batch, K identities, W width: 4096 of a ResNet-50, pooled and projected together of a CLIP."""

    encoded: tuple[Tensor, ...]  # last, pooled and, where there is one, projected: as they leave the encoder
    f: Tensor  # (B, W) behind BatchNorm
    scores: tuple[Tensor, ...]  # (B, K) each: identity logits, or the cosines of a cosine classifier


class TrunkHead(nn.Module):
    """Published: BatchNorm1d with shift, scales N(1, 0.02^2), then a linear classifier with bias, weights N(0, 0.001^2)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.bottleneck = nn.BatchNorm1d(width)
        nn.init.normal_(self.bottleneck.weight, 1.0, _SCALE_STD)
        self.classifier = nn.Linear(width, classes)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: ImageFeatures) -> tuple[HeadOutput]:
        """Image features -> the one head's output on ``pooled``."""
        f = self.bottleneck(features.pooled)
        return (HeadOutput(f, self.classifier(f)),)


class CosineClassifier(nn.Module):
    """Identity cosines for margin losses; directions drawn evenly."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(classes, width), dim=1))

    def forward(self, f: Tensor) -> Tensor:
        """(B, W) -> (B, K)."""
        return cosine_similarities(f, self.weight)


class CalModel(TrainedEncoder):
    """A CLIP with its two BNNecks, as its family trains it, or a network without text, such as ResNet-50, with the published head."""

    heads: ReidHeads | TrunkHead

    def __init__(self, encoder: ImageEncoder, identities: int, settings: CalFinetune) -> None:
        if not encoder.joint_width:
            super().__init__(pooled_as(encoder, settings.pooling) if isinstance(encoder, TrunkEncoder) else encoder)
            self.heads = TrunkHead(self.encoder.pooled_width, identities)
        else:
            super().__init__(encoder)
            self.heads = ReidHeads(encoder.pooled_width, encoder.joint_width, identities)
        self.width = self.encoder.pooled_width + self.encoder.joint_width
        self.cosine_classifier = None if settings.id_loss == "softmax" else CosineClassifier(self.width, identities)

    def forward(self, images: Tensor, camera: Tensor | None = None) -> CalOutputs:
        """(B, 3, H, W) normalised pictures -> features and identity scores; of several processes, of all their pictures."""
        features = self.features(images, camera)
        heads = self.heads(features)
        f = torch.cat([head.feature for head in heads], dim=1)
        scores = tuple(head.scores for head in heads) if self.cosine_classifier is None else (self.cosine_classifier(f),)
        return CalOutputs(tuple(part for part in features if part.shape[1]), f, scores)

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Parameters by name, without linear classifiers that a cosine one stands in for."""
        named = list(self.named_parameters())
        return named if self.cosine_classifier is None else [(n, p) for n, p in named if ".classifier." not in n]

    def inference_encoder(self, normalisation: Normalisation, settings: CalFinetune) -> InferenceEncoder:
        """A network without text is tested as the published ResNet-50: after BatchNorm, both mirror images; a CLIP as its family is:
        before, one image."""
        trunk = not self.encoder.joint_width
        neck = settings.neck if settings.neck != "model" else "after" if trunk else "before"
        options = replace(inference_options(normalisation, settings), neck=neck, flip=trunk)
        if trunk and settings.test_resize == "bilinear":  # tested as it is trained, as published
            options = replace(options, resize=settings.resize)
        return InferenceEncoder(self.encoder, options, self.heads.bottleneck if isinstance(self.heads, TrunkHead) else self.heads)
