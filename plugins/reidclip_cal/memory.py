"""The memory-bank variant: in place of learned directions of the clothes classifier, a remembered feature of every outfit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from reidclip.formulas.clothes import clothes_cosines
from reidclip.records import LabelMap
from reidclip_cal.equations import eq04_positives, eq06_adversarial

Update = Literal["published", "mean"]
_UNSEEN = -1e4  # a cosine that no softmax notices, finite so that no gradient is NaN


class ClothesMemory(nn.Module):
    """One feature per training outfit; outfits that were not met yet are neither positive nor negative.

    ``features`` (Kc, W) and ``labels`` (Kc,), -1 where nothing is remembered, are buffers, so they are part of a run's state.

    Args:
        width: W.
        labels: of the training split.
        update: how an outfit's features f_1 ... f_k of a batch, in the batch's order, become its memory v:
            "published": v = m v + (1 - m) f for one after the other, so with momentum 0 the last one wins. The program means to average,
            but looks features up by label tensors, no two of which are equal.
            "mean": v = m v + (1 - m) mean(f), as it is described.
        momentum: m; 0 as long as an outfit of the bank was never met, as published.
        scale, epsilon: see `reidclip.formulas.clothes.clothes_adversarial`.
    """

    clothes_to_pid: Tensor
    features: Tensor
    labels: Tensor

    def __init__(
        self, width: int, labels: LabelMap, update: Update = "published", momentum: float = 0.0, scale: float = 16.0, epsilon: float = 0.1
    ) -> None:
        super().__init__()
        count = len(labels.clothes)
        self.register_buffer("features", torch.zeros(count, width))
        self.register_buffer("labels", torch.full((count,), -1))
        self.register_buffer("clothes_to_pid", torch.tensor(labels.clothes_to_pid), persistent=False)
        self.update, self.momentum, self.scale, self.epsilon = update, momentum, scale, epsilon

    def forget(self, features: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Remember the batch, then make features (B, W) alike over an identity's remembered outfits; -> scalar."""
        self.remember(features.detach().float(), batch["clothes"])
        seen = self.labels >= 0
        cosines = clothes_cosines(features, self.features).masked_fill(~seen, _UNSEEN)
        positives = eq04_positives(self.clothes_to_pid, batch["pid"]) & seen
        return eq06_adversarial(cosines, batch["clothes"], positives, self.scale, self.epsilon)

    @torch.no_grad()
    def remember(self, features: Tensor, clothes: Tensor) -> None:
        """Move the memories of the batch's outfits; features (B, W), clothes (B,). Nothing waits for the device."""
        momentum = torch.where((self.labels >= 0).all(), self.momentum, 0.0)
        same = clothes[:, None] == clothes[None, :]  # (B, B)
        if self.update == "mean":
            kept, shares = momentum, (1 - momentum) * same / same.sum(dim=1, keepdim=True)
        else:
            later = same.triu(1).sum(dim=1)  # pictures of the same outfit that come after this one: each shrinks its share again
            kept, shares = momentum ** same.sum(dim=1, keepdim=True), (1 - momentum) * momentum**later * same
        blended = kept * self.features[clothes] + shares.to(features.dtype) @ features
        first = same.float().argmax(dim=1)  # rows of one outfit write the same bits, whichever is written last
        self.features[clothes] = blended[first]
        self.labels[clothes] = clothes
