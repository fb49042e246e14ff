"""What an image encoder gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ImageFeatures(NamedTuple):
    """Three vectors per image, none of them normalised. Of other towers than these two see their encoders (`reidclip.clip`).

    Attributes:
        last: (B, W_last) ViT: the class token that enters the final block, no layer norm; ResNet: average of stage 3's map.
        pooled: (B, W_pooled) ViT: the class token after the final block and ``ln_post``; ResNet: average of stage 4's map.
        projected: (B, D) ViT: ``pooled @ proj``; ResNet: the attention pool. The joint space with text; (B, 0) where there is none.
    """

    last: Tensor
    pooled: Tensor
    projected: Tensor


class TokenMaps(NamedTuple):
    """The same three outputs at every place of the picture.

    Attributes:
        features: the vectors of `ImageFeatures`, from the same pass.
        last, pooled, projected: (B, W, h, w) maps; class token and mean token left out. The ViT's have one grid; a ResNet's ``last``
            is the map of stage 3.
    """

    features: ImageFeatures
    last: Tensor
    pooled: Tensor
    projected: Tensor
