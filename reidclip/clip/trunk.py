"""An image encoder that is not CLIP's: torchvision's ResNet-50, as Simple-CCReID trains it (Gu et al., CVPR 2022).

State-dict keys are torchvision's (``conv1.weight``, ``bn1.*``, ``layer1-4.*``), without its classifier.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision.models import resnet50

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.geometry import Size
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.errors import UserError

RESNET50 = "resnet50"
Pooling = Literal["max+avg", "avg", "max"]
_WIDTH = 2048  # channels of the last map


def trunk_config(image_size: Size, stride: int = 16, pooling: Pooling = "max+avg") -> EncoderConfig:
    """A ResNet-50.

    Args:
        image_size: (height, width) in pixels.
        stride: overall; 16 (the last stage has stride 1, as usual in re-identification) or 32 (as pre-trained).
        pooling: of the last map; "max+avg" joins both, 4096 wide.

    Raises:
        UserError: another stride or pooling, or a picture that is too small.
    """
    if stride not in (16, 32):
        raise UserError(
            f"A ResNet-50 has overall stride 16 or 32, not {stride}.", "Leave stride out for 16, as usual in re-identification."
        )
    if pooling not in get_args(Pooling):
        raise UserError(f"There is no pooling '{pooling}'.", f"Use one of {', '.join(get_args(Pooling))}.")
    if min(image_size) < 1:
        raise UserError(f"Pictures of {image_size[0]}x{image_size[1]} pixels cannot be encoded.", "Take a larger picture.")
    return EncoderConfig({"trunk": RESNET50, "pooling": pooling}, image_size, stride)


class TrunkEncoder(ImageEncoder):
    """ResNet-50 without a joint space with text: ``projected`` is empty, ``joint_width`` 0.

    ``last`` is the mean of stage 3's map (1024), ``pooled`` the pooled map of stage 4 (4096 for "max+avg": maxima first).
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Random weights.

        Raises:
            UserError: another trunk.
        """
        if config.trunk != RESNET50:
            raise UserError(f"There is no trunk '{config.trunk}'.", f"This version knows {RESNET50}.")
        self._pooling: Pooling = config.model["pooling"]
        super().__init__(config, _WIDTH // 2, _WIDTH * len(self._pooling.split("+")), 0)
        net = resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = net.conv1, net.bn1, net.relu, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        if config.stride == 16:
            first = self.layer4[0]
            first.conv2.stride = first.downsample[0].stride = (1, 1)

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`; ``camera`` is not used."""
        last, pooled = self._maps(x)
        return self._features(last, pooled), pooled.flatten(2).transpose(1, 2) if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`; ``pooled`` is the map before pooling (2048 channels), ``camera`` is not used."""
        last, pooled = self._maps(x)
        return TokenMaps(self._features(last, pooled), last, pooled, pooled[:, :0])

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        last = self.layer3(self.layer2(self.layer1(x)))
        return last, self.layer4(last)

    def _features(self, last: Tensor, final: Tensor) -> ImageFeatures:
        dtype = self.conv1.weight.dtype
        pooled = torch.cat([final.amax((2, 3)) if part == "max" else final.mean((2, 3)) for part in self._pooling.split("+")], dim=1)
        return ImageFeatures(last.mean((2, 3)).to(dtype), pooled.to(dtype), pooled[:, :0].to(dtype))


def pooled_as(encoder: TrunkEncoder, pooling: Pooling) -> TrunkEncoder:
    """A copy of the encoder, with its weights, that pools its last map in another way.

    Raises:
        UserError: there is no such pooling.
    """
    config = trunk_config(encoder.config.image_size, encoder.config.stride, pooling)
    with torch.random.fork_rng(devices=[]):  # the copy's first weights are replaced: nobody's random numbers are used up for them
        other = TrunkEncoder(config)
    other.load_state_dict(encoder.state_dict())
    weight = encoder.conv1.weight
    other.to(device=weight.device)
    return other.to(memory_format=torch.channels_last) if weight.is_contiguous(memory_format=torch.channels_last) else other
