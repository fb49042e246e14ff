"""Every hyper-parameter of distilling a fine-tuned encoder, beyond what trainings share. Recipes choose."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.train.settings import DistillSettings, Margin


class RkdDistill(DistillSettings):
    """A student learns identities, and what a fine-tuned teacher makes of the same pictures. A weight of 0 leaves its loss out."""

    student: str = Field(
        "random:timm:mobilenetv4_conv_small",
        description="The network that is trained: timm:NAME, timm:NAME:FILE, random:timm:NAME, resnet50:imagenet, resnet50:FILE.",
    )
    teacher: str = Field("", description="Fine-tuned checkpoint that is distilled: ccaf-prcc@v3.")
    lr: float = Field(1e-3, gt=0, description="Adam's rate, which the schedule scales.")
    schedule: Literal["multistep", "cosine"] = Field("cosine", description="How the rate falls: in steps, or along a cosine to 0.")
    bias_lr_factor: float = Field(1.0, gt=0, description="Parameters whose name contains 'bias' train at lr times this.")

    feature_width: int | None = Field(
        None, gt=0, description="Width of the student's feature. Default: the teacher's, so that nothing has to stand between the two."
    )
    head_hidden: int | None = Field(None, gt=0, description="Hidden layer of the student's head. Default: channels of its final map.")
    neck: Literal["before", "after"] = Field(
        "before", description="Feature that is tested, and compared with the teacher's: before or after the student's BatchNorm."
    )

    id_weight: float = Field(1.0, ge=0, description="Weight of L_id, eq. (1).")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of L_id.")
    triplet_weight: float = Field(1.0, ge=0, description="Weight of L_tri, eq. (2).")
    margin: Margin = Field(0.3, description="Triplet margin; 'soft' means the soft margin, ln(1 + exp(d_p - d_n)).")
    triplet_normalise: bool = Field(True, description="L2-normalise features before the triplet distance.")
    feature_weight: float = Field(10.0, ge=0, description="Weight of L_feat, eq. (3): each picture's feature is the teacher's.")
    distance_weight: float = Field(25.0, ge=0, description="Weight of L_D, eq. (6): distances within the batch are the teacher's.")
    angle_weight: float = Field(50.0, ge=0, description="Weight of L_A, eq. (8): angles within the batch are the teacher's.")
    similarity_weight: float = Field(0.0, ge=0, description="Weight of L_sim, eq. (9): who is near in the batch is as the teacher says.")
    temperature: float = Field(0.1, gt=0, description="Of the two softmaxes of L_sim.")

    @property
    def asks_teacher(self) -> bool:
        """Whether any loss reads what the teacher says."""
        return any((self.feature_weight, self.distance_weight, self.angle_weight, self.similarity_weight))


def without_effect(stage: str, settings: RkdDistill) -> dict[str, str]:
    """Settings of a loss that is left out, and what leaves it out."""
    idle: dict[str, str] = {}
    if settings.id_weight == 0:
        idle["smoothing"] = "id_weight = 0"
    if settings.triplet_weight == 0:
        idle |= dict.fromkeys(("margin", "triplet_normalise"), "triplet_weight = 0")
    if settings.similarity_weight == 0:
        idle["temperature"] = "similarity_weight = 0"
    return idle
