"""Every hyper-parameter of CLIP-ReID beyond the shared ones. Defaults: the published ViT-B/16 configuration."""

from __future__ import annotations

from pydantic import Field

from reidclip.train.settings import IdLossSettings, PromptLearnSettings


class ClipReidPrompts(PromptLearnSettings):
    """Stage 1, section 3.2 of the paper; rates in `reidclip.train.settings`."""


class BaselineFinetune(IdLossSettings):
    """Stage 2 without text: identity and triplet losses (the papers' "B")."""


class ClipReidFinetune(BaselineFinetune):
    """Stage 2, section 3.3 of the paper."""

    i2tce_weight: float = Field(1.0, ge=0, description="Weight of the image-to-text cross-entropy; 0 leaves prompts out.")
