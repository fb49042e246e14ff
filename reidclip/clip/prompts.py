"""Prompts with learned words: "A photo of a X X X X person.", four learned vectors per identity in the places of the X."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from reidclip.clip.prefix import PrefixCache
from reidclip.clip.slots import tokenise_slots
from reidclip.clip.text_encoder import TextEncoder
from reidclip.clip.tokenizer import Tokenizer

CONTEXT_STD = 0.02


class PromptTemplate:
    """A sentence in which the word X marks a learned slot; tokenised once.

    Attributes:
        text: the sentence.
        token_ids: (L,) start, words, end; nothing after the end, which a causal encoder could not see, but all of the context where the
            text tower reads padding.
        end: position of end-of-text: 11 for the sentence above.
        groups: positions of the X, one tuple per run of neighbouring X: ((5, 6, 7, 8),) above, and ((5, 6, 7, 8), (11,)) for
            "A photo of a X X X X person from X dataset."
    """

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        """Tokenise ``text``.

        Raises:
            ValueError: no X in the text, or more tokens than the context has.
        """
        slotted = tokenise_slots(text, tokenizer)
        self.text = text
        self.token_ids = slotted.token_ids
        self.end = slotted.end
        self.groups = _runs(slotted.slots)

    @property
    def start(self) -> int:
        """Position of the first slot, which is the number of tokens before it (the start mark is one): 5 for the sentence above."""
        return self.groups[0][0]

    def fill(self, embeddings: Tensor, *contexts: Tensor) -> Tensor:
        """Put learned vectors into the slots.

        Args:
            embeddings: (L, W) token embeddings of `token_ids`.
            contexts: per group of slots, (N, M, W) vectors.

        Returns:
            (N, L, W); gradients reach the contexts.

        Raises:
            ValueError: another number of groups or of vectors than the sentence has.
        """
        if [c.shape[1] for c in contexts] != [len(group) for group in self.groups]:
            raise ValueError(f"prompt {self.text!r} has slots {[len(g) for g in self.groups]}, given {[c.shape[1] for c in contexts]}")
        rows = len(contexts[0])
        pieces, start = [], 0
        for group, context in zip(self.groups, contexts, strict=True):
            pieces += [embeddings[start : group[0]].expand(rows, -1, -1), context]
            start = group[-1] + 1
        pieces.append(embeddings[start:].expand(rows, -1, -1))
        return torch.cat(pieces, dim=1)


class PromptLearner(nn.Module):
    """One learned context per class for a template with one group of slots.

    Its only state is ``contexts`` (K, M, W), which a published CLIP-ReID checkpoint calls ``prompt_learner.cls_ctx``. The text encoder is
    frozen and not part of the module: it is neither trained nor saved with the prompts.
    """

    def __init__(self, template: PromptTemplate, text_encoder: TextEncoder, classes: int, seed: int = 0) -> None:
        """Draw contexts from N(0, 0.02^2) and freeze the text encoder.

        Raises:
            ValueError: the template has not exactly one group of slots.
        """
        super().__init__()
        if len(template.groups) != 1:
            raise ValueError(f"prompt {template.text!r} has {len(template.groups)} groups of slots; one context per class fills one group")
        self.template = template
        self._text_encoder = (text_encoder.freeze(),)  # in a tuple, so that torch does not take it for a part of this module
        device = text_encoder.positional_embedding.device
        generator = torch.Generator().manual_seed(seed)
        contexts = CONTEXT_STD * torch.randn(classes, len(template.groups[0]), text_encoder.width, generator=generator)
        self.contexts = nn.Parameter(contexts.to(device))
        self.words: Tensor
        self.register_buffer("words", text_encoder.embed(template.token_ids.to(device)).detach().clone(), persistent=False)
        self._prefix = PrefixCache()

    @property
    def text_encoder(self) -> TextEncoder:
        """The frozen encoder."""
        return self._text_encoder[0]

    def forward(self, labels: Tensor) -> Tensor:
        """Text features of a batch's classes, each distinct class encoded once.

        Args:
            labels: (B,) class indices.

        Returns:
            (B, D) features, not normalised.
        """
        return self.of_distinct(*torch.unique(labels, return_inverse=True))

    def of_distinct(self, distinct: Tensor, place: Tensor) -> Tensor:
        """The same from distinct class indices (U,) and each row's place among them (B,): to find them on a GPU would wait for it."""
        return self._encode(self.contexts[distinct])[place]

    @torch.no_grad()
    def all_features(self, chunk: int = 256) -> Tensor:
        """Text features of all classes, (K, D), without gradients, ``chunk`` classes at a time."""
        return torch.cat([self._encode(part) for part in torch.split(self.contexts, chunk)])

    def _encode(self, contexts: Tensor) -> Tensor:
        text, template = self.text_encoder, self.template
        filled = template.fill(self.words, contexts)
        features: Tensor
        if text.takes_prefix:  # only learned and later positions are run
            prefix = self._prefix.get(text, self.words[: template.start])
            features = text(filled[:, template.start :], template.end, prefix)
        else:
            features = text(filled, template.end)
        return features


def _runs(positions: list[int]) -> tuple[tuple[int, ...], ...]:
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(positions), start=1) if b != a + 1), len(positions)]
    return tuple(tuple(positions[a:b]) for a, b in pairwise(starts))
