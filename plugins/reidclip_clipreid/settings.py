"""Every hyper-parameter of CLIP-ReID beyond the shared ones. Defaults: the published ViT-B/16 configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.train.settings import FinetuneSettings, Margin, PromptLearnSettings


class ClipReidPrompts(PromptLearnSettings):
    """Stage 1, section 3.2 of the paper; rates in `reidclip.train.settings`."""


class BaselineFinetune(FinetuneSettings):
    """Stage 2 without text: identity and triplet losses (the papers' "B")."""

    id_weight: float = Field(0.25, ge=0, description="Weight of the identity loss on each of the two classifiers (code: 0.25 ViT, 1 RN50).")
    triplet_weight: float = Field(1.0, ge=0, description="Weight of the triplet loss on each of the three features.")
    margin: Margin = Field(0.3, description="Triplet margin; 'soft' means the soft margin, ln(1 + exp(d_p - d_n)).")
    triplet_features: Literal["all", "pooled+projected", "projected"] = Field(
        "all", description="Features that enter the triplet loss (published: last, pooled and projected)."
    )
    triplet_normalise: bool = Field(False, description="L2-normalise features before the triplet distance (published: no).")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of every cross-entropy.")


class ClipReidFinetune(BaselineFinetune):
    """Stage 2, section 3.3 of the paper."""

    i2tce_weight: float = Field(1.0, ge=0, description="Weight of the image-to-text cross-entropy; 0 leaves prompts out.")
