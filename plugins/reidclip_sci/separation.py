"""Stage 1, Semantic Separation Enhancement: identity and clothes prompts learned together, eq. (5)-(12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reidclip.clip.prompts import PromptLearner
from reidclip.interfaces import ParamGroup
from reidclip.parallel.rows import gather_rows, share
from reidclip.train.prompt_stage import PromptStage
from reidclip_sci.settings import SciPrompts


class Texts(NamedTuple):
    """Text features of a batch's pictures."""

    identity: Tensor  # (B, D) t_id
    clothes: Tensor  # (B, D) t_c


class SeparationStage(PromptStage):
    """One context per identity and one per outfit, trained by one sum; each distinct sentence of a batch is encoded once.

    Args:
        features: (N, D) image features of the training pictures.
        labels, outfits: (N,) identity and outfit of each picture.
        identity, clothes: the prompts to train.
        settings: rate, batches, epochs.
        losses: (image features (B, D), texts, identities (B,)) -> named losses.
        seed: of the batch order.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        outfits: Tensor,
        identity: PromptLearner,
        clothes: PromptLearner,
        settings: SciPrompts,
        losses: Callable[[Tensor, Any, Tensor], Mapping[str, Tensor]],
        seed: int,
    ) -> None:
        super().__init__(features, labels, identity, settings, losses, seed, "separation")
        self.clothes, self.outfits = clothes, outfits.cpu()
        self.module = nn.ModuleDict({"identity": identity, "clothes": clothes})
        contexts = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        group = ParamGroup("contexts", contexts, settings.lr, settings.weight_decay)
        self.updates = [replace(update, groups=[group]) for update in self.updates]

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Rows of the cached features, with the outfits of this process's rows."""
        for indices, batch in zip(self.plan(epoch)[start:], super().fetch(epoch, start), strict=True):
            rows = torch.tensor(share(indices), dtype=torch.int64)
            distinct, place = torch.unique(self.outfits[rows], return_inverse=True)
            yield {**batch, "own.outfits": distinct, "own.outfit_place": place}

    def forward(self, batch: Mapping[str, Tensor]) -> Texts:
        """t_id and t_c of the batch's pictures."""
        return Texts(super().forward(batch), gather_rows(self.clothes.of_distinct(batch["own.outfits"], batch["own.outfit_place"])))
