"""Builds contexts and stages of a method as the commands do, on the fake data and the tiny CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reidclip import registry
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.loader import ImageSource
from reidclip.interfaces import Method, StageContext, TrainStage
from reidclip.records import training_labels
from reidclip.settings import Settings, resolve
from tests.distill_fakes import distill_inputs
from tests.fakes import SMALL, tiny_clip

CPU = torch.device("cpu")


class Bench:
    """One method. ``root`` is a PRCC tree, ``masks`` a folder of keep masks that mirrors it."""

    def __init__(self, name: str, root: Path, masks: Path) -> None:
        self.method: Method = registry.get("reidclip.methods", name)
        self.root, self.masks = root, masks
        self._prompts: dict[str, Tensor] | None = None

    def settings(self, command: str, **changes: Any) -> Settings:
        model = self.method.settings[command]
        small = {key: value for key, value in {**SMALL, **changes}.items() if key in model.model_fields}
        return resolve(model, small, where=command)

    def context(self, command: str, seed: int = 3, precision: str = "fp32", **changes: Any) -> StageContext:
        """As the command would make it; inputs that the method does not ask for under these settings are not there."""
        settings = self.settings(command, **changes)
        dataset = LAYOUT.load(self.root)
        train = tuple(replace(s, domain=f"town-{s.pid % 2}") for s in dataset.split("train"))  # for methods that tell domains apart
        masks = self.masks if self.method.needs_masks(command, settings) else None
        prompts = self.prompts() if command == "finetune" and self.method.needs_prompts(settings) else None
        distils = distill_inputs(self.method, settings, dataset, train) if command == "distill" else {}
        torch.manual_seed(seed)  # as `reidclip.stages.train_context.build_context` does
        context = StageContext(
            settings=settings,
            clip=tiny_clip(),
            train=train,
            labels=training_labels(train),
            source=ImageSource.of(dataset, train, masks=masks),
            device=CPU,
            seed=seed,
            workers=0,
            precision=precision,
            prompts=prompts,
        )
        return replace(context, **distils)

    def prompts(self) -> dict[str, Tensor]:
        if self._prompts is None:
            context = self.context("prompt-learn")
            stages = self.build(context, "prompt-learn")
            self._prompts = self.method.prompt_tensors(context, stages)
        return {name: tensor.clone() for name, tensor in self._prompts.items()}

    def build(self, context: StageContext, command: str) -> Sequence[TrainStage]:
        builders = {"prompt-learn": "prompt_stages", "finetune": "finetune_stages", "distill": "distill_stages"}
        stages: Sequence[TrainStage] = getattr(self.method, builders[command])(context)
        return stages

    def stages(self, command: str, seed: int = 3) -> Sequence[TrainStage]:
        return self.build(self.context(command, seed), command)
