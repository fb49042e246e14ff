"""Every hyper-parameter of SCI beyond the shared ones, and the switches of its table II and figures 7 and 8."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.train.settings import IdLossSettings, PromptLearnSettings

ClothesFrom = Literal["labels", "identity"]

_CLOTHES_FROM = (
    "Clothes classes: 'labels' of the data set, or, where people do not change (Market-1501), every identity's one outfit: 'identity'."
)


class SciPrompts(PromptLearnSettings):
    """Stage 1, SSE: identity and clothes prompts together, eq. (5)-(12); Adam 3.5e-4, cosine, 60 epochs (20 on PRCC)."""

    epochs: int = Field(60, ge=0, description="Passes over the training pictures' features.")
    clothes_template: str = Field("A photo of a {X} clothes.", description="Clothes prompt; {X} stands for the M learned tokens.")
    sse: bool = Field(True, description="Semantic separation, eq. (5)-(12); off learns plain identity prompts, eq. (3)(4) (table II).")
    alpha: float = Field(1.0, ge=0, description="Weight of 1 - S_id in L_sse, eq. (9) (paper's value lost; figure 8b sweeps it).")
    beta: float = Field(1.0, ge=0, description="Weight of S_c in L_sse, eq. (9) (paper's value lost; figure 8b sweeps it).")
    clothes_from: ClothesFrom = Field("labels", description=_CLOTHES_FROM)


class SciFinetune(IdLossSettings):
    """Stage 2, SIM, eq. (13)-(21): Adam 3.5e-4, x0.1 at 40 and 70, 120 epochs (20 on PRCC)."""

    epochs: int = Field(120, ge=0, description="Passes of the sampler over the training pictures.")
    lr: float = Field(3.5e-4, gt=0, description="Adam's rate, which the schedule scales.")
    weight_decay: float = Field(5e-4, ge=0, description="L2 decay inside Adam (not decoupled), on every parameter.")
    milestones: tuple[int, ...] = Field((40, 70), description="Epochs at which the rate drops to a tenth (multistep).")
    warmup_factor: float = Field(0.01, ge=0, description="Share of lr at which the warm-up begins.")
    id_weight: float = Field(1.0, ge=0, description="Weight of the cross-entropy, eq. (18), on each of the two classifiers.")
    triplet_weight: float = Field(0.0, ge=0, description="Weight of the triplet loss on each of the features (paper: none).")
    cal_weight: float = Field(1.0, ge=0, description="Weight of L_cal, eq. (19); 0 trains no clothes classifier.")
    i2tce_weight: float = Field(1.0, ge=0, description="Weight of L_i2tce, eq. (20).")

    sse: bool = Field(True, description="Text is t_orth, eq. (6); off takes plain identity prompts, learned with sse off too (table II).")
    sim: bool = Field(True, description="Semantic-guided interaction, eq. (13)-(17); off leaves the encoder as it is (table II).")
    context_block: Literal["nonlocal", "self-attention", "none"] = Field(
        "nonlocal", description="What the final map passes in SIM, eq. (13)(14); part of the encoder (figure 7)."
    )
    text_residual: bool = Field(
        False, description="Add the text itself to what it attends to, as a whole decoder layer does; it then tells the label to eq. (18)."
    )
    interaction_lr: float = Field(
        3.5e-4, gt=0, description="Rate of SIM's new layers (paper: that of everything; it matters where lr is a ViT's)."
    )
    i2tce_text: Literal["orthogonal", "identity"] = Field(
        "orthogonal", description="Texts of eq. (20): mean t_orth over an identity's outfits, or its t_id; only with sse."
    )
    clothes_from: ClothesFrom = Field("labels", description=_CLOTHES_FROM)
    clothes_lr: float = Field(3.5e-4, gt=0, description="Rate of the clothes classifier, constant as CAL publishes it.")
    cal_start_epoch: int | None = Field(
        None, ge=0, description="Epoch (from 0) at which the clothes classifier and L_cal begin. Default: after 25/60 of them, CAL's share."
    )
    cal_feature: Literal["after", "before"] = Field(
        "after", description="Feature of L_cal, pooled and v' joined: behind their BatchNorms as CAL publishes it, or before."
    )
    cal_scale: float = Field(16.0, gt=0, description="Factor on the clothes classifier's cosines (CAL).")
    cal_epsilon: float = Field(0.1, ge=0, le=1, description="Weight that all outfits of an identity share in L_cal (CAL).")

    @property
    def first_cal_epoch(self) -> int:
        """``cal_start_epoch``, or CAL's 25 of 60, rounded down."""
        return self.epochs * 25 // 60 if self.cal_start_epoch is None else self.cal_start_epoch


def without_effect(stage: str, settings: SciPrompts | SciFinetune) -> dict[str, str]:
    """Settings of a part that is switched off, and what switches it off."""
    if isinstance(settings, SciPrompts):
        return {} if settings.sse else dict.fromkeys(("clothes_template", "alpha", "beta", "clothes_from"), "sse = false")
    idle: dict[str, str] = {}
    if not settings.sim:
        idle |= dict.fromkeys(("text_residual", "interaction_lr"), "sim = false")
        idle |= {"context_block": "sim = false"} if settings.context_block != "none" else {}
    if settings.cal_weight == 0:
        idle |= dict.fromkeys(("clothes_lr", "cal_feature", "cal_scale", "cal_epsilon"), "cal_weight = 0")
    if not settings.sse or settings.i2tce_weight == 0:
        idle["i2tce_text"] = "i2tce_weight = 0" if settings.sse else "sse = false"
    return idle


def finetune_reads_prompts(settings: SciFinetune) -> bool:
    """SIM's query and eq. (20) are text."""
    return settings.sim or settings.i2tce_weight > 0


def finetune_reads_clothes(settings: SciFinetune) -> bool:
    """t_orth belongs to an outfit, and L_cal classifies outfits."""
    return settings.cal_weight > 0 or (settings.sse and finetune_reads_prompts(settings))
