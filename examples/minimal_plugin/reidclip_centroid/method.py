"""One stage: what is trained, and with which losses. The toolkit's loop does the rest."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.formulas.losses import cross_entropy_label_smooth
from reidclip.interfaces import StageContext, TrainStage, Update
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.reid_model import ReidModel, ReidOutputs


def centre_pull(features: Tensor, y: Tensor) -> Tensor:
    """Mean of 1 - cos(f_i, c_{y_i}), c the mean direction of an identity's pictures in the batch; (B, D), (B,) -> scalar."""
    directions = F.normalize(features.float(), dim=1)
    same = (y[:, None] == y[None, :]).float()
    centres = F.normalize(same @ directions, dim=1)  # (B, D): each picture's own centre
    return (1 - (directions * centres).sum(1)).mean()


class CentroidStage(FinetuneStage):
    """L = id + pull_weight * pull, on CLIP's image encoder with a classifier on each of its two outputs."""

    def __init__(self, context: StageContext) -> None:
        settings = context.settings
        self.model = ReidModel(copy.deepcopy(context.clip.image_encoder), len(context.labels.pids)).to(context.device)
        super().__init__(context, settings, self.model)
        groups = stage_groups(self.model.named_parameters(), settings)
        self.updates = [Update("main", groups, stage_schedule(settings), self.losses, {"pull": settings.pull_weight})]

    def forward(self, batch: Mapping[str, Tensor]) -> ReidOutputs:
        """Features and logits of the augmented pictures."""
        outputs: ReidOutputs = self.model(self.prepare(batch)["x"], batch["camid"])
        return outputs

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Named, unweighted scalars."""
        y = batch["pid"]
        logits = torch.cat([outputs.score_pooled, outputs.score_projected])
        identity = cross_entropy_label_smooth(logits, y.repeat(2), self.settings.smoothing)
        return {"id": identity, "pull": centre_pull(outputs.projected, y)}


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """The stages of ``reidclip finetune --method centroid``."""
    return [CentroidStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """What inference uses: the trained image encoder."""
    stage = stages[-1]
    assert isinstance(stage, CentroidStage)
    return stage.model.for_inference(stage.normalisation, stage.settings)
