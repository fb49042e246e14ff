"""Prompt learning on cached image features: the part of CLIP-ReID's stage 1 that every method with learned prompts shares.

Nothing on the image side changes, so features are computed once, before training.
A method gives the loss of a batch; this file gives the batches, the prompts and the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from reidclip.clip.load import ClipModel
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.data.samplers import shuffled_batches
from reidclip.errors import UserError
from reidclip.interfaces import ParamGroup, Update
from reidclip.parallel.rows import gather_rows, share
from reidclip.train.schedule import warmup_cosine
from reidclip.train.settings import PromptLearnSettings

PromptLosses = Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]]
"""(image features (B, D), text features (B, D), labels (B,)) -> named losses."""


class Learner(Protocol):
    """What a stage asks of a module of prompts; `reidclip.clip.prompts.PromptLearner` is one."""

    contexts: nn.Parameter

    def __call__(self, labels: Tensor) -> Tensor:
        """(B,) class indices -> (B, D) text features."""

    def of_distinct(self, distinct: Tensor, place: Tensor) -> Tensor:
        """The same from distinct class indices (U,) and each row's place among them (B,)."""


def prompt_learner(clip: ClipModel, template: str, tokens: int, classes: int, seed: int) -> PromptLearner:
    """Contexts for "A photo of a {X} person." with ``tokens`` learned words in place of {X}.

    Raises:
        UserError: the template has no {X}, or is too long for the text encoder.
    """
    try:
        sentence = PromptTemplate(template.replace("{X}", " ".join(["X"] * tokens)), clip.tokenizer)
        return PromptLearner(sentence, clip.text_encoder, classes, seed)
    except ValueError as error:
        raise UserError(f"Wrong prompt template: {error}.", 'Write for example --set template="A photo of a {X} person."') from error


class PromptStage:
    """Learn one context per class from frozen image features (CLIP-ReID section 3.2).

    Args:
        features: (N, D) image features of the training pictures; or a function that gives them as the stage begins, when an earlier stage
            trains the encoder that they come from.
        labels: (N,) class of each picture.
        learner: the prompts to train.
        settings: rate, batches, epochs.
        losses: the method's equations.
        seed: of the batch order.
        name: of the update, in logs.
    """

    def __init__(
        self,
        features: Tensor | Callable[[], Tensor],
        labels: Tensor,
        learner: Learner,
        settings: PromptLearnSettings,
        losses: PromptLosses,
        seed: int,
        name: str,
    ) -> None:
        self._given, self.labels, self.learner = features, labels, learner
        if isinstance(features, Tensor):
            self.features = features
        self.settings, self.seed = settings, seed
        self.epochs = settings.epochs
        self.module = cast(nn.Module, learner)
        contexts = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        schedule = warmup_cosine(settings.lr, settings.warmup_lr, settings.min_lr, settings.epochs, settings.warmup_epochs)

        def named_losses(batch: Mapping[str, Tensor], text: Tensor) -> Mapping[str, Tensor]:
            return losses(batch["features"], text, batch["labels"])

        self.updates: Sequence[Update] = [
            Update(name, [ParamGroup("contexts", contexts, settings.lr, settings.weight_decay)], schedule, named_losses)
        ]

    def begin(self) -> None:
        """Image features are there from here on."""
        if not isinstance(self._given, Tensor):
            self.features = self._given()

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        """All pictures, shuffled; a last partial batch is kept (never an empty one)."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        return shuffled_batches(len(self.labels), self.settings.batch_size, generator)

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Rows of the cached features."""
        labels = self.labels.cpu()
        for indices in self.plan(epoch)[start:]:
            rows = torch.tensor(share(indices), dtype=torch.int64)
            distinct, place = torch.unique(labels[rows], return_inverse=True)
            picked = {"features": _rows(self.features, rows), "labels": _rows(self.labels, rows)}
            yield {**picked, "own.distinct": distinct, "own.place": place}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, D) text features of the batch's labels; each distinct identity is encoded once."""
        if "own.distinct" in batch:
            return gather_rows(self.learner.of_distinct(batch["own.distinct"], batch["own.place"]))
        return gather_rows(self.learner(batch["labels"]))

    def set_mode(self, training: bool) -> None:
        """The text encoder is frozen and stays in evaluation mode; the contexts have no mode."""


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a table on any device; indices on the CPU would make a GPU be waited for."""
    return table[rows.to(table.device, non_blocking=True)]
