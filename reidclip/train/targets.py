"""Training labels of a stage's pictures as tensors, checked to be known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reidclip.errors import UnknownClothesError
from reidclip.interfaces import StageContext
from reidclip.records import Sample


def identity_targets(context: StageContext) -> Tensor:
    """(N,) identity label of every training picture, on the context's device."""
    return torch.tensor([context.labels.pids[s.pid] for s in context.train], device=context.device)


def clothes_targets(context: StageContext) -> Tensor:
    """(N,) clothes label of every training picture, on the context's device.

    Raises:
        UserError: see `require_clothes`.
    """
    require_clothes(context.train)
    return torch.tensor([context.labels.clothes[s.clothes_id] for s in context.train], device=context.device)


def require_clothes(samples: Sequence[Sample], remedy: str = "") -> None:
    """Every picture has a known outfit: all unknown ones together would pass for a single outfit that everybody wears.

    Args:
        samples: of the training split.
        remedy: what else the user can do, one sentence.

    Raises:
        UnknownClothesError: naming the first picture without one, and how many there are.
    """
    unknown = [s.path for s in samples if s.clothes_id < 0]
    if unknown:
        raise UnknownClothesError(
            f"{len(unknown)} of {len(samples)} training pictures have no clothes label, which this method learns from; "
            f"the first is {unknown[0]}.",
            f"Give every training picture its clothes_id. {remedy}".rstrip(),
        )
