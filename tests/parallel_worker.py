"""One of several processes that train together; started by tests/core/test_parallel.py with torchrun's variables in the environment.

    python -m tests.parallel_worker ROOT MASKS OUT CASES

CASES is a JSON object, name -> {"method", "command", "settings", "tower", "accumulate", "double"}. For each, ``OUT/NAME-<process>.json``
gets the total loss of every step and ``OUT/NAME-<process>.safetensors`` what was trained. One start for all cases: importing torch
takes longest.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reidclip.interfaces import Update
from reidclip.parallel.processes import joined, rank
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.prepare import prepare
from tests import fakes
from tests.method_bench import CPU, Bench
from tests.tiny_clip import TINY_RESNET


def main(root: str, masks: str, out: str, cases: str) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    plain = fakes.TINY_CONFIG, fakes.SIZE
    with joined(CPU):
        for name, case in json.loads(cases).items():
            resnet = {**TINY_RESNET, "text_cfg": plain[0]["text_cfg"]}, (64, 32)
            fakes.TINY_CONFIG, fakes.SIZE = resnet if case.get("tower") == "resnet" else plain
            fakes._tiny_clip.cache_clear()
            with in_double() if case.get("double") else nullcontext():
                _train(case, Bench(case["method"], Path(root), Path(masks)), Path(out) / f"{name}-{rank()}")


@contextmanager
def in_double() -> Iterator[None]:
    """Everything in float64, also what the code makes float32: what then still differs is no rounding."""
    single = Tensor.float
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        Tensor.float = single  # type: ignore[method-assign]


def _train(case: Mapping[str, Any], bench: Bench, out: Path) -> None:
    command = case["command"]
    context = bench.context(command, **case["settings"])
    if context.clip.image_encoder.config.is_resnet:  # as `reidclip.stages.train_context.build_context` does
        context.clip.image_encoder.to(memory_format=torch.channels_last)
    if case.get("double"):
        context.clip.image_encoder.double(), context.clip.text_encoder.double()
    stages = bench.build(context, command)
    prepare(stages, accumulate=case.get("accumulate", 1))
    curves, tensors = [], {}
    for number, stage in enumerate(stages):
        curve: list[float] = []
        if case.get("double"):
            stage.module.double()
        stage.updates = [_listened(update, curve) for update in stage.updates]
        run_stage(stage, LoopOptions(CPU))
        curves.append(curve)
        tensors.update({f"{number}.{key}": value.contiguous().clone() for key, value in stage.module.state_dict().items()})
    out.with_suffix(".json").write_text(json.dumps(curves))
    save_file(tensors, out.with_suffix(".safetensors"))


def _listened(update: Update, curve: list[float]) -> Update:
    def losses(batch: Mapping[str, Tensor], outputs: Any) -> Mapping[str, Tensor]:
        found = update.losses(batch, outputs)
        curve.append(sum(float(value.detach()) * update.weights.get(key, 1.0) for key, value in found.items()))
        return found

    return dataclasses.replace(update, losses=losses)


if __name__ == "__main__":
    main(*sys.argv[1:])
