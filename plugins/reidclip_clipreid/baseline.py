"""The baseline: CLIP's image encoder with BNNecks, identity and triplet losses, no text. Stage 2 of CLIP-ReID without eq. (8)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from reidclip.interfaces import StageContext, TrainStage, Update
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.id_loss import identity_losses
from reidclip.train.reid_model import ReidModel, ReidOutputs
from reidclip_clipreid.equations import eq06_identity, eq07_triplet
from reidclip_clipreid.settings import BaselineFinetune


class BaselineStage(FinetuneStage):
    """L = 0.25 (L_id on both heads) + L_tri on three features; weights as published for ViT, all 1 for RN50."""

    def __init__(self, context: StageContext) -> None:
        settings: BaselineFinetune = context.settings
        model = ReidModel(copy.deepcopy(context.clip.image_encoder), len(context.labels.pids)).to(context.device)
        super().__init__(context, settings, model)
        self.model = model
        groups = stage_groups(model.named_parameters(), settings)
        self.updates = [Update("main", groups, stage_schedule(settings), self.losses, self.weights())]

    def weights(self) -> dict[str, float]:
        """Weights of the named losses, as the published configurations set them."""
        return {"id": self.settings.id_weight, "triplet": self.settings.triplet_weight}

    def forward(self, batch: Mapping[str, Tensor]) -> ReidOutputs:
        """Features and identity logits of the augmented pictures."""
        outputs: ReidOutputs = self.model(self.prepare(batch)["x"], batch["camid"])
        return outputs

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Eq. (6) on both classifiers and eq. (7) on up to three features, each summed as published."""
        return identity_losses(outputs, batch["pid"], self.settings, eq06_identity, eq07_triplet)


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """One stage: fine-tune the encoder and its heads."""
    return [BaselineStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the image encoder: pooled and projected features before the BatchNorms, joined."""
    stage = stages[-1]
    assert isinstance(stage, BaselineStage)
    return stage.model.for_inference(stage.normalisation, stage.settings)
