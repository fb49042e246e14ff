"""Clothes classes of the training pictures: those of the data set's labels, or one per identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reidclip.interfaces import StageContext
from reidclip.records import LabelMap
from reidclip.train.targets import clothes_targets, identity_targets, require_clothes
from reidclip_sci.settings import ClothesFrom


@dataclass(frozen=True)
class Outfits:
    """Which outfits there are, and who wears them.

    Attributes:
        labels: label map whose clothes are these outfits.
        key: column of a batch that holds a picture's outfit.
        targets: (N,) outfit of every training picture.
        owners: (Kc,) label of the identity that each outfit belongs to.
    """

    labels: LabelMap
    key: str
    targets: Tensor
    owners: Tensor

    def of(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B,) outfit of each picture of a batch."""
        return batch[self.key]


def outfits_of(context: StageContext, source: ClothesFrom, remedy: str) -> Outfits:
    """The outfits that a stage learns from, on its device.

    Args:
        context: of the stage.
        source: "labels", or "identity" for one outfit per identity.
        remedy: how to train without clothes labels, for the error.

    Raises:
        UserError: "labels" where a picture has no clothes label.
    """
    if source == "identity":
        pids = context.labels.pids
        labels = replace(context.labels, clothes=dict(pids), clothes_to_pid=tuple(range(len(pids))))
        return Outfits(labels, "pid", identity_targets(context), _owners(labels, context))
    require_clothes(context.train, remedy)
    return Outfits(context.labels, "clothes", clothes_targets(context), _owners(context.labels, context))


def _owners(labels: LabelMap, context: StageContext) -> Tensor:
    return torch.tensor(labels.clothes_to_pid, device=context.device)
