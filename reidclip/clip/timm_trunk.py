"""Any network of timm that has a feature map, as an image encoder without text.

State-dict keys are timm's own with ``net.`` in front (``net.conv1.weight``), without the classifier and whatever else of the head the final
map does not pass; positions at the *target* size.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.geometry import Size
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.clip.timm_net import NetFacts, as_nchw, build_net, known_name, net_facts, run

TIMM = "timm"


def timm_trunk_config(name: str, image_size: Size, stride: int | None = None) -> EncoderConfig:
    """A network of timm's.

    Args:
        name: timm's, without a pretrained tag.
        image_size: (height, width) in pixels.
        stride: overall; None: the network's own. 16 (the last stage has stride 1) where timm can build it so.

    Raises:
        UserError: no such network, stride or feature map, or a size that it does not take.
    """
    known_name(name)
    own = net_facts(name, image_size).stride
    model: dict[str, Any] = {"trunk": TIMM, "timm_model_name": name}
    if stride not in (None, own):
        model["output_stride"] = stride
    config = EncoderConfig(model, image_size, stride or own)
    facts_of(config)
    return config


def facts_of(config: EncoderConfig) -> NetFacts:
    """What has to be known of a configuration's network.

    Raises:
        UserError: see `net_facts`.
    """
    return net_facts(config.model["timm_model_name"], config.image_size, config.model.get("output_stride"))


class TimmTrunk(ImageEncoder):
    """A network of timm's without a joint space with text: ``projected`` is empty, ``joint_width`` 0.

    ``last`` is the mean of the map of the last stage (or block) but one, ``pooled`` the mean of the final map, as it leaves the network in
    front of its head; tokens of classes and registers are left out.

    Attributes:
        net: the network.
        places_width: channels of the final map.
    """

    def __init__(self, config: EncoderConfig, net: Any = None) -> None:
        """Take over a network that `build_net` made with the options of `facts_of`, or build one with random weights.

        Raises:
            UserError: see `net_facts`.
        """
        facts = facts_of(config)
        super().__init__(config, facts.last_width, facts.width, 0)
        self.places_width = facts.width
        self._facts = facts
        self.net = trimmed(build_net(config.model["timm_model_name"], facts.options) if net is None else net, facts)

    @property
    def places_reach_feature(self) -> bool:
        """The final map is pooled by its mean, so the feature has a gradient at every place."""
        return True

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`; ``camera`` is not used."""
        last, final = self._maps(x)
        return self._features(last, final), final.flatten(2).transpose(1, 2) if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`; ``pooled`` is the final map before pooling, ``camera`` is not used."""
        last, final = self._maps(x)
        return TokenMaps(self._features(last, final), last, final, final[:, :0])

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the last stage but one and of the end, (B, C, h, w) each."""
        self._check(x)
        final, before, last_stage = run(self.net, x)
        _forget(self.net)
        facts = self._facts
        final_map = as_nchw(last_stage if facts.layout == "stage" else final, facts.layout, facts.prefix, facts.grid)
        return final_map if before is None else before, final_map

    def _features(self, last: Tensor, final: Tensor) -> ImageFeatures:
        dtype = next(self.net.parameters()).dtype
        pooled = final.mean((2, 3)).to(dtype)
        return ImageFeatures(last.mean((2, 3)).to(dtype), pooled, pooled[:, :0])


def trimmed(net: Any, facts: NetFacts) -> Any:
    """The network, changed in place: without children that the final map does not pass; what else has no influence on it is frozen."""
    for child in facts.unused:
        setattr(net, child, nn.Identity())
    for name in facts.unreached:
        net.get_parameter(name).requires_grad_(False)
    return net


def _forget(net: Any) -> None:
    """Empty the tables of position biases that some networks (TinyViT, LeViT) keep from pass to pass in evaluation mode.

    They would keep a graph that cannot be copied nor gone through twice, and outlive the weights that they were made from.
    """
    for module in net.modules():
        kept = getattr(module, "attention_bias_cache", None)
        if kept:
            kept.clear()
