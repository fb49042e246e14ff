"""Classification heads for training (BNNeck: Luo et al., CVPRW 2019)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reidclip.clip.image_features import ImageFeatures
from reidclip.errors import UserError

CLASSIFIER_STD = 0.001


class HeadOutput(NamedTuple):
    """What a head makes of a feature.

    Attributes:
        feature: (B, W) after BatchNorm.
        scores: (B, K) logits of the classes.
    """

    feature: Tensor
    scores: Tensor


class BNNeck(nn.Module):
    """BatchNorm1d without shift (its bias stays 0 and is not trained), then a classifier without bias, weights N(0, 0.001^2)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.bottleneck = nn.BatchNorm1d(width)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(width, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)

    def forward(self, feature: Tensor) -> HeadOutput:
        """(B, W) feature -> BatchNorm output and class scores."""
        normed = self.bottleneck(feature)
        return HeadOutput(normed, self.classifier(normed))


class ReidHeads(nn.Module):
    """One BNNeck on ``pooled`` and one on ``projected``; see `published_key` for their names in a CLIP-ReID checkpoint.

    Raises:
        UserError: the encoder has no ``projected``.
    """

    def __init__(self, pooled_width: int, joint_width: int, classes: int) -> None:
        super().__init__()
        if not joint_width:
            raise UserError(
                "This image encoder has no joint space with text, on which the method's second classifier stands.",
                "Give a CLIP, such as --clip ViT-B-16:openai, or take a method that needs none: --method cal.",
            )
        self.pooled = BNNeck(pooled_width, classes)
        self.projected = BNNeck(joint_width, classes)

    def forward(self, features: ImageFeatures) -> tuple[HeadOutput, HeadOutput]:
        """Image features -> head outputs on ``pooled`` and on ``projected``."""
        return self.pooled(features.pooled), self.projected(features.projected)


def published_key(key: str) -> str:
    """Name in a published CLIP-ReID checkpoint of a `ReidHeads` state-dict key.

    ``pooled.bottleneck.weight`` -> ``bottleneck.weight``; ``projected.classifier.weight`` -> ``classifier_proj.weight``.
    """
    branch, module, rest = key.split(".", 2)
    return f"{module}{'_proj' if branch == 'projected' else ''}.{rest}"
