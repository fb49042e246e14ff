"""CAL: per iteration the clothes classifier learns to find the clothes in the feature, then the encoder to hide them from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from reidclip.errors import UserError
from reidclip.formulas.losses import batch_hard_triplet
from reidclip.interfaces import ParamGroup, StageContext, TrainStage, Update
from reidclip.train.clothes_classifier import ClothesClassifier, notes_on_start
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.id_loss import TRIPLET_FEATURES
from reidclip.train.schedule import constant
from reidclip.train.targets import require_clothes
from reidclip_cal.equations import eq01_identity, eq07_weights
from reidclip_cal.losses import IDENTITY_MARGINS, PAIR_LOSSES
from reidclip_cal.memory import ClothesMemory
from reidclip_cal.model import CalModel, CalOutputs
from reidclip_cal.settings import CalFinetune


class CalStage(FinetuneStage):
    """Two alternating updates: (a) clothes, L_C, trains the clothes classifier alone; (b) main, L_ID + L_CA, trains the rest.

    With a memory in place of the classifier there is (b) alone; the memory is written as L_CA is computed.
    """

    def __init__(self, context: StageContext) -> None:
        s: CalFinetune = context.settings
        if s.variant != "none":
            require_clothes(context.train, "Or train without them: --set variant=none.")
        self.model = CalModel(copy.deepcopy(context.clip.image_encoder), len(context.labels.pids), s)
        self.clothes = _clothes(s, self.model.width, context)
        _check_pairs(s, self.model)
        parts = {"model": self.model, "clothes": self.clothes}
        super().__init__(context, s, nn.ModuleDict({name: part for name, part in parts.items() if part is not None}).to(context.device))
        self.updates = self._updates(s)
        self.notes = notes_on_start(s.cal_start_epoch, s.epochs, "variant=none") if self.clothes is not None else ()

    def _updates(self, s: CalFinetune) -> list[Update]:
        weights = eq07_weights(s.id_weight, s.cal_weight, s.triplet_weight)
        groups = stage_groups([(f"model.{name}", p) for name, p in self.model.trained()], s)
        main = Update("main", groups, stage_schedule(s), self.losses, {name: w for name, w in weights.items() if name in self._named(s)})
        if not isinstance(self.clothes, ClothesClassifier):
            return [main]
        learned = [(f"clothes.{name}", p) for name, p in self.clothes.named_parameters()]
        return [Update("clothes", [ParamGroup("clothes", learned, s.clothes_lr, s.weight_decay)], constant(), self.find_clothes), main]

    @staticmethod
    def _named(s: CalFinetune) -> set[str]:
        return {"id"} | ({"ca"} if s.variant != "none" else set()) | ({"pair"} if s.triplet_weight else set())

    @property
    def begun(self) -> bool:
        """Whether clothes are trained on in the running epoch."""
        return self.epoch >= self.settings.cal_start_epoch

    def forward(self, batch: Mapping[str, Tensor]) -> CalOutputs:
        """Features and identity scores of the augmented pictures."""
        outputs: CalOutputs = self.model(self.prepare(batch)["x"], batch["camid"])
        return outputs

    def find_clothes(self, batch: Mapping[str, Tensor], outputs: CalOutputs) -> dict[str, Tensor]:
        """Update (a): L_C, eq. (3), on features cut from the graph; no step before its epoch."""
        return {"clothes": self.clothes.learn(outputs.f, batch)} if self.begun else {}

    def losses(self, batch: Mapping[str, Tensor], outputs: CalOutputs) -> dict[str, Tensor]:
        """Update (b): L_ID, the pair loss and, from its epoch on, L_CA against the clothes classifier as just updated, eq. (7)."""
        s: CalFinetune = self.settings
        losses = {"id": self._identity(outputs, batch["pid"])}
        if s.triplet_weight:
            losses["pair"] = self._pair(outputs, batch["pid"])
        if self.clothes is not None and self.begun:
            losses["ca"] = self.clothes.forget(outputs.f, batch)
        return losses

    def _identity(self, outputs: CalOutputs, y: Tensor) -> Tensor:
        """L_ID, summed over the classifiers."""
        s: CalFinetune = self.settings
        if s.id_loss != "softmax":
            return IDENTITY_MARGINS[s.id_loss](outputs.scores[0], y, s.id_scale, s.id_margin)
        return sum((eq01_identity(scores, y, s.smoothing) for scores in outputs.scores), start=outputs.f.new_zeros(()))

    def _pair(self, outputs: CalOutputs, y: Tensor) -> Tensor:
        """On the feature behind BatchNorm; the Euclidean triplet on those before it that the settings name, summed, as CLIP-ReID does."""
        s: CalFinetune = self.settings
        if s.pair_loss != "euclidean":
            return PAIR_LOSSES[s.pair_loss](outputs.f, y, s.pair_scale, s.margin)
        named = zip(("last", "pooled", "projected"), outputs.encoded, strict=False)
        chosen = [feature for name, feature in named if name in TRIPLET_FEATURES[s.triplet_features]]
        return sum((batch_hard_triplet(feature, y, s.margin, s.triplet_normalise) for feature in chosen), start=outputs.f.new_zeros(()))


def _check_pairs(s: CalFinetune, model: CalModel) -> None:
    if not model.encoder.joint_width and s.triplet_weight and (s.pair_loss, s.triplet_features) == ("euclidean", "projected"):
        raise UserError(
            "triplet_features = 'projected': this image encoder has no joint space with text, so no such feature.",
            "Take --set triplet_features=all, or --set pair_loss=triplet.",
        )


def _clothes(s: CalFinetune, width: int, context: StageContext) -> ClothesClassifier | ClothesMemory | None:
    """What knows the clothes, by variant."""
    if s.variant == "none":
        return None
    if s.variant == "classifier":
        return ClothesClassifier(width, context.labels, context.seed, s.scale, s.epsilon)
    update = "mean" if s.variant == "memory-mean" else "published"
    return ClothesMemory(width, context.labels, update, s.momentum, s.scale, s.epsilon)


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """One stage; what needs clothes begins within it."""
    return [CalStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the image encoder and, where the test feature is taken behind it, its BatchNorm."""
    stage = stages[-1]
    assert isinstance(stage, CalStage)
    return stage.model.inference_encoder(stage.normalisation, context.settings)
