"""CILP-FGDI in the paper's order: warm the encoder up, learn tokens without and with the domain, let both texts guide the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from reidclip.clip.prompts import PromptLearner
from reidclip.errors import UserError
from reidclip.interfaces import StageContext, TrainStage
from reidclip.train.model_inputs import similarity_of
from reidclip.train.prompt_stage import prompt_learner
from reidclip.train.reid_model import ReidModel, ReidOutputs
from reidclip.train.targets import identity_targets
from reidclip_fgdi import equations as eq
from reidclip_fgdi.domains import DomainPromptLearner, domain_template, homes_of
from reidclip_fgdi.settings import FgdiFinetune, FgdiPrompts
from reidclip_fgdi.stages import IdentityStage, TokenStage, WarmedFeatures

_MODEL = "model."  # what names of the warmed model's tensors begin with in a prompts artifact


# ---------------------------------------------------------------------------------------------- stages 1 and 2: prompt-learn
def prompt_stages(context: StageContext) -> Sequence[TrainStage]:
    """Warm-up, eq. (1)(2); identity tokens, eq. (3)-(7); domain tokens, the same with the domain's prompt and without reversal."""
    s: FgdiPrompts = context.settings
    # Domains and templates first: what is wrong with them is told before anything is trained.
    homes = homes_of(context) if s.reads_domains else None
    sentence = domain_template(context.clip, s.domain_template, s.tokens, s.domain_tokens)
    identity = prompt_learner(context.clip, s.template, s.tokens, len(context.labels.pids), context.seed)
    rule, y = similarity_of(context.clip, s), identity_targets(context)
    warm = IdentityStage(context, s.stage1) if s.warm_epochs else None
    V = WarmedFeatures(context, s, warm.model if warm else None)
    judged = homes if s.adversarial_weight else None
    stages: list[TrainStage] = [warm] if warm else []
    stages += [
        TokenStage(context, V, y, identity, judged, rule, epochs=s.epochs, alpha=s.adversarial_weight, reversal=s.reversal, name="identity")
    ]
    if s.domain_epochs:
        assert homes is not None
        domain = DomainPromptLearner(sentence, identity, homes, context.seed + 1)
        # The domain tokens never see their classifier, so its weight changes nothing; it tells how well a text gives its domain away.
        alpha = s.adversarial_weight or 1.0
        stages += [TokenStage(context, V, y, domain, homes, rule, epochs=s.domain_epochs, alpha=alpha, reversal=None, name="domain")]
    return stages


def prompt_tensors(context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
    """Contexts and texts, and the warmed model.

    ``identity.context`` (K, M, width), ``identity.text`` (K, D); ``domain.context`` (S, N, width), ``identity.relevant`` (K, D): each
    identity's text with the token of its own domain; ``model.*``: encoder and heads as stage 1 left them.
    """
    tensors: dict[str, Tensor] = {}
    for stage in stages:
        if isinstance(stage, IdentityStage):
            tensors |= {f"{_MODEL}{name}": value.detach() for name, value in stage.model.state_dict().items()}
        else:
            assert isinstance(stage, TokenStage)
            learner = stage.learner
            assert isinstance(learner, (PromptLearner, DomainPromptLearner))
            first = isinstance(learner, PromptLearner)
            context_name, text_name = ("identity.context", "identity.text") if first else ("domain.context", "identity.relevant")
            tensors |= {context_name: learner.contexts.detach(), text_name: learner.all_features()}
    return tensors


# --------------------------------------------------------------------------------------------------------- stage 3: finetune
class FgdiStage(IdentityStage):
    """Eq. (10): identity, triplet, the image-to-text cross-entropy and L_apn, which knows the way from domain-relevant to invariant."""

    name = "main"

    def __init__(self, context: StageContext) -> None:
        s: FgdiFinetune = context.settings
        self.text = s
        super().__init__(context, s)
        prompts = context.prompts or {}
        if s.warm:
            _load_warmed(self.model, prompts)
        self.rule = similarity_of(context.clip, s)
        self.invariant = prompts["identity.text"].to(context.device) if s.reads_text else None
        self.relevant = _domain_text(prompts).to(context.device) if s.reads_text and s.beta > 0 else None

    def weights(self) -> dict[str, float]:
        """Eq. (10)."""
        s = self.text
        return eq.eq10_stage3_weights(s.id_weight, s.triplet_weight, s.text_weight, s.beta)

    def losses(self, batch: Mapping[str, Tensor], outputs: ReidOutputs) -> dict[str, Tensor]:
        """Eq. (1), (2), (9) and the form of (8), (12) or (13) that the settings name; texts meet the projected feature."""
        s, y = self.text, batch["pid"]
        losses = super().losses(batch, outputs)
        if self.invariant is not None and s.beta < 1:
            losses["i2tce"] = eq.eq09_image_to_text_cross_entropy(outputs.projected, self.invariant, y, self.rule, s.smoothing)
        if self.invariant is not None and self.relevant is not None:
            losses["apn"] = self._guidance(outputs.projected, y, self.invariant, self.relevant)
        return losses

    def _guidance(self, V: Tensor, y: Tensor, T: Tensor, N: Tensor) -> Tensor:
        """L_apn in the form that the settings name."""
        s = self.text
        if s.apn == "con":
            return eq.eq12_contrastive(V, T, N, y, self.rule)
        if s.apn == "apnce":
            return eq.eq13_joint(V, T, N, y, self.rule, s.smoothing)
        positive, negative = (T[y], N[y]) if s.apn_sign == "paper" else (N[y], T[y])
        if s.apn == "cs":
            return eq.eq08_cosine(V, positive, negative, s.apn_margin)
        return eq.eq08_distance(V, positive, negative, s.apn_margin, s.apn_normalise)


def _load_warmed(model: ReidModel, prompts: Mapping[str, Tensor]) -> None:
    """Encoder and heads as stage 1 left them.

    Raises:
        UserError: the prompts hold none, or one of another architecture or input size.
    """
    state = {name.removeprefix(_MODEL): value for name, value in prompts.items() if name.startswith(_MODEL)}
    if not state:
        raise UserError(
            "These prompts were learned without a warm-up and hold no warmed encoder.",
            "Start from the plain CLIP with --set warm=false, or learn prompts with --set warm_epochs=3.",
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            "The warmed encoder in these prompts is not of the kind that these settings build (input size, stride, cameras).",
            "Give finetune the height, width, stride and sie_camera that the prompts were learned with, or start from the plain CLIP with "
            "--set warm=false.",
        ) from error


def _domain_text(prompts: Mapping[str, Tensor]) -> Tensor:
    if "identity.relevant" not in prompts:
        raise UserError(
            "These prompts were learned without domain tokens, which L_apn needs.",
            "Leave it out with --set beta=0, or learn prompts with --set domain_epochs=30.",
        )
    return prompts["identity.relevant"]


def finetune_stages(context: StageContext) -> Sequence[TrainStage]:
    """Stage 3: image encoder and heads, texts frozen."""
    return [FgdiStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the image encoder: pooled and projected features before the BatchNorms, joined."""
    stage = stages[-1]
    assert isinstance(stage, FgdiStage)
    return stage.model.for_inference(stage.normalisation, context.settings)
