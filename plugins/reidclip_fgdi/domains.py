"""What FGDI has of its own beside the losses: the classifier that guesses a text's domain, and prompts with a token for the domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.load import ClipModel
from reidclip.clip.prompts import CONTEXT_STD, PromptLearner, PromptTemplate
from reidclip.errors import UserError
from reidclip.formulas.gradient_reversal import reverse_gradient
from reidclip.interfaces import StageContext


class DomainClassifier(nn.Module):
    """Linear D -> W, BatchNorm, ReLU, Linear -> S. What is learned through its input learns to mislead it where ``reversal`` is given.

    Without one its input is cut from the graph: the published program shows it a detached copy while domain tokens are learned.
    """

    def __init__(self, width: int, domains: int, hidden: int = 128, reversal: float | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, domains)
        self.reversal = reversal

    def forward(self, text: Tensor) -> Tensor:
        """(B, D) text features -> (B, S) scores. A single row is doubled in training, as published: BatchNorm takes no fewer than two."""
        x = text.detach() if self.reversal is None else reverse_gradient(text, self.reversal)
        alone = self.training and len(x) == 1
        hidden: Tensor = F.relu(self.bn1(self.fc1(torch.cat([x, x]) if alone else x)))
        scores: Tensor = self.fc2(hidden)
        return scores[:1] if alone else scores


class DomainPromptLearner(nn.Module):
    """Prompts with the tokens of an identity, which are fixed, and those of its domain, which are learned: ``contexts`` (S, N, W).

    It encodes a text per identity: an identity lives in one domain.
    """

    def __init__(self, template: PromptTemplate, identities: PromptLearner, homes: Tensor, seed: int = 0) -> None:
        """Draw the domains' tokens from N(0, 0.02^2); the rest is fixed.

        Args:
            template: with two groups of slots, the identity's first.
            identities: whose tokens and text encoder are used as they are when a text is asked for; neither is a part of this module.
            homes: (K,) domain label of each identity.
            seed: of the draw.

        Raises:
            ValueError: another number of groups.
        """
        super().__init__()
        if len(template.groups) != 2:
            raise ValueError(f"prompt {template.text!r} has {len(template.groups)} groups of slots, an identity's and a domain's are two")
        self.template = template
        self._identities, self._homes = (identities,), (homes,)  # in tuples, so that torch does not take them for parts of this module
        generator = torch.Generator().manual_seed(seed)
        text = identities.text_encoder
        drawn = CONTEXT_STD * torch.randn(int(homes.max()) + 1, len(template.groups[1]), text.width, generator=generator)
        device = text.positional_embedding.device
        self.contexts = nn.Parameter(drawn.to(device))
        self.words: Tensor
        self.register_buffer("words", text.embed(template.token_ids.to(device)).detach().clone(), persistent=False)

    def forward(self, labels: Tensor) -> Tensor:
        """(B,) identity labels -> (B, D) domain-relevant text features, each distinct identity encoded once."""
        return self.of_distinct(*torch.unique(labels, return_inverse=True))

    def of_distinct(self, distinct: Tensor, place: Tensor) -> Tensor:
        """The same from distinct identities (U,) and each row's place among them (B,)."""
        return self._encode(distinct)[place]

    @torch.no_grad()
    def all_features(self, chunk: int = 256) -> Tensor:
        """Text features of all identities, each with its own domain, (K, D), without gradients."""
        every = torch.arange(len(self._homes[0]), device=self.contexts.device)
        return torch.cat([self._encode(part) for part in torch.split(every, chunk)])

    def _encode(self, identities: Tensor) -> Tensor:
        (learner,), (homes,) = self._identities, self._homes
        filled = self.template.fill(self.words, learner.contexts.detach()[identities], self.contexts[homes[identities]])
        features: Tensor = learner.text_encoder(filled, self.template.end)
        return features


def domain_template(clip: ClipModel, text: str, tokens: int, domain_tokens: int) -> PromptTemplate:
    """The sentence for "A photo of a {X} person from {D} dataset.", M and N slots in place of {X} and {D}.

    Raises:
        UserError: a {X} or {D} is missing, they stand in another order or side by side, or the sentence is too long.
    """
    example = 'Write for example --set domain_template="A photo of a {X} person from {D} dataset."'
    if not 0 <= text.find("{X}") < text.find("{D}"):
        raise UserError(f"Wrong prompt template {text!r}: it needs {{X}} and, behind it, {{D}}.", example)
    filled = text.replace("{X}", " ".join(["X"] * tokens)).replace("{D}", " ".join(["X"] * domain_tokens))
    try:
        template = PromptTemplate(filled, clip.tokenizer)
    except ValueError as error:
        raise UserError(f"Wrong prompt template: {error}.", example) from error
    if [len(group) for group in template.groups] != [tokens, domain_tokens]:
        raise UserError(f"Wrong prompt template {text!r}: words must stand between {{X}} and {{D}}.", example)
    return template


def homes_of(context: StageContext) -> Tensor:
    """(K,) domain label of every identity, on the context's device.

    Raises:
        UserError: one domain only, or an identity that is seen in several.
    """
    if len(context.labels.domains) < 2:
        raise UserError(
            "Method 'fgdi' tells domains apart, and these training pictures are all of one.",
            "Give it several data sets (reidclip prompt-learn data/market1501 data/msmt17 --method fgdi), or learn without domains: "
            "--set adversarial_weight=0 --set domain_epochs=0.",
        )
    home: dict[int, str] = {}
    for sample in context.train:
        if home.setdefault(sample.pid, sample.domain) != sample.domain:
            raise UserError(
                f"Identity {sample.pid} is in two domains, '{home[sample.pid]}' and '{sample.domain}' ({sample.path}).",
                "A domain is a data set with people of its own: give each person one domain.",
            )
    return torch.tensor(context.labels.pid_to_domain, device=context.device)
