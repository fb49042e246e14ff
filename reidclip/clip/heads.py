"""Classification heads for training (BNNeck: Luo et al., CVPRW 2019)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reidclip.clip.image_features import ImageFeatures

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

    Of an encoder without a joint space with text there is only the first: ``projected`` is None.
    """

    projected: BNNeck | None

    def __init__(self, pooled_width: int, joint_width: int, classes: int) -> None:
        super().__init__()
        self.pooled = BNNeck(pooled_width, classes)
        self.projected = BNNeck(joint_width, classes) if joint_width else None

    def forward(self, features: ImageFeatures) -> tuple[HeadOutput, HeadOutput]:
        """Image features -> head outputs on ``pooled`` and on ``projected``; the latter (B, 0) where there is no joint space."""
        empty = HeadOutput(features.projected, features.projected)
        return self.pooled(features.pooled), empty if self.projected is None else self.projected(features.projected)


def published_key(key: str) -> str:
    """Name in a published CLIP-ReID checkpoint of a `ReidHeads` state-dict key.

    ``pooled.bottleneck.weight`` -> ``bottleneck.weight``; ``projected.classifier.weight`` -> ``classifier_proj.weight``.
    """
    branch, module, rest = key.split(".", 2)
    return f"{module}{'_proj' if branch == 'projected' else ''}.{rest}"
