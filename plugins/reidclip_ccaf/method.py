"""CCAF in the paper's order: learn identity and clothes prompts, then fine-tune two streams against them; inference keeps one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reidclip.clip.prompts import PromptLearner
from reidclip.errors import UserError
from reidclip.interfaces import ParamGroup, StageContext, TrainStage, Update
from reidclip.train.features import frozen_features
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.id_loss import identity_losses
from reidclip.train.model_inputs import SimilarityRule, similarity_of
from reidclip.train.prompt_stage import PromptLosses, PromptStage, prompt_learner
from reidclip.train.reid_model import ReidModel, ReidOutputs
from reidclip.train.targets import clothes_targets, identity_targets, require_clothes
from reidclip_ccaf import equations as eq
from reidclip_ccaf.settings import CcafFinetune, CcafPrompts, finetune_reads_masks


# ------------------------------------------------------------------------------------------------- stage 1: prompt learning
def prompt_stages(context: StageContext) -> Sequence[TrainStage]:
    """Identity prompts on shielding images, clothes prompts on clothes images; eq. (16) is their sum, and they share no parameter."""
    settings: CcafPrompts = context.settings
    rule = similarity_of(context.clip, settings)
    # Labels and templates first: what is wrong with them is told before the minutes that encoding all pictures takes.
    identity = prompt_learner(context.clip, settings.template, settings.tokens, len(context.labels.pids), context.seed)
    parts: list[tuple[str, str, Tensor, PromptLearner, PromptLosses]] = [
        ("identity", "x_s", identity_targets(context), identity, partial(_identity_losses, rule))
    ]
    if settings.clothes_prompts:
        require_clothes(context.train, "Or learn identity prompts alone: --set clothes_prompts=false, and fine-tune with --set cfm=false.")
        clothes = prompt_learner(context.clip, settings.clothes_template, settings.tokens, len(context.labels.clothes), context.seed + 1)
        parts.append(("clothes", "x_c", clothes_targets(context), clothes, partial(_clothes_losses, rule)))
    features = frozen_features(context, settings, ("shield", "clothes") if settings.clothes_prompts else ("shield",))
    return [
        PromptStage(features[view], labels, learner, settings, losses, context.seed, name) for name, view, labels, learner, losses in parts
    ]


def _identity_losses(rule: SimilarityRule, f_s: Tensor, T: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"i2t": eq.eq05_image_to_text(f_s, T, y, rule), "t2i": eq.eq06_text_to_image(f_s, T, y, rule)}


def _clothes_losses(rule: SimilarityRule, f_c: Tensor, T: Tensor, c: Tensor) -> dict[str, Tensor]:
    return {"i2t_c": eq.eq12_clothes_image_to_text(f_c, T, c, rule), "t2i_c": eq.eq13_clothes_text_to_image(f_c, T, c, rule)}


def prompt_tensors(context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
    """Contexts and text features: identity (K, M, width) and (K, D), clothes (Kc, M, width) and (Kc, D)."""
    tensors: dict[str, Tensor] = {}
    for name, stage in zip(("identity", "clothes"), stages, strict=False):
        learner: PromptLearner = stage.module
        tensors[f"{name}.context"] = learner.contexts.detach()
        tensors[f"{name}.text"] = learner.all_features().detach()
    return tensors


# ------------------------------------------------------------------------------------------------- stage 2: two streams
class Streams(NamedTuple):
    """Outputs of one forward: the raw stream, and the shielding stream when i2i is on."""

    raw: ReidOutputs
    shield: ReidOutputs | None


class CcafStage(FinetuneStage):
    """Eq. (17). Per iteration two alternating updates: (a) examine trains Proj; (b) disentangle trains everything else."""

    def __init__(self, context: StageContext) -> None:
        s: CcafFinetune = context.settings
        if s.cfm:
            require_clothes(context.train, "Or train without them: --set cfm=false.")
        identities, clothes, joint = len(context.labels.pids), len(context.labels.clothes), context.clip.image_encoder.joint_width
        self.raw = ReidModel(copy.deepcopy(context.clip.image_encoder), identities)
        self.shield = ReidModel(copy.deepcopy(context.clip.image_encoder), identities) if s.i2i else None
        self.proj, self.clothes_head = _clothes_parts(s, joint, clothes, context.seed)
        parts = {"raw": self.raw, "shield": self.shield, "clothes_head": self.clothes_head}
        module = nn.ModuleDict({name: part for name, part in parts.items() if part is not None})
        if self.proj is not None:
            module.register_parameter("proj", self.proj)
        super().__init__(context, s, module.to(context.device), ("shield",) if finetune_reads_masks(s) else ())
        self.rule = similarity_of(context.clip, s)
        prompts = context.prompts or {}
        self.text = {name: tensor.to(context.device) for name, tensor in prompts.items() if name.endswith(".text")}
        if s.cfm and s.clothes_target == "prompts" and "clothes.text" not in self.text:
            raise UserError(
                "The prompts hold no clothes texts, which eq. (14) classifies against.",
                "Learn them with --set clothes_prompts=true, or fine-tune with --set clothes_target=onehot or --set cfm=false.",
            )
        self.updates = self._updates(s)

    def _updates(self, s: CcafFinetune) -> list[Update]:
        schedule = stage_schedule(s)
        streams = [(n, p) for n, p in self.module.named_parameters() if n.startswith(("raw.", "shield."))]
        weights = {"id": s.id_weight, "id_s": s.id_weight, "triplet": s.triplet_weight, "triplet_s": s.triplet_weight}
        main = Update("disentangle", stage_groups(streams, s), schedule, self.losses, {**weights, **eq.eq17_weights(s.lambda1, s.lambda2)})
        if not s.cfm:
            return [main]
        finders = [(n, p) for n, p in self.module.named_parameters() if n == "proj" or n.startswith("clothes_head.")]
        return [Update("examine", [ParamGroup("proj", finders, s.proj_lr, s.weight_decay)], schedule, self.examine), main]

    def forward(self, batch: Mapping[str, Tensor]) -> Streams:
        """Both streams see the same geometry and the same erased box."""
        views = self.prepare(batch)
        raw: ReidOutputs = self.raw(views["x"], batch["camid"])
        return Streams(raw, self.shield(views["x_s"], batch["camid"]) if self.shield is not None else None)

    def examine(self, batch: Mapping[str, Tensor], outputs: Streams) -> dict[str, Tensor]:
        """Update (a): let Proj find what of the raw feature tells the clothes, eq. (14)."""
        s: CcafFinetune = self.settings
        f, c = outputs.raw.projected, batch["clothes"]
        if self.clothes_head is not None:  # table 4: one-hot labels in place of clothes prompts
            return {"i2tce_c": eq.eq01_identity(self.clothes_head(eq.clothes_part(f, self.proj)), c, s.smoothing)}
        return {"i2tce_c": eq.eq14_examine(f, self.proj, self.text["clothes.text"], c, self.rule, s.smoothing)}

    def losses(self, batch: Mapping[str, Tensor], outputs: Streams) -> dict[str, Tensor]:
        """Update (b): eq. (1)-(3), (7)-(10) and (15)."""
        s: CcafFinetune = self.settings
        y = batch["pid"]
        losses = self._stream_losses(outputs.raw, y, "", s.raw_text)
        if outputs.shield is not None:
            losses |= self._stream_losses(outputs.shield, y, "_s", s.shield_text)
            losses["con"] = eq.eq10_centre_consistency(outputs.raw.projected, outputs.shield.projected, y, s.con_normalise)
        if self.proj is not None:
            losses["dis"] = eq.eq15_disentangle(outputs.raw.projected, self.proj, s.dis_sign)
        return losses

    def _stream_losses(self, outputs: ReidOutputs, y: Tensor, suffix: str, text: bool) -> dict[str, Tensor]:
        """L_id, eq. (1)-(3) or (8), on both classifiers and the chosen features, and L_i2tce, eq. (7) or (9), on the projected one."""
        s: CcafFinetune = self.settings
        losses = identity_losses(outputs, y, s, eq.eq01_identity, eq.eq02_triplet, suffix)
        if s.i2t and text:
            losses[f"i2tce{suffix}"] = eq.eq07_image_to_text_cross_entropy(
                outputs.projected, self.text["identity.text"], y, self.rule, s.smoothing
            )
        return losses


def _clothes_parts(s: CcafFinetune, joint: int, clothes: int, seed: int) -> tuple[nn.Parameter | None, nn.Linear | None]:
    """Proj (D, D), identity plus small noise, and the linear clothes classifier of table 4; None where they are not used."""
    if not s.cfm:
        return None, None
    generator = torch.Generator().manual_seed(seed)
    proj = nn.Parameter(torch.eye(joint) + s.proj_noise * torch.randn(joint, joint, generator=generator))
    return proj, nn.Linear(joint, clothes, bias=False) if s.clothes_target == "onehot" else None


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """Stage 2: raw stream, shielding stream and clothes feature minimisation together."""
    return [CcafStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the raw stream alone: no masks, no text, no extra cost."""
    stage = stages[-1]
    assert isinstance(stage, CcafStage)
    return stage.raw.for_inference(stage.normalisation, stage.settings)
