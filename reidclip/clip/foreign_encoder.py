"""Builds image encoders that are neither CLIP's ViT, read at its class token, nor CLIP's ResNet."""

from __future__ import annotations

from typing import Any

from reidclip.clip.architecture import EncoderConfig, build_visual
from reidclip.clip.image_encoder import ImageEncoder


def make_foreign_encoder(config: EncoderConfig, visual: Any = None) -> ImageEncoder:
    """As `reidclip.clip.image_encoder.make_image_encoder`, of a configuration with ``is_foreign``.

    Raises:
        UserError: a trunk that is not known, a tower that cannot be built, or a package that it needs and that is not installed.
    """
    if config.trunk is not None:
        return _make_trunk(config)
    if config.is_blip:
        from reidclip.clip.blip_image import BlipEncoder

        return BlipEncoder(config)
    visual = build_visual(config) if visual is None else visual
    if config.is_timm:
        from reidclip.clip.timm_encoder import TimmEncoder

        return TimmEncoder(config, visual)
    from reidclip.clip.pooled_vit import PooledVitEncoder

    return PooledVitEncoder(config, visual)


def _make_trunk(config: EncoderConfig) -> ImageEncoder:
    """An encoder without text, with random weights."""
    if config.trunk == "student":
        from reidclip.clip.student import StudentEncoder

        return StudentEncoder(config)
    if config.trunk == "timm":
        from reidclip.clip.timm_trunk import TimmTrunk

        return TimmTrunk(config)
    from reidclip.clip.trunk import TrunkEncoder

    return TrunkEncoder(config)
