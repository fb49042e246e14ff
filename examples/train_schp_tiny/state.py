"""What a stopped training goes on from: one safetensors file with the network, its running average, and the optimisers' state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save(path: Path, modules: dict[str, nn.Module], optimisers: Sequence[torch.optim.Optimizer], step: int, seconds: float) -> None:
    """Write it beside the file and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value.contiguous() for key, value in module.state_dict().items()}
    for number, optimiser in enumerate(optimisers):
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser{number}/{index}/{key}": value.contiguous() for key, value in state.items()}
    beside = path.with_suffix(".part")
    save_file(tensors, str(beside), metadata={"step": str(step), "seconds": str(seconds)})
    beside.replace(path)


def resume(path: Path, modules: dict[str, nn.Module], optimisers: Sequence[torch.optim.Optimizer]) -> tuple[int, float]:
    """Load what `save` wrote; returns the step and the processor seconds spent so far, (0, 0.0) without a file."""
    if not path.is_file():
        return 0, 0.0
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(str(path))
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, name))
    for number, optimiser in enumerate(optimisers):
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimiser{number}").items():
            index, field = key.split("/")
            states.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    print(f"going on from step {metadata['step']}", flush=True)
    return int(metadata["step"]), float(metadata["seconds"])


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
