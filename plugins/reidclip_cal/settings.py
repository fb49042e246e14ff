"""Every hyper-parameter of CAL beyond the shared ones. Defaults: the published configuration of LTCC, PRCC and VC-Clothes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reidclip.train.settings import IdLossSettings


class CalFinetune(IdLossSettings):
    """Alternating training of clothes classifier and encoder: Adam 3.5e-4, 60 epochs, batches of 8 x 8, clothes from epoch 25 on."""

    epochs: int = Field(60, ge=0, description="Passes of the sampler over the training pictures.")
    sampler: Literal["pk", "chunk"] = Field(
        "chunk", description="Batches: 'pk' of P distinct identities (CLIP-ReID); 'chunk' of P chunks of one identity each (CAL)."
    )
    identities: int = Field(8, gt=1, description="P, identities (or chunks) per batch.")
    images_per_identity: int = Field(8, gt=1, description="K, pictures per identity.")
    lr: float = Field(3.5e-4, gt=0, description="Adam's rate, which the schedule scales.")
    weight_decay: float = Field(5e-4, ge=0, description="L2 decay inside Adam (not decoupled), on every parameter.")
    bias_lr_factor: float = Field(1.0, gt=0, description="Parameters whose name contains 'bias' train at lr times this.")
    milestones: tuple[int, ...] = Field((20, 40), description="Epochs at which the rate drops to a tenth (multistep).")
    first_index: int = Field(
        0, ge=0, description="Number of the first epoch in the multi-step schedule: 1 in CLIP-ReID (stepped as an epoch begins), 0 in CAL."
    )
    warmup_epochs: int = Field(0, ge=0, description="Epochs in which the rate rises linearly from warmup_factor times lr.")
    resize: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Resize filter; a ResNet-50 takes it at test time too (or test_resize, if bicubic)."
    )
    crop: Literal["pad", "enlarge"] = Field(
        "enlarge", description="Random crop: 'pad' pads with black first (CLIP-ReID); 'enlarge' enlarges to 1.125 times both sides (CAL)."
    )
    erasing: Literal["noise", "colour"] = Field(
        "colour", description="What fills the erased box: 'noise' (CLIP-ReID), or one 'colour' in boxes of up to 0.4 of the picture (CAL)."
    )
    pooling: Literal["max+avg", "avg", "max"] = Field("max+avg", description="Pooling of a ResNet-50's last map; others keep their own.")

    id_loss: Literal["softmax", "cosface", "arcface", "circle"] = Field(
        "softmax", description="L_ID: (smoothed) cross-entropy on linear classifiers, or a margin loss on one cosine classifier."
    )
    id_weight: float = Field(1.0, ge=0, description="Weight of L_ID, on each classifier (a ResNet-50 has one, a CLIP two).")
    id_scale: float = Field(16.0, gt=0, description="Factor on the cosines of a margin loss.")
    id_margin: float = Field(0.0, ge=0, description="Margin of a margin loss.")
    pair_loss: Literal["triplet", "euclidean", "contrastive", "cosface", "circle"] = Field(
        "triplet",
        description="Loss between pictures: cosine 'triplet' and others behind BatchNorm (CAL), or CLIP-ReID's 'euclidean' triplet.",
    )
    triplet_weight: float = Field(0.0, ge=0, description="Weight of the pair loss (published: 0; 1 for LaST).")
    pair_scale: float = Field(16.0, gt=0, description="Factor on the cosines of pair losses other than triplets.")

    variant: Literal["classifier", "memory-published", "memory-mean", "none"] = Field(
        "classifier",
        description="What knows the clothes: a learned classifier, a memory of features (last picture of an outfit wins, as published; or "
        "their mean, as described), or nothing: then clothes labels are not needed.",
    )
    cal_start_epoch: int = Field(
        25, ge=0, description="First epoch, from 0, in which L_C and L_CA are trained; a training that ends before it never uses clothes."
    )
    cal_weight: float = Field(1.0, ge=0, description="Weight of L_CA (published: 1).")
    clothes_lr: float = Field(3.5e-4, gt=0, description="Rate of the clothes classifier, the same in every epoch.")
    scale: float = Field(16.0, gt=0, description="Factor on the clothes cosines.")
    epsilon: float = Field(0.1, ge=0, le=1, description="Share of L_CA's target that all outfits of the identity divide; 1: equal weights.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Share of the old feature in a full memory.")
    neck: Literal["model", "before", "after"] = Field(
        "model", description="Test feature before or after BatchNorm; 'model': after for a ResNet-50 as published, before for a CLIP."
    )

    @model_validator(mode="after")
    def _margin_of_pairs(self) -> CalFinetune:
        if self.margin is None and self.pair_loss != "euclidean":
            raise ValueError("a soft margin goes with pair_loss 'euclidean' only")
        return self


def without_effect(stage: str, settings: CalFinetune) -> dict[str, str]:
    """Settings of a part that is switched off, and what switches it off."""
    idle: dict[str, str] = {}
    if settings.variant == "none":
        idle |= dict.fromkeys(("cal_weight", "clothes_lr", "scale", "epsilon", "momentum"), "variant = none")
    elif settings.variant == "classifier":
        idle["momentum"] = "variant = classifier"
    else:
        idle["clothes_lr"] = f"variant = {settings.variant}"
    if settings.id_loss == "softmax":
        idle |= dict.fromkeys(("id_scale", "id_margin"), "id_loss = softmax")
    if settings.triplet_weight == 0:
        idle |= dict.fromkeys(("pair_loss", "pair_scale", "margin"), "triplet_weight = 0")
    return idle
