"""SCI in the paper's order: separate identity from clothes in text, then let the separated text guide the image encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from reidclip.clip.context_block import with_context_block
from reidclip.clip.prompts import PromptLearner
from reidclip.errors import UserError
from reidclip.formulas.losses import batch_hard_triplet
from reidclip.interfaces import ParamGroup, StageContext, TrainStage, Update
from reidclip.train.clothes_classifier import ClothesClassifier, notes_on_start
from reidclip.train.features import frozen_features
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.id_loss import identity_losses
from reidclip.train.model_inputs import SimilarityRule, similarity_of
from reidclip.train.optim import param_groups
from reidclip.train.prompt_stage import PromptStage, prompt_learner
from reidclip.train.reid_model import ReidOutputs
from reidclip.train.schedule import constant
from reidclip.train.targets import identity_targets
from reidclip_sci import equations as eq
from reidclip_sci.interaction import GuidedModel, TextGuide
from reidclip_sci.outfits import Outfits, outfits_of
from reidclip_sci.separation import SeparationStage, Texts
from reidclip_sci.settings import SciFinetune, SciPrompts, finetune_reads_clothes, finetune_reads_prompts

_ONE_OUTFIT = "Or take every identity for one outfit: --set clothes_from=identity, in prompt-learn and finetune."


# ------------------------------------------------------------------------------------------------- stage 1: prompt learning
def prompt_stages(context: StageContext) -> Sequence[TrainStage]:
    """Identity and clothes prompts together, eq. (5)-(12); without sse identity prompts alone, eq. (3)(4)."""
    s: SciPrompts = context.settings
    rule = similarity_of(context.clip, s)
    # Labels and templates first: what is wrong with them is told before the minutes that encoding all pictures takes.
    outfits = outfits_of(context, s.clothes_from, _ONE_OUTFIT) if s.sse else None
    y = identity_targets(context)
    identity = prompt_learner(context.clip, s.template, s.tokens, len(context.labels.pids), context.seed)
    if outfits is None:
        V = frozen_features(context, s)["x"]
        return [PromptStage(V, y, identity, s, partial(_plain_losses, rule), context.seed, "identity")]
    clothes = prompt_learner(context.clip, s.clothes_template, s.tokens, len(outfits.owners), context.seed + 1)
    V = frozen_features(context, s)["x"]
    return [SeparationStage(V, y, outfits.targets, identity, clothes, s, partial(_separation_losses, rule, s), context.seed)]


def _plain_losses(rule: SimilarityRule, V: Tensor, t_id: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"i2t": eq.eq03_image_to_text(V, t_id, y, rule), "t2i": eq.eq04_text_to_image(V, t_id, y, rule)}


def _separation_losses(rule: SimilarityRule, s: SciPrompts, V: Tensor, text: Texts, y: Tensor) -> dict[str, Tensor]:
    t_orth = eq.eq06_orthogonal_text(text.identity, text.clothes)
    sse = eq.eq09_separation(eq.eq07_identity_similarity(V, t_orth), eq.eq08_clothes_similarity(V, text.clothes), s.alpha, s.beta)
    i2t, t2i = eq.eq10_image_to_orthogonal_text(V, t_orth, y, rule), eq.eq11_orthogonal_text_to_image(V, t_orth, y, rule)
    return eq.eq12_stage1(i2t, t2i, sse)


def prompt_tensors(context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
    """Contexts and text features: identity (K, M, width) and (K, D), clothes (Kc, M, width) and (Kc, D), and t_orth per outfit (Kc, D)."""
    (stage,) = stages
    module = stage.module
    learners: dict[str, PromptLearner] = {"identity": module} if isinstance(module, PromptLearner) else dict(module.items())
    tensors: dict[str, Tensor] = {}
    for name, learner in learners.items():
        tensors[f"{name}.context"] = learner.contexts.detach()
        tensors[f"{name}.text"] = learner.all_features().detach()
    if "clothes" in learners:  # an outfit has one owner, so what its text leaves of the owner's is a table
        owners = outfits_of(context, context.settings.clothes_from, _ONE_OUTFIT).owners
        tensors["clothes.orthogonal"] = eq.eq06_orthogonal_text(tensors["identity.text"][owners], tensors["clothes.text"])
    return tensors


# ------------------------------------------------------------------------------------------------- stage 2: interaction
class SciStage(FinetuneStage):
    """Eq. (21). Per iteration two alternating updates, as CAL publishes them: the clothes classifier, then everything else."""

    def __init__(self, context: StageContext) -> None:
        s: SciFinetune = context.settings
        self.outfits = outfits_of(context, s.clothes_from, _ONE_OUTFIT) if finetune_reads_clothes(s) else None
        self.queries, self.texts = _texts(context, s, self.outfits)
        kind = None if not s.sim or s.context_block == "none" else s.context_block
        encoder = with_context_block(context.clip.image_encoder, kind, context.seed)
        self.model = GuidedModel(encoder, len(context.labels.pids))
        if s.sim:
            self.model.guide = TextGuide(encoder.joint_width, encoder.pooled_width, s.text_residual)
        module = nn.ModuleDict({"model": self.model})
        self.clothes: ClothesClassifier | None = None
        if s.cal_weight > 0:
            assert self.outfits is not None
            width = encoder.pooled_width + encoder.joint_width
            self.clothes = ClothesClassifier(width, self.outfits.labels, context.seed, s.cal_scale, s.cal_epsilon)
            module["clothes"] = self.clothes
        super().__init__(context, s, module.to(context.device))
        self.rule = similarity_of(context.clip, s)
        self.updates = self._updates(s)
        self.notes = notes_on_start(s.first_cal_epoch, s.epochs, "cal_weight=0") if self.clothes is not None else ()

    def _updates(self, s: SciFinetune) -> list[Update]:
        named = [(n, p) for n, p in self.module.named_parameters() if not n.startswith("clothes.")]
        new = [(n, p) for n, p in named if ".context_block." in n or ".guide." in n]
        old = [(n, p) for n, p in named if not (".context_block." in n or ".guide." in n)]
        groups = [*stage_groups(old, s), *param_groups(new, s.interaction_lr, s.weight_decay, s.bias_lr_factor, name="interaction")]
        weights = eq.eq21_weights(s.id_weight, s.cal_weight, s.i2tce_weight, s.triplet_weight)
        main = Update("main", groups, stage_schedule(s), self.losses, weights)
        if self.clothes is None:
            return [main]
        classifier = ParamGroup("clothes", [("clothes.weight", self.clothes.weight)], s.clothes_lr, s.weight_decay)
        return [Update("clothes", [classifier], constant(), self.clothes_losses), main]

    def forward(self, batch: Mapping[str, Tensor]) -> ReidOutputs:
        """Features, ``projected`` guided by each picture's own text, and identity logits."""
        outputs: ReidOutputs = self.model(self.prepare(batch)["x"], batch["camid"], self._text_of(batch))
        return outputs

    def _text_of(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """(B, D) query of eq. (15): t_orth of the picture's outfit, or its identity's text without sse."""
        if self.queries is None:
            return None
        return self.queries[self.outfits.of(batch) if self.outfits is not None and self.settings.sse else batch["pid"]]

    def _judged(self, outputs: ReidOutputs) -> Tensor:
        """(B, W + D) feature that shall not tell the clothes: what inference compares, or the same behind BatchNorm."""
        return torch.cat(outputs.necked if self.settings.cal_feature == "after" else (outputs.pooled, outputs.projected), dim=1)

    def _cal(self) -> ClothesClassifier | None:
        """The clothes classifier, once it has begun."""
        return self.clothes if self.epoch >= self.settings.first_cal_epoch else None

    def clothes_losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Update "clothes": find the outfit in the feature, which is cut from the graph."""
        classifier = self._cal()
        return {} if classifier is None else {"clothes": classifier.learn(self._judged(outputs), self._worn(batch))}

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Update "main": eq. (18)-(20), and the triplet loss where it has a weight."""
        s: SciFinetune = self.settings
        y = batch["pid"]
        losses = identity_losses(outputs, y, s, eq.eq18_identity, batch_hard_triplet)
        if s.triplet_weight == 0:
            del losses["triplet"]
        if (classifier := self._cal()) is not None:
            losses["cal"] = classifier.forget(self._judged(outputs), self._worn(batch))
        if self.texts is not None:
            losses["i2tce"] = eq.eq20_image_to_text_cross_entropy(outputs.projected, self.texts, y, self.rule, s.smoothing)
        return losses

    def _worn(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The labels that the clothes classifier reads."""
        assert self.outfits is not None
        return {"pid": batch["pid"], "clothes": self.outfits.of(batch)}


def _texts(context: StageContext, s: SciFinetune, outfits: Outfits | None) -> tuple[Tensor | None, Tensor | None]:
    """Queries of eq. (15), a row per outfit or, without sse, per identity, and T of eq. (20), (K, D); None where they are not read.

    Raises:
        UserError: prompts learned with another ``sse`` or ``clothes_from``.
    """
    prompts = context.prompts
    if prompts is None or not finetune_reads_prompts(s):
        return None, None
    if s.sse != ("clothes.orthogonal" in prompts):
        learned, asked = ("without", "on") if s.sse else ("with", "off")
        raise UserError(
            f"The prompts were learned {learned} semantic separation, these settings have sse {asked}.",
            f"Fine-tune with --set sse={str(not s.sse).lower()}, or learn prompts with --set sse={str(s.sse).lower()}.",
        )
    queries = T = prompts["identity.text"].to(context.device)
    if outfits is not None and s.sse:
        queries = prompts["clothes.orthogonal"].to(context.device)
        if len(queries) != len(outfits.owners):
            raise UserError(
                f"The prompts are of {len(queries)} outfits, these settings know {len(outfits.owners)}.",
                "Give prompt-learn and finetune the same clothes_from.",
            )
        if s.i2tce_text == "orthogonal":
            T = eq.identity_texts(queries, outfits.owners, len(T))
    return queries if s.sim else None, T if s.i2tce_weight > 0 else None


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """Stage 2: image encoder with its context block, heads, text guide and clothes classifier; text frozen."""
    return [SciStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the image encoder with its context block: an unseen person has no text to be guided by."""
    stage = stages[-1]
    assert isinstance(stage, SciStage)
    return stage.model.for_inference(stage.normalisation, stage.settings)
