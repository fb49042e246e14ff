"""An image encoder without text in the place of a CLIP: ``--clip resnet50:...``, ``--clip timm:...``."""

from __future__ import annotations

from typing import Any

import torch

from reidclip.clip import weights
from reidclip.clip.geometry import Size
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.load import ClipModel
from reidclip.clip.sources import Source
from reidclip.clip.trunk import RESNET50, TrunkEncoder, trunk_config
from reidclip.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageOnlyModel(ClipModel):
    """A model whose ``text_encoder`` and ``tokenizer`` cannot be had: to ask for them is a `UserError`. ``joint_width`` is 0."""

    def __getattribute__(self, name: str) -> Any:
        """Everything but the text side."""
        if name in ("text_encoder", "tokenizer"):
            raise UserError(
                f"'{super().__getattribute__('spec')}' is an image encoder without text, which prompts need.",
                "Give a CLIP, such as --clip ViT-B-16:openai, or take a method without prompts, such as --method cal.",
            )
        return super().__getattribute__(name)


def assemble_trunk(
    source: Source, spec: str, *, image_size: Size, stride: int | None, device: torch.device | str, sie_cameras: int
) -> ImageOnlyModel:
    """The model of a source that names a trunk; see `reidclip.clip.load.assemble`.

    Raises:
        UserError: a stride that it does not have, or camera embeddings.
    """
    if sie_cameras:
        kind = "A ResNet" if source.model["trunk"] == RESNET50 else "A network of timm's without text"
        raise UserError(f"{kind} has no class token to add a camera embedding to.", "Switch sie_camera off or take a ViT.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        encoder = _encoder(source, image_size, stride)
    loaded = encoder.state_dict() if source.state is None else source.state
    without_text: Any = None
    return ImageOnlyModel(
        name=source.name,
        spec=spec,
        image_encoder=encoder.to(device),
        text_encoder=without_text,
        tokenizer=without_text,
        digest=weights.digest({f"{source.name}.{key}": value for key, value in loaded.items()}, False),
        mean=source.preprocess.get("mean", IMAGENET_MEAN),
        std=source.preprocess.get("std", IMAGENET_STD),
        interpolation="bicubic" if source.preprocess.get("interpolation") == "bicubic" else "bilinear",
        image_size=image_size,
        logit_scale=1.0,
        model=source.model,
    )


def _encoder(source: Source, image_size: Size, stride: int | None) -> ImageEncoder:
    if source.model["trunk"] != RESNET50:
        from reidclip.clip.timm_source import build_trunk  # timm takes a second to import

        return build_trunk(source, image_size, stride)
    encoder = TrunkEncoder(trunk_config(image_size, stride or 16))
    if source.state is not None:
        encoder.load_state_dict(source.state)
    return encoder
