"""Every hyper-parameter of CCAF beyond the shared ones, and the switches of its tables 3 and 4."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.train.settings import IdLossSettings, PromptLearnSettings


class CcafPrompts(PromptLearnSettings):
    """Stage 1: identity prompts on shielding images, clothes prompts on clothes images; Adam 3.5e-4, 120 epochs, batch 64, cosine."""

    clothes_template: str = Field("A photo of a {X} clothes.", description="Clothes prompt; {X} stands for the M learned tokens.")
    clothes_prompts: bool = Field(True, description="Learn clothes prompts, eq. (12)(13); off saves their time when cfm is off or one-hot.")


class CcafFinetune(IdLossSettings):
    """Stage 2, eq. (17): Adam 5e-6, 40 epochs, cosine, batches of 16 x 4."""

    epochs: int = Field(40, ge=0, description="Passes of the sampler over the training pictures.")
    schedule: Literal["multistep", "cosine"] = Field("cosine", description="How the rate falls: in steps, or along a cosine to 0.")
    warmup_epochs: int = Field(0, ge=0, description="Epochs in which the rate rises linearly from warmup_factor times lr.")
    id_weight: float = Field(1.0, ge=0, description="Weight of the cross-entropy in L_id, on each of the two classifiers.")
    lambda1: float = Field(0.1, ge=0, description="Weight of L_con, eq. (17).")
    lambda2: float = Field(1.0, ge=0, description="Weight of L_dis, eq. (17).")

    i2t: bool = Field(True, description="Image-to-text interaction, eq. (7)(9) (table 3).")
    i2i: bool = Field(True, description="Shielding stream and image-to-image interaction, eq. (8)-(10) (table 3).")
    cfm: bool = Field(True, description="Clothes feature minimisation, eq. (14)(15) (table 3).")
    raw_text: bool = Field(True, description="Text supervises the raw stream, eq. (7) (table 4).")
    shield_text: bool = Field(True, description="Text supervises the shielding stream, eq. (9) (table 4).")
    clothes_target: Literal["prompts", "onehot"] = Field(
        "prompts", description="What eq. (14) classifies against: clothes prompts, or a learned linear classifier (table 4)."
    )
    con_normalise: bool = Field(False, description="L2-normalise features before eq. (10) (paper: no; its size follows the feature norm).")
    dis_sign: Literal[1, -1] = Field(1, description="+1 pushes f and f Proj apart as the text says; -1 is eq. (15) as printed.")
    proj_lr: float = Field(
        3.5e-4,
        gt=0,
        description="Rate of Proj (our reading: Proj starts at the identity, where eq. (15) is flat, and must leave it first).",
    )
    proj_noise: float = Field(0.02, ge=0, description="Standard deviation of the noise on Proj's identity start.")


def finetune_reads_masks(settings: CcafFinetune) -> bool:
    """Only the shielding stream sees masks."""
    return settings.i2i


def finetune_reads_prompts(settings: CcafFinetune) -> bool:
    """Identity text for eq. (7)(9), clothes text for eq. (14)."""
    reads_identity = settings.i2t and (settings.raw_text or (settings.i2i and settings.shield_text))
    return reads_identity or (settings.cfm and settings.clothes_target == "prompts")
