"""Image towers that open_clip takes from timm (SigLIP, EVA, MobileCLIP, ViTamin, ConvNeXt ...): what they are, and how one is built.

timm is never asked for pretrained weights: those of the whole CLIP replace what it would give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from reidclip.clip.geometry import Size
from reidclip.clip.in_memory import in_memory
from reidclip.errors import UserError

if TYPE_CHECKING:  # encoders without text are loaded where open_clip is not installed
    from open_clip.timm_model import TimmModel


@dataclass(frozen=True)
class TimmFacts:
    """What has to be known of a tower before it is built.

    Attributes:
        reduction: pixels from one place of its last map to the next.
        class_token: whether a camera embedding has a class token to be added to.
        image_size: (height, width) that its weights belong to.
        cuts: whether what is left of a picture beyond the last whole patch is cut off; else sides are multiples of ``reduction``.
    """

    reduction: int
    class_token: bool
    image_size: Size
    cuts: bool


def is_timm(model: Mapping[str, Any]) -> bool:
    """Whether the image tower of open_clip's model configuration is timm's."""
    return bool(model.get("vision_cfg", {}).get("timm_model_name"))


def timm_facts(model: Mapping[str, Any]) -> TimmFacts:
    """The facts of a model configuration's tower, found by building it without memory.

    Raises:
        UserError: timm has no such tower, or its final map cannot be had.
    """
    return _facts(json.dumps({"embed_dim": model["embed_dim"], "vision_cfg": model["vision_cfg"]}, sort_keys=True))


def build_timm(model: Mapping[str, Any]) -> TimmModel:
    """open_clip's wrapper around timm's tower, at ``vision_cfg.image_size``, with random weights.

    On the meta device it is built in memory all the same, with weights left unfilled: what such towers compute as they are built (rotary
    positions, windows) is in no file of weights.

    Raises:
        UserError: timm cannot build it.
    """
    with in_memory():
        return built(model)


def built(model: Mapping[str, Any]) -> TimmModel:
    """As `build_timm`, on the meta device too without memory: for shapes alone.

    Raises:
        UserError: timm cannot build it.
    """
    from open_clip.model import CLIPVisionCfg
    from open_clip.timm_model import TimmModel

    try:
        facts = CLIPVisionCfg(**model["vision_cfg"])
        visual = TimmModel(
            facts.timm_model_name,
            embed_dim=model["embed_dim"],
            image_size=facts.image_size,
            pool=facts.timm_pool,
            proj=facts.timm_proj,
            proj_bias=facts.timm_proj_bias,
            drop=facts.timm_drop,
            drop_path=facts.timm_drop_path,
            patch_drop=facts.patch_dropout or None,
            pretrained=False,
        )
        if getattr(getattr(visual.trunk, "patch_embed", None), "img_size", visual.image_size) != tuple(visual.image_size):
            set_size(visual, visual.image_size)  # open_clip's wrapper leaves timm's own size
    except (RuntimeError, TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise UserError(f"timm cannot build this image tower: {error}.", "Compare it with a configuration of open_clip.") from error
    return visual


def timm_shapes(model: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Shapes of a configuration's tower by its own names, found without memory."""
    with torch.device("meta"):
        return {key: value.shape for key, value in built(model).state_dict().items()}


def set_size(visual: Any, size: Size) -> None:
    """Bring positions to a picture's size as timm does (bicubic, antialiased; rotary ones are computed); convolutions have none."""
    if hasattr(visual.trunk, "set_input_size"):
        with nullcontext() if next(visual.parameters()).is_meta else in_memory():  # of one without memory only shapes are asked
            visual.trunk.set_input_size(size)
    visual.image_size = size


@lru_cache
def _facts(document: str) -> TimmFacts:
    with torch.device("meta"):
        visual = built(json.loads(document))
    trunk: Any = visual.trunk
    name = type(trunk).__name__
    if not hasattr(trunk, "forward_intermediates") or not getattr(trunk, "feature_info", None):
        raise UserError(f"timm's {name} does not show its last map, which this toolkit reads.", "Take another architecture.")
    class_token = getattr(trunk, "cls_token", None) is not None and hasattr(trunk, "norm_pre")
    projection = getattr(getattr(trunk, "patch_embed", None), "proj", None)
    height, width = visual.image_size
    return TimmFacts(int(trunk.feature_info[-1]["reduction"]), class_token, (height, width), isinstance(projection, nn.Conv2d))
