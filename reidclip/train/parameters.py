"""How many parameters a training has: those that its optimisers change, and those that it merely holds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.load import ClipModel
from reidclip.interfaces import TrainStage


def parameters_in_training(stages: Sequence[TrainStage], clip: ClipModel, reads_text: bool) -> dict[str, int]:
    """Numbers in parameters, each counted once over all stages of a command.

    Args:
        stages: of the command.
        clip: the CLIP that it began with. Its image tower is a template and counts only where no stage trains a copy of it.
        reads_text: whether the text tower takes part: the command learns prompts, or reads learned ones.

    Returns:
        "trained": what some update changes. "frozen": what else the stages' modules hold, and the towers that take part.
    """
    trained = {id(p): p.numel() for stage in stages for u in stage.updates for group in u.groups for _, p in group.params}
    held: list[nn.Module] = [stage.module for stage in stages]
    if not any(isinstance(m, ImageEncoder) for module in held for m in module.modules()):
        held.append(clip.image_encoder)
    if reads_text:
        held.append(clip.text_encoder)
    frozen = {id(p): p.numel() for module in held for p in module.parameters() if id(p) not in trained}
    return {"trained": sum(trained.values()), "frozen": sum(frozen.values())}
