"""Every hyper-parameter of CILP-FGDI beyond the shared ones. Defaults: the paper's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from reidclip.train.settings import IdLossSettings, Margin, ModelSettings, PromptLearnSettings


class WarmUp(IdLossSettings):
    """Stage 1: how the image encoder is warmed up. The keys of fine-tuning, but for those that prompt-learn itself has."""

    identities: int = Field(32, gt=1, description="P, identities (or chunks) per batch.")
    id_weight: float = Field(1.0, ge=0, description="Weight of the identity loss on each of the two classifiers.")


class FgdiPrompts(PromptLearnSettings):
    """Stages 1 and 2: warm the encoder, then learn identity tokens, which shall not tell the domain, then domain tokens, which shall."""

    warm_epochs: int = Field(
        3, ge=0, description="Stage 1: epochs of identity and triplet loss alone; 0 learns prompts from the plain CLIP (two stages)."
    )
    warm_up: WarmUp = Field(default_factory=WarmUp, description="How stage 1 trains: --set warm_up.lr=1e-5; keys as of finetune.")
    adversarial_weight: float = Field(
        0.01, ge=0, description="alpha, weight of the domain-adversarial loss on identity texts; 0 leaves it out."
    )
    reversal: float = Field(0.1, gt=0, description="Strength of the gradient reversal before the domain classifier.")
    classifier_lr: float = Field(0.01, gt=0, description="Rate of both domain classifiers at the top of the prompts' schedule.")
    classifier_width: int = Field(128, gt=1, description="Width of the domain classifiers' hidden layer.")
    domain_epochs: int = Field(30, ge=0, description="Epochs in which the domain tokens are learned; 0 learns none.")
    domain_tokens: int = Field(1, gt=0, description="N, learned tokens per domain.")
    domain_template: str = Field(
        "A photo of a {X} person from {D} dataset.",
        description="Prompt of a domain: {X} stands for the identity's tokens, {D} for the N tokens of its domain.",
    )
    order: Literal["shuffled", "fixed"] = Field(
        "shuffled", description="Batches of prompt learning: shuffled anew in every epoch, or in one fixed order (published program)."
    )
    drop_last: bool = Field(False, description="Leave out the last partial batch of prompt learning (published program).")

    @field_validator("warm_up", mode="before")
    @classmethod
    def _only_its_own_keys(cls, value: Any) -> Any:
        given = value if isinstance(value, dict) else {}
        outside = sorted({"epochs", *ModelSettings.model_fields} & given.keys())
        if outside:
            name = "warm_epochs" if outside[0] == "epochs" else outside[0]
            raise ValueError(f"it has no key '{outside[0]}': set {name} of prompt-learn itself")
        return value

    @property
    def stage1(self) -> WarmUp:
        """Stage 1 with everything that it shares with this command."""
        shared = {name: getattr(self, name) for name in ModelSettings.model_fields}
        return self.warm_up.model_copy(update={**shared, "epochs": self.warm_epochs})

    @property
    def reads_domains(self) -> bool:
        """Whether anything here needs to know where a picture comes from."""
        return self.adversarial_weight > 0 or self.domain_epochs > 0


class FgdiFinetune(IdLossSettings):
    """Stage 3: ID + triplet + (1 - beta) i2tce + beta L_apn, from the warmed encoder."""

    identities: int = Field(32, gt=1, description="P, identities (or chunks) per batch.")
    id_weight: float = Field(1.0, ge=0, description="Weight of the identity loss on each of the two classifiers.")
    warm: bool = Field(True, description="Start from the encoder and heads that stage 1 warmed up; false: from the plain CLIP.")
    text_weight: float = Field(1.0, ge=0, description="Weight of the two losses with text together (paper: 1); 0 reads no text.")
    beta: float = Field(0.3, ge=0, le=1, description="Share of L_apn in the losses with text; 0 leaves it out (no domain tokens needed).")
    apn: Literal["ed", "cs", "con", "apnce"] = Field(
        "ed",
        description="L_apn: triplet by Euclidean distance (paper's best) or cosine (its headline numbers), contrastive, eq. (12), or one "
        "softmax with i2tce, eq. (13).",
    )
    apn_margin: Margin = Field(0.3, description="Margin of forms 'ed' and 'cs'; 'soft' means ln(1 + exp(.)).")
    apn_normalise: bool = Field(False, description="L2-normalise features before the distance of form 'ed'.")
    apn_sign: Literal["paper", "as-published"] = Field(
        "paper",
        description="'as-published' is the program's reversed sign, which pulls to the domain-relevant text; for comparison only.",
    )

    @model_validator(mode="after")
    def _sign_of_triplets(self) -> FgdiFinetune:
        if self.apn_sign == "as-published" and self.apn not in ("ed", "cs"):
            raise ValueError("apn_sign 'as-published' exists for the forms 'ed' and 'cs'")
        return self

    @property
    def reads_text(self) -> bool:
        """Whether learned texts take part in a loss."""
        return self.text_weight > 0

    @property
    def reads_prompts(self) -> bool:
        """Whether the prompts artifact is read: for its texts, or for the warmed encoder in it."""
        return self.reads_text or self.warm


def without_effect(stage: str, settings: FgdiPrompts | FgdiFinetune) -> dict[str, str]:
    """Settings of a part that is switched off, and what switches it off."""
    idle: dict[str, str] = {}
    if isinstance(settings, FgdiPrompts):
        if settings.adversarial_weight == 0:
            idle["reversal"] = "adversarial_weight = 0"
        if settings.domain_epochs == 0:
            idle |= dict.fromkeys(("domain_tokens", "domain_template"), "domain_epochs = 0")
        if not settings.reads_domains:
            idle |= dict.fromkeys(("classifier_lr", "classifier_width"), "adversarial_weight = 0 and domain_epochs = 0")
        return idle
    if settings.apn != "ed":
        idle["apn_normalise"] = f"apn = {settings.apn}"
    if settings.apn in ("con", "apnce"):
        idle["apn_margin"] = f"apn = {settings.apn}"
    off = "text_weight = 0" if settings.text_weight == 0 else "beta = 0" if settings.beta == 0 else ""
    if off:
        idle |= dict.fromkeys(("apn", "apn_margin", "apn_normalise", "apn_sign"), off)
    if settings.text_weight == 0:
        idle["beta"] = off
    return idle
