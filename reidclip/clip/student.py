"""A student: a small image encoder without text that learns from a CLIP (CLIP3DReID, Liu et al., CVPR 2024).

Backbone and identity head: the mean of the backbone's final map F goes through an MLP with one hidden layer, which gives the global feature
f_id; at test time that is all. State-dict keys: ``backbone.*`` as the backbone's own, ``head.hidden.*``, ``head.output.*``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.clip.trunk import RESNET50, TrunkEncoder, pooled_as
from reidclip.errors import UserError

STUDENT = "student"
_ACTIVATIONS: Mapping[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class IdentityHead(nn.Module):
    """MLP with one hidden layer on the pooled map, which gives f_id (CLIP3DReID); without hidden layer one linear layer (its program)."""

    def __init__(self, places: int, hidden: int, width: int, activation: str) -> None:
        super().__init__()
        self.hidden = nn.Linear(places, hidden) if hidden else nn.Identity()
        self.activation = _ACTIVATIONS[activation]() if hidden else nn.Identity()
        self.output = nn.Linear(hidden or places, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, C) pooled map -> (B, W) f_id."""
        f: Tensor = self.output(self.activation(self.hidden(pooled)))
        return f


class StudentEncoder(ImageEncoder):
    """Backbone and identity head, without a joint space with text: ``projected`` is empty, ``joint_width`` 0.

    ``pooled`` is f_id, alone the test feature; ``last`` is the pooled map that enters the head. `forward_places` gives the backbone's final
    map F, (B, N, C).

    Attributes:
        backbone: `reidclip.clip.trunk.TrunkEncoder` with average pooling, or `reidclip.clip.timm_trunk.TimmTrunk`.
        head: the MLP.
        places_width: C, channels of F.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Random weights.

        Raises:
            UserError: a backbone or head that is not known.
        """
        backbone = make_image_encoder(replace(config, model=config.model["backbone"]))
        places, head = backbone.pooled_width, config.model["head"]
        if head.get("activation") not in _ACTIVATIONS:
            raise UserError(f"There is no activation '{head.get('activation')}'.", f"Use one of {', '.join(_ACTIVATIONS)}.")
        super().__init__(config, places, int(head["width"]), 0)
        self.places_width = places
        self.backbone = backbone
        self.head = IdentityHead(places, int(head["hidden"]), int(head["width"]), head["activation"])

    @property
    def places_reach_feature(self) -> bool:
        """The head reads the mean of the final map, so the feature has a gradient at every place."""
        return True

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`; ``camera`` is not used."""
        if not places:
            return self._features(self.backbone(x).pooled), None
        features, final = self.backbone.forward_places(x)
        return self._features(features.pooled), final

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`; ``last`` and ``pooled`` are the final map before pooling, ``camera`` is not used."""
        tokens = self.backbone.forward_tokens(x)
        return TokenMaps(self._features(tokens.features.pooled), tokens.pooled, tokens.pooled, tokens.projected)

    def identify(self, pooled: Tensor) -> Tensor:
        """(B, C) means over the places of F -> (B, W) f_id: what the head alone does."""
        f: Tensor = self.head(pooled)
        return f

    def _features(self, pooled: Tensor) -> ImageFeatures:
        return ImageFeatures(pooled, self.identify(pooled).to(pooled.dtype), pooled[:, :0])


def no_student() -> UserError:
    """The error about a CLIP in the place of a student."""
    return UserError(
        "A CLIP's image encoder is no student: its inference would need what the student does without.",
        f"Give --student {RESNET50}:imagenet, timm:NAME, or random:timm:NAME.",
    )


def make_student(backbone: ImageEncoder, width: int = 2048, hidden: int | None = None, activation: str = "relu") -> StudentEncoder:
    """A copy of an image encoder without text, with an identity head of random weights (torch's generator) behind it.

    Args:
        backbone: as ``--student`` gives it: ResNet-50 (pooled by its mean from here on), or a network of timm's.
        width: of f_id (2048 in the paper; 512 in the published code).
        hidden: width of the head's hidden layer; None: the channels of the final map; 0: none.
        activation: between the two layers, "relu" or "gelu".

    Raises:
        UserError: an encoder that is CLIP's, whose inference would need CLIP; or a width that is not positive.
    """
    if backbone.config.trunk is None or backbone.config.trunk == STUDENT:
        raise no_student()
    if isinstance(backbone, TrunkEncoder):
        backbone = pooled_as(backbone, "avg")
    places = backbone.pooled_width
    head: dict[str, Any] = {"hidden": places if hidden is None else hidden, "width": width, "activation": activation}
    if head["hidden"] < 0 or width < 1:
        raise UserError(f"A head of widths {head['hidden']} and {width} gives no feature.", "Give a width of at least 1.")
    model = {"trunk": STUDENT, "backbone": copy.deepcopy(dict(backbone.config.model)), "head": head}
    with torch.device("meta"):  # the backbone is replaced by its copy: no random numbers are drawn for it
        student = StudentEncoder(replace(backbone.config, model=model))
    student.backbone = copy.deepcopy(backbone)
    student.head = IdentityHead(places, head["hidden"], width, activation)
    return student.to(next(backbone.parameters()).device)
