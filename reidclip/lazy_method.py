"""A method described without importing torch: facts here, the four stage functions in a module that is imported when one is called.

    METHOD = LazyMethod(name="ccaf", title="...", version="1", implementation="reidclip_ccaf.method", folder=..., settings={...})

The module named by ``implementation`` defines the functions of `reidclip.interfaces.Method` that the method's stages need:
``prompt_stages``, ``prompt_tensors``, ``finetune_stages``, ``distill_stages``, ``encoder`` and ``extras``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidclip.interfaces import INHERITED, DistillNeeds, StageContext, TrainStage
from reidclip.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn


def _never(stage: str, settings: Settings) -> bool:
    return False


@dataclass(frozen=True)
class LazyMethod:
    """See `reidclip.interfaces.Method` for the meaning of each part."""

    name: str
    title: str
    version: str
    implementation: str
    folder: Path
    settings: Mapping[str, type[Settings]]
    masks: Callable[[str, Any], bool] = _never
    prompts: Callable[[Any], bool] = lambda settings: False
    inherits: tuple[str, ...] = INHERITED
    idle: Callable[[str, Any], Mapping[str, str]] = lambda stage, settings: {}
    distils: Callable[[Any], DistillNeeds] = lambda settings: DistillNeeds("clip")

    @property
    def stages(self) -> tuple[str, ...]:
        """The commands that the method takes part in."""
        return tuple(self.settings)

    def needs_masks(self, stage: str, settings: Settings) -> bool:
        """Whether the stage reads masks, under these settings."""
        return self.masks(stage, settings)

    def needs_prompts(self, settings: Settings) -> bool:
        """Whether finetune reads prompts, under these settings."""
        return self.prompts(settings)

    def without_effect(self, stage: str, settings: Settings) -> Mapping[str, str]:
        """Settings that do nothing under the others: key -> what makes it so, as "sim = false"."""
        return self.idle(stage, settings)

    def prompt_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """See `reidclip.interfaces.Method.prompt_stages`."""
        stages: Sequence[TrainStage] = self._module().prompt_stages(context)
        return stages

    def prompt_tensors(self, context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
        """See `reidclip.interfaces.Method.prompt_tensors`."""
        tensors: dict[str, Tensor] = self._module().prompt_tensors(context, stages)
        return tensors

    def finetune_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """See `reidclip.interfaces.Method.finetune_stages`."""
        stages: Sequence[TrainStage] = self._module().finetune_stages(context)
        return stages

    def distill_needs(self, settings: Settings) -> DistillNeeds:
        """See `reidclip.interfaces.Method.distill_needs`."""
        return self.distils(settings)

    def distill_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """See `reidclip.interfaces.Method.distill_stages`."""
        stages: Sequence[TrainStage] = self._module().distill_stages(context)
        return stages

    def extras(self, context: StageContext, stages: Sequence[TrainStage], folder: Path) -> None:
        """Write what belongs to the checkpoint beside the encoder; nothing where the implementation has no such function."""
        write = getattr(self._module(), "extras", None)
        if write is not None:
            write(context, stages, folder)

    def encoder(self, context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
        """See `reidclip.interfaces.Method.encoder`."""
        encoder: nn.Module = self._module().encoder(context, stages)
        return encoder

    def _module(self) -> Any:
        return import_module(self.implementation)
