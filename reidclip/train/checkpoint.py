"""State of an unfinished training run on disk: written atomically, without pickle, enough to go on exactly.

One safetensors file per stage of a run. Tensors: ``module.<key>``, ``optim.<update>.<parameter>.<slot>``, ``rng.torch`` and, of a stage
that trains on a CUDA device, ``rng.cuda``; the position (epoch, batch), the loss history, the state of the loss scaling and the random
states of Python and numpy are JSON in the file's metadata. The state before the last one is kept beside it, as ``<name>.previous``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reidclip.artifacts.durable import sync_tree
from reidclip.errors import WorkError
from reidclip.interfaces import Update
from reidclip.train import random_state
from reidclip.train.optim import laid_out_as

NOT_FINITE_REMEDY = "Lower the rate (--set lr=...) or use --precision fp32; the last state on disk is from before the failure."


@dataclass
class Position:
    """Where a run stands: ``epoch`` and the number of batches of that epoch already done (both 0-based counts)."""

    epoch: int = 0
    batch: int = 0
    done: bool = False
    history: list[dict[str, float]] = field(default_factory=list)  # one row of mean losses per finished epoch
    partial: dict[str, float] = field(default_factory=dict)  # sums of the losses of the unfinished epoch, up to the last look at them
    pending: dict[str, float] = field(default_factory=dict)  # and since then: float32, as they were on the device
    scaler: dict[str, Any] = field(default_factory=dict)  # of float16's loss scaling; empty without


def save_state(path: Path, module: nn.Module, updates: Sequence[tuple[Update, torch.optim.Optimizer]], position: Position) -> None:
    """Write the state beside ``path`` and rename it into place, so that a kill or a power cut leaves the old state or the new one.

    Raises:
        WorkError: the disk is full; or a trained tensor is not finite, which must never replace a good state.
    """
    tensors = {f"module.{k}": v for k, v in module.state_dict().items()}
    _check_finite(module)
    for update, optimizer in updates:
        tensors.update(_optimizer_tensors(update, optimizer))
    tensors["rng.torch"] = torch.get_rng_state()
    if (device := _cuda_device(updates)) is not None:
        tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
    contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        metadata = {"position": json.dumps(position.__dict__), "random": json.dumps(random_state.capture())}
        save_file(contiguous, temporary, metadata=metadata)
        sync_tree(path.parent, [temporary.name])
        if path.is_file():
            os.replace(path, previous(path))
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise WorkError(f"Cannot write the training state {path}: {error}.", "Free some space or choose another --store.") from error
    finally:
        temporary.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Where the state before the last one is kept."""
    return path.with_name(f"{path.name}.previous")


def load_state(path: Path, module: nn.Module, updates: Sequence[tuple[Update, torch.optim.Optimizer]]) -> Position:
    """Restore module, optimisers and random states in place; a fresh `Position` when there is no file.

    A last state that a failing disk damaged, or that a kill took away between two renames, gives way to the one before: a run that goes on
    from there does the same steps again and ends the same.

    Raises:
        WorkError: the files are damaged or belong to another model.
    """
    kept = [file for file in (path, previous(path)) if file.is_file()]
    for file in kept:
        try:
            return _load(file, module, updates)
        except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            if file == kept[-1]:
                raise WorkError(
                    f"The training state {path} cannot be used: {error}.", "Start over with --fresh, which removes it."
                ) from error
    return Position()


def _load(path: Path, module: nn.Module, updates: Sequence[tuple[Update, torch.optim.Optimizer]]) -> Position:
    with safe_open(path, framework="pt") as file:
        facts = file.metadata() or {}
        tensors: dict[str, Tensor] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    position = Position(**json.loads(facts["position"]))
    module.load_state_dict({k[len("module.") :]: v for k, v in tensors.items() if k.startswith("module.")})
    for update, optimizer in updates:
        _restore_optimizer(update, optimizer, tensors)
    torch.set_rng_state(tensors["rng.torch"])
    if (device := _cuda_device(updates)) is not None and "rng.cuda" in tensors:  # absent when the run began on another device
        torch.cuda.set_rng_state(tensors["rng.cuda"], device)
    if "random" in facts:  # absent in states of version 0.1
        random_state.restore(json.loads(facts["random"]))
    return position


def _check_finite(module: nn.Module) -> None:
    """A gradient that overflows spoils weights one iteration before any loss shows it. Buffers may hold infinities, as causal masks do."""
    broken = [name for name, value in module.named_parameters() if not bool(torch.isfinite(value).all())]
    broken += [name for name, value in module.named_buffers() if bool(torch.isnan(value).any())]
    if broken:
        raise WorkError(
            f"{len(broken)} trained tensors are no longer finite; the first is {broken[0]}.",
            NOT_FINITE_REMEDY,
        )


def _cuda_device(updates: Sequence[tuple[Update, torch.optim.Optimizer]]) -> torch.device | None:
    return next((p.device for update, _ in updates for _, p in _parameters(update) if p.device.type == "cuda"), None)


def _optimizer_tensors(update: Update, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, parameter in _parameters(update):
        for slot, value in optimizer.state.get(parameter, {}).items():
            named[f"optim.{update.name}.{name}.{slot}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return named


def _restore_optimizer(update: Update, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, parameter in _parameters(update):
        prefix = f"optim.{update.name}.{name}."
        slots: dict[str, Any] = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        for slot, value in slots.items():
            # Adam keeps its step count on the CPU unless it is fused; moments live beside the parameter.
            on_host = slot == "step" and not optimizer.defaults.get("fused")
            moved = value if on_host else value.to(parameter.device)
            slots[slot] = laid_out_as(parameter, moved) if slot != "step" else moved
        if slots:
            optimizer.state[parameter] = slots


def _parameters(update: Update) -> list[tuple[str, nn.Parameter]]:
    return [pair for group in update.groups for pair in group.params]
