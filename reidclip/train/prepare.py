"""What the engine does to a stage's modules before they train, whatever the method: compile, split batches, see all processes' rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.errors import UserError
from reidclip.interfaces import TrainStage
from reidclip.parallel.batch_norm import see_whole_batch
from reidclip.parallel.processes import size
from reidclip.train.reid_model import TrainedEncoder

M = TypeVar("M", bound=nn.Module)


def prepare(stages: Sequence[TrainStage], *, compiled: bool = False, accumulate: int = 1) -> None:
    """Make the stages' modules train as asked; parameters and their names stay what they are.

    Args:
        stages: of one command.
        compiled: compile image encoders with `torch.compile`.
        accumulate: pieces in which an image encoder takes a batch; see `TrainedEncoder.chunks`.

    Raises:
        UserError: ``accumulate`` with a stage that trains no image encoder, or one with BatchNorm; several processes and an image encoder
            with a BatchNorm that does not see all of them.
    """
    for stage in stages:
        if size() > 1:
            see_whole_batch(stage.module, _of_type(stage.module, ImageEncoder))
        if accumulate > 1:
            _take_pieces(stage.module, accumulate)
        if compiled:
            for encoder in _of_type(stage.module, ImageEncoder):
                encoder.compile()


def _take_pieces(module: nn.Module, pieces: int) -> None:
    models = _of_type(module, TrainedEncoder)
    if not models:
        raise UserError("--accumulate: this stage trains no image encoder whose batch could be taken in pieces.", "Leave it out.")
    for model in models:
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.encoder.modules()):
            raise UserError(
                "--accumulate: this image encoder has BatchNorm, whose statistics are those of the whole batch; in pieces it would train "
                "another model.",
                "Use a ViT (whose context block, if any, is 'self-attention'), a smaller batch (--set identities=8), or several processes.",
            )
        model.chunks = pieces


def _of_type(module: nn.Module, kind: type[M]) -> list[M]:
    return [m for m in module.modules() if isinstance(m, kind)]
