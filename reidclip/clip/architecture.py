"""What an encoder is made of, as data: open_clip's model configuration, plus the geometry that re-identification adds.

An `EncoderConfig` is all that is needed to build an image encoder without the CLIP it came from, so it is stored beside every checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from reidclip.clip.geometry import Size, patch_grid, resnet_grid, trunk_grid
from reidclip.clip.timm_tower import build_timm, is_timm, timm_facts
from reidclip.errors import UserError

_NO_TEXT = {"context_length": 2, "vocab_size": 2, "width": 64, "heads": 1, "layers": 1}  # stands in when only the image side is built
_NO_VISION = {"layers": 1, "width": 64, "image_size": 16, "patch_size": 16}  # likewise, until a tower of timm's takes its place
_NOT_OF_A_DUAL_ENCODER = ("custom_text", "multimodal_cfg")


@dataclass(frozen=True)
class EncoderConfig:
    """An image encoder's architecture and geometry.

    Attributes:
        model: open_clip's ``embed_dim``, ``quick_gelu`` and ``vision_cfg`` (the text side is left out), of BLIP also ``blip``
            (`reidclip.clip.blip_image`); or, of an encoder that is not CLIP's, ``trunk`` and its options (`reidclip.clip.trunk`,
            `reidclip.clip.timm_trunk`, `reidclip.clip.student`).
        image_size: (height, width) in pixels.
        stride: ViT: distance of patches in pixels (the patch size means no overlap); ResNet: overall stride, 16 or 32; a tower of timm's:
            pixels from one place of its last map to the next, which cannot be chosen.
        sie_cameras: cameras that have an embedding, 0 for none.
        sie_coefficient: factor of the camera embedding.
        context_block: kind of the block between final map and pools (`reidclip.clip.context_block`); None for none.
    """

    model: Mapping[str, Any]
    image_size: Size
    stride: int
    sie_cameras: int = 0
    sie_coefficient: float = 1.0
    context_block: str | None = None

    @property
    def trunk(self) -> str | None:
        """Kind of an architecture that is not CLIP's ("resnet50", "timm", "student"), else None."""
        name: str | None = self.model.get("trunk")
        return name

    @property
    def is_resnet(self) -> bool:
        """A ResNet (several stages) and not a ViT."""
        return self.trunk is not None or is_resnet(self.model)

    @property
    def is_timm(self) -> bool:
        """Whether the tower is timm's (`reidclip.clip.timm_encoder`)."""
        return is_timm(self.model)

    @property
    def is_blip(self) -> bool:
        """Whether the tower is BLIP's (`reidclip.clip.blip_image`)."""
        return "blip" in self.model

    @property
    def is_foreign(self) -> bool:
        """Neither CLIP's ViT, read at its class token, nor CLIP's ResNet: blocks and maps are not those that `VitEncoder` shows."""
        return self.trunk is not None or self.is_blip or self.is_timm or self.pools_places

    @property
    def pools_places(self) -> bool:
        """A native ViT that pools otherwise than by its class token behind ``ln_post`` (`reidclip.clip.pooled_vit`)."""
        vision = self.model.get("vision_cfg", {})
        return bool(vision.get("attentional_pool") or vision.get("final_ln_after_pool") or vision.get("pool_type", "tok") != "tok")

    @property
    def patch(self) -> Size:
        """(height, width) of a ViT's patches in pixels."""
        return pair(self.stride if self.is_timm else self.model["vision_cfg"].get("patch_size") or 16)

    @property
    def grid(self) -> Size:
        """(height, width) of the final token map."""
        if self.trunk == "student":
            return replace(self, model=self.model["backbone"]).grid
        if self.trunk == "timm":
            from reidclip.clip.timm_trunk import facts_of

            return facts_of(self).grid
        if self.trunk is not None:
            return trunk_grid(self.image_size, self.stride)
        if self.is_timm:
            return self.image_size[0] // self.stride, self.image_size[1] // self.stride
        if self.is_resnet:
            return resnet_grid(self.image_size, self.stride)
        return patch_grid(self.image_size, self.patch, self.stride)

    @property
    def native_size(self) -> Size:
        """(height, width) in pixels of the architecture's own input, which need not be ``image_size``."""
        return pair(self.model["vision_cfg"].get("image_size") or 224)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; a context block is told only where there is one, for readers that know none."""
        document = {**asdict(self), "model": copy.deepcopy(dict(self.model)), "image_size": list(self.image_size)}
        if self.context_block is None:
            del document["context_block"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EncoderConfig:
        """Read what `to_json` wrote.

        Raises:
            UserError: a key is missing or unknown.
        """
        try:
            return cls(**{**document, "image_size": pair(document["image_size"])})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"Not an image encoder's configuration: {error}.", "Write the checkpoint again.") from error


def encoder_config(
    model: Mapping[str, Any], image_size: Size, stride: int | None = None, sie_cameras: int = 0, sie_coefficient: float = 1.0
) -> EncoderConfig:
    """Fill in the defaults and refuse what cannot work.

    Args:
        model: open_clip's model configuration, with or without its text side.
        image_size: (height, width) in pixels.
        stride: None takes the patch size (ViT) or 16 (ResNet).
        sie_cameras: number of camera embeddings, 0 for none.
        sie_coefficient: their factor.

    Raises:
        UserError: a stride, size or option that this architecture does not have.
    """
    kept = {key: copy.deepcopy(model[key]) for key in ("embed_dim", "quick_gelu", "vision_cfg") if key in model}
    if "blip" in model:
        kept["blip"] = {"vision": copy.deepcopy(model["blip"]["vision"])}
    if is_timm(model):
        return _timm_config(kept, image_size, stride, sie_cameras, sie_coefficient)
    resnet = is_resnet(model)
    patch = pair(model["vision_cfg"].get("patch_size") or 16)
    config = EncoderConfig(kept, image_size, stride or (16 if resnet else patch[0]), sie_cameras, sie_coefficient)
    if resnet and config.stride not in (16, 32):
        raise UserError(
            f"A CLIP ResNet has overall stride 16 or 32, not {stride}.", "Leave stride out for 16, as usual in re-identification."
        )
    if resnet and sie_cameras:
        raise UserError("A CLIP ResNet has no class token to add a camera embedding to.", "Switch sie_camera off or take a ViT.")
    if config.stride < 1 or min(config.grid) < 1:
        raise UserError(
            f"Pictures of {image_size[0]}x{image_size[1]} pixels at stride {config.stride} leave no token.",
            "Take a larger picture or a positive stride.",
        )
    return config


def _timm_config(model: dict[str, Any], size: Size, stride: int | None, sie_cameras: int, sie_coefficient: float) -> EncoderConfig:
    facts = timm_facts(model)
    if stride not in (None, facts.reduction):
        raise UserError(
            f"This image tower of timm's has overall stride {facts.reduction}, not {stride}.",
            "Leave stride out; overlapping patches are an option of CLIP's own ViT.",
        )
    if sie_cameras and not facts.class_token:
        raise UserError("This image tower has no class token to add a camera embedding to.", "Switch sie_camera off or take a ViT.")
    config = EncoderConfig(model, size, facts.reduction, sie_cameras, sie_coefficient)
    if min(config.grid) < 1 or not (facts.cuts or size == tuple(facts.reduction * cells for cells in config.grid)):
        raise UserError(
            f"Pictures of {size[0]}x{size[1]} pixels do not fit an image tower of overall stride {facts.reduction}.",
            f"Take sides that are multiples of {facts.reduction}.",
        )
    return config


def build_towers(model: Mapping[str, Any]) -> Any:
    """An open_clip ``CLIP`` of this configuration, randomly initialised (or on the meta device inside ``torch.device("meta")``).

    Of CoCa the two encoders, without the decoder. A tower of timm's is in memory in any case (`reidclip.clip.timm_tower.build_timm`).
    """
    import open_clip  # encoders without text are loaded where it is not installed

    document = {key: value for key, value in copy.deepcopy(dict(model)).items() if key not in _NOT_OF_A_DUAL_ENCODER}
    if is_resnet(document):  # open_clip wants one side length; the position table is put right afterwards
        document["vision_cfg"]["image_size"] = max(pair(document["vision_cfg"].get("image_size") or 224))
    if is_timm(document):
        document["vision_cfg"] = _NO_VISION
    try:
        if document["text_cfg"].get("embed_cls"):
            from reidclip.clip.coca import CocaTowers

            towers: Any = CocaTowers(open_clip.CustomTextCLIP(**document))
        else:
            towers = open_clip.CLIP(**document)
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise UserError(f"open_clip cannot build this configuration: {error}.", "Compare it with a configuration of open_clip.") from error
    if is_timm(model):
        towers.visual = build_timm(model)
    return towers


def build_visual(config: EncoderConfig) -> Any:
    """The image tower alone, as open_clip builds it (see `build_towers`)."""
    if config.is_timm:
        return build_timm(config.model)
    return build_towers({**config.model, "text_cfg": _NO_TEXT}).visual


def is_resnet(model: Mapping[str, Any]) -> bool:
    """Whether the image tower is CLIP's ResNet: its layers are a list of stages."""
    return isinstance(model["vision_cfg"].get("layers"), (list, tuple))


def pair(value: Any) -> Size:
    """One side length or two as (height, width)."""
    if isinstance(value, (list, tuple)):
        height, width = value
        return int(height), int(width)
    return int(value), int(value)
