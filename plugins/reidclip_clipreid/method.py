"""CLIP-ReID in the paper's order: learn prompts (section 3.2), then fine-tune the image encoder with them (section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from reidclip.clip.prompts import PromptLearner
from reidclip.interfaces import StageContext, TrainStage
from reidclip.train.features import frozen_features
from reidclip.train.model_inputs import similarity_of
from reidclip.train.prompt_stage import PromptStage, prompt_learner
from reidclip.train.reid_model import ReidOutputs
from reidclip.train.targets import identity_targets
from reidclip_clipreid.baseline import BaselineStage, encoder
from reidclip_clipreid.equations import eq05_stage1, eq08_image_to_text_cross_entropy
from reidclip_clipreid.settings import ClipReidFinetune, ClipReidPrompts

__all__ = ["encoder", "finetune_stages", "prompt_stages", "prompt_tensors"]


def prompt_stages(context: StageContext) -> Sequence[TrainStage]:
    """Stage 1: one context per identity against frozen image features, eq. (5)."""
    settings: ClipReidPrompts = context.settings
    rule = similarity_of(context.clip, settings)
    learner = prompt_learner(context.clip, settings.template, settings.tokens, len(context.labels.pids), context.seed)
    features = frozen_features(context, settings)["x"]
    losses = lambda V, T, y: eq05_stage1(V, T, y, rule)  # noqa: E731
    return [PromptStage(features, identity_targets(context), learner, settings, losses, context.seed, "identity")]


def prompt_tensors(context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
    """Contexts (K, M, width) and the K text features that stage 2 holds frozen, (K, D)."""
    learner: PromptLearner = stages[0].module
    return {"identity.context": learner.contexts.detach(), "identity.text": learner.all_features().detach()}


class ClipReidStage(BaselineStage):
    """L_stage2 = L_id + L_tri + L_i2tce, eq. (6)-(8): the baseline's losses and the image-to-text cross-entropy."""

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.rule = similarity_of(context.clip, context.settings)
        self.text = context.prompts["identity.text"].to(context.device) if context.prompts is not None else None

    def weights(self) -> dict[str, float]:
        """The baseline's, and the weight of eq. (8)."""
        return {**super().weights(), "i2tce": self.settings.i2tce_weight}

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Eq. (8) reads the projected feature before its BatchNorm."""
        settings: ClipReidFinetune = self.settings
        losses = super().losses(batch, outputs)
        if settings.i2tce_weight > 0:
            losses["i2tce"] = eq08_image_to_text_cross_entropy(outputs.projected, self.text, batch["pid"], self.rule, settings.smoothing)
        return losses


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """Stage 2: image encoder and heads, text frozen."""
    return [ClipReidStage(context)]
