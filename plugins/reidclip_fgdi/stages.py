"""Stages 1 and 2 as the training loop sees them: the warm-up on pictures, and tokens learned against the warmed encoder's features."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from reidclip.data.samplers import shuffled_batches
from reidclip.interfaces import ParamGroup, StageContext, Update
from reidclip.train.features import frozen_features
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.id_loss import identity_losses
from reidclip.train.model_inputs import SimilarityRule
from reidclip.train.prompt_stage import Learner, PromptStage
from reidclip.train.reid_model import ReidModel, ReidOutputs
from reidclip.train.schedule import warmup_cosine
from reidclip.train.settings import IdLossSettings
from reidclip_fgdi import equations as eq
from reidclip_fgdi.domains import DomainClassifier
from reidclip_fgdi.settings import FgdiPrompts


class IdentityStage(FinetuneStage):
    """Image encoder and heads, identity and triplet losses: stage 1, and what stage 3 adds text to."""

    name = "warm-up"

    def __init__(self, context: StageContext, settings: IdLossSettings) -> None:
        self.model = ReidModel(copy.deepcopy(context.clip.image_encoder), len(context.labels.pids)).to(context.device)
        super().__init__(context, settings, self.model)
        self.identity = settings
        groups = stage_groups(self.model.named_parameters(), settings)
        self.updates = [Update(self.name, groups, stage_schedule(settings), self.losses, self.weights())]

    def weights(self) -> dict[str, float]:
        """Weights of the named losses."""
        return {"id": self.identity.id_weight, "triplet": self.identity.triplet_weight}

    def forward(self, batch: Mapping[str, Tensor]) -> ReidOutputs:
        """Features and identity logits of the augmented pictures."""
        outputs: ReidOutputs = self.model(self.prepare(batch)["x"], batch["camid"])
        return outputs

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Eq. (1) on both classifiers, eq. (2) on up to three features."""
        return identity_losses(outputs, batch["pid"], self.identity, eq.eq01_identity, eq.eq02_triplet)


class WarmedFeatures:
    """Projected features of all training pictures by the warmed encoder: computed when first asked for, which is after stage 1."""

    def __init__(self, context: StageContext, settings: FgdiPrompts, warmed: ReidModel | None) -> None:
        self.context, self.settings, self.warmed = context, settings, warmed

    def __call__(self) -> Tensor:
        """(N, D), on the context's device."""
        return self._table

    @cached_property
    def _table(self) -> Tensor:
        context = self.context
        if self.warmed is not None:
            clip = dataclasses.replace(context.clip, image_encoder=self.warmed.encoder, digest=_digest(self.warmed.encoder))
            context = dataclasses.replace(context, clip=clip)
        return frozen_features(context, self.settings)["x"]


def _digest(encoder: nn.Module) -> str:
    """SHA-256 of the weights: features that an interrupted run kept belong to them alone."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class TokenStage(PromptStage):
    """Stage 2: tokens against frozen features, eq. (7), beside a classifier that guesses the texts' domains.

    Args:
        learner: of identity or of domain tokens.
        homes: (K,) domain of every identity; None leaves the classifier out.
        epochs: of this stage.
        alpha: weight of the classifier's loss.
        reversal: strength of the gradient reversal, or None: the tokens do not see the classifier.
        name: "identity" or "domain".
    """

    def __init__(
        self,
        context: StageContext,
        features: WarmedFeatures,
        labels: Tensor,
        learner: Learner,
        homes: Tensor | None,
        rule: SimilarityRule,
        *,
        epochs: int,
        alpha: float,
        reversal: float | None,
        name: str,
    ) -> None:
        s: FgdiPrompts = context.settings
        timed = s.model_copy(update={"epochs": epochs})
        super().__init__(features, labels, learner, timed, lambda V, T, y: {}, context.seed, name)
        self.rule, self.homes = rule, homes
        module: dict[str, nn.Module] = {"tokens": self.module}
        groups = [ParamGroup("contexts", [("tokens.contexts", learner.contexts)], s.lr, s.weight_decay)]
        if homes is not None:
            self.classifier = DomainClassifier(context.clip.joint_width, len(context.labels.domains), s.classifier_width, reversal)
            module["domain"] = self.classifier.to(context.device)
            named = [(f"domain.{n}", p) for n, p in self.classifier.named_parameters()]
            # The program's rates at the ends of the schedule are absolute, so that the classifiers' curve has another shape.
            own = warmup_cosine(s.classifier_lr, s.warmup_lr, s.min_lr, epochs, s.warmup_epochs)
            groups.append(ParamGroup("classifier", named, s.classifier_lr, s.weight_decay, own))
        self.module = nn.ModuleDict(module)
        schedule = warmup_cosine(s.lr, s.warmup_lr, s.min_lr, epochs, s.warmup_epochs)
        self.updates = [Update(name, groups, schedule, self.losses, eq.eq07_tokens_weights(alpha))]

    def losses(self, batch: Mapping[str, Tensor], text: Tensor) -> dict[str, Tensor]:
        """Eq. (3), (4) and, with domains, (6)."""
        V, y = batch["features"], batch["labels"]
        losses = {"i2t": eq.eq03_image_to_text(V, text, y, self.rule), "t2i": eq.eq04_text_to_image(V, text, y, self.rule)}
        if self.homes is not None:
            losses["domain"] = eq.eq06_domain(self.classifier(text), self.homes[y])
        return losses

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        """All pictures, shuffled as CLIP-ReID does, or in the one order of the published program."""
        s: FgdiPrompts = self.settings
        fixed = s.order == "fixed"
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, 0 if fixed else epoch]))
        batches = shuffled_batches(len(self.labels), s.batch_size, generator)
        return batches[:-1] if s.drop_last and len(batches) > 1 and len(batches[-1]) < s.batch_size else batches

    def set_mode(self, training: bool) -> None:
        """The classifier has a BatchNorm; the text encoder stays as it is."""
        self.module.train(training)
