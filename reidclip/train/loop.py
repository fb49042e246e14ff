"""The only training loop: stage -> named losses -> optimiser -> log -> checkpoint -> resume."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reidclip.errors import WorkError
from reidclip.interfaces import TrainStage, Update
from reidclip.parallel.processes import any_process, from_all, is_first, size
from reidclip.parallel.rows import batch_of, gather_labels, mean_gradients
from reidclip.train.checkpoint import NOT_FINITE_REMEDY, Position, load_state, save_state
from reidclip.train.optim import build_adam, laid_out_as
from reidclip.train.precision import autocast, loss_scaler

CHECK_EVERY = 20  # iterations between looks at the losses on the host: a look waits for the device. Each sum of so many is
# added to the epoch's there, in float64; at no other moment, so that the history does not depend on when states are written.


@dataclass(frozen=True)
class LoopOptions:
    """How to run a stage, whatever the method.

    Attributes:
        device: where the stage's modules are.
        precision: see `reidclip.train.precision`.
        state: file of the unfinished run, or None to keep nothing.
        save_seconds: a state is written at the end of every epoch, and within an epoch at most this often.
    """

    device: torch.device
    precision: str = "fp32"
    state: Path | None = None
    save_seconds: float = 120.0


class _Interrupt:
    """Ctrl-C and SIGTERM end the run between two iterations, never inside an optimiser step; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def watch(self) -> Iterator[_Interrupt]:
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        old = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for s, handler in old.items():
                signal.signal(s, handler)


def run_stage(stage: TrainStage, options: LoopOptions, progress: Callable[[int, int], None] | None = None) -> list[dict[str, float]]:
    """Train one stage to its end, from its last state when there is one.

    Returns:
        The history: per epoch the mean of every named loss, the total per update ("<update>/total") and the seconds.

    Raises:
        WorkError: a loss is not finite; names the loss, epoch and iteration. Or an epoch has no batch, or processes found other states.
        KeyboardInterrupt: after the state was written.
    """
    if (begin := getattr(stage, "begin", None)) is not None:
        begin()
    if stage.epochs and not stage.plan(0):
        raise WorkError("There is nothing to train on: an epoch of this stage has no batch.", "Give it more data, or smaller batches.")
    updates = [(update, build_adam(update.groups)) for update in stage.updates]
    scaler = loss_scaler(options.precision)
    position = load_state(options.state, stage.module, updates) if options.state else Position()
    if position.scaler:
        scaler.load_state_dict(position.scaler)
    _check_same(position)
    if position.done:
        return position.history
    steps = _StepCounter(stage, position, progress)
    with _Interrupt().watch() as interrupt:
        while position.epoch < stage.epochs:
            _run_epoch(stage, updates, scaler, position, options, interrupt, steps)
        position.done = True
        _save(stage, updates, scaler, position, options)
    return position.history


def _check_same(position: Position) -> None:
    """All processes go on from the same place; also, everybody has read the state before anybody writes a new one."""
    places = from_all((position.epoch, position.batch, position.done))
    if len(set(places)) > 1:
        raise WorkError(
            f"The processes of this run found training states of different ages: (epoch, batch, done) {', '.join(map(str, places))}.",
            "Put the store on a disk that all machines share, or start over with --fresh on all of them.",
        )


class _StepCounter:
    """Iterations done and expected, for the progress bar."""

    def __init__(self, stage: TrainStage, position: Position, progress: Callable[[int, int], None] | None) -> None:
        per_epoch = len(stage.plan(position.epoch)) if stage.epochs else 0
        self.total = per_epoch * stage.epochs
        self.done = per_epoch * position.epoch + position.batch
        self.progress = progress

    def advance(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(min(self.done, self.total), self.total)


def _run_epoch(
    stage: TrainStage,
    updates: Sequence[tuple[Update, torch.optim.Optimizer]],
    scaler: torch.amp.GradScaler,
    position: Position,
    options: LoopOptions,
    interrupt: _Interrupt,
    steps: _StepCounter,
) -> None:
    for update, optimizer in updates:
        for group, target in zip(update.groups, optimizer.param_groups, strict=True):
            target["lr"] = group.lr * (group.schedule or update.schedule)(position.epoch)
    stage.set_mode(True)
    sums = {name: torch.tensor(value, dtype=torch.float32, device=options.device) for name, value in position.pending.items()}
    start = last_save = time.monotonic()
    rows = [len(indices) for indices in stage.plan(position.epoch)]
    for batch in stage.fetch(position.epoch, position.batch):
        with batch_of(rows[position.batch]):
            losses = step(stage, updates, _to(batch, options.device), options, scaler)
        for name, value in losses.items():
            sums[name] = sums[name] + value if name in sums else value
        position.batch += 1
        steps.advance()
        if position.batch % CHECK_EVERY == 0:
            _bank(sums, position)
        asked = any_process(interrupt.asked)
        if asked or time.monotonic() - last_save > options.save_seconds:
            position.pending = _on_host(sums, position)  # a state with a NaN in it must never replace a good one
            _save(stage, updates, scaler, position, options)
            last_save = time.monotonic()
        if asked:
            raise KeyboardInterrupt
    _bank(sums, position)
    row = {name: value / max(position.batch, 1) for name, value in position.partial.items()}
    position.history.append({"epoch": float(position.epoch), **row, "seconds": time.monotonic() - start})
    position.epoch, position.batch, position.partial, position.pending = position.epoch + 1, 0, {}, {}
    _save(stage, updates, scaler, position, options)


def step(
    stage: TrainStage,
    updates: Sequence[tuple[Update, torch.optim.Optimizer]],
    batch: Mapping[str, Tensor],
    options: LoopOptions,
    scaler: torch.amp.GradScaler | None = None,
) -> dict[str, Tensor]:
    """One iteration: one shared forward, then every update in order. Returns detached scalars, still on the device.

    Of several processes each forwards its own rows; losses see the labels, and by `gather_rows` the features, of the whole batch.
    """
    scaler = scaler or loss_scaler("fp32")
    logged: dict[str, Tensor] = {}
    with autocast(options.device, options.precision):
        outputs = stage.forward(batch)
    batch = gather_labels(batch) if size() > 1 else batch
    for update, optimizer in updates:
        with autocast(options.device, options.precision):
            losses = update.losses(batch, outputs)
            if not losses:  # an update that begins at a later epoch
                continue
            total = torch.stack([value.float() * update.weights.get(name, 1.0) for name, value in losses.items()]).sum()
        parameters = [p for group in update.groups for _, p in group.params]
        # Gradients for this update's parameters alone: everything else counts as constant, whatever the graph holds.
        last = update is updates[-1][0]
        gradients = torch.autograd.grad(scaler.scale(total), parameters, allow_unused=True, retain_graph=not last)
        for parameter, gradient in zip(parameters, mean_gradients(gradients), strict=True):
            parameter.grad = None if gradient is None else laid_out_as(parameter, gradient)
        scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        logged.update({name: value.detach().float() for name, value in losses.items()})
        logged[f"{update.name}/total"] = total.detach()
    scaler.update()
    return logged


def _to(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _bank(sums: dict[str, Tensor], position: Position) -> None:
    """Add the sums since the last look to the epoch's."""
    for name, value in _on_host(sums, position).items():
        position.partial[name] = position.partial.get(name, 0.0) + value
    sums.clear()


def _on_host(sums: Mapping[str, Tensor], position: Position) -> dict[str, float]:
    """All sums in one transfer, for each transfer waits for the device.

    Raises:
        WorkError: one is not finite.
    """
    values = dict(zip(sums, torch.stack(list(sums.values())).tolist() if sums else (), strict=True))
    broken = next((name for name, value in values.items() if not math.isfinite(value)), None)
    if broken is not None:
        raise WorkError(
            f"Loss '{broken}' is not finite (epoch {position.epoch + 1}, at or just before iteration {position.batch}).",
            NOT_FINITE_REMEDY,
        )
    return values


def _save(
    stage: TrainStage,
    updates: Sequence[tuple[Update, torch.optim.Optimizer]],
    scaler: torch.amp.GradScaler,
    position: Position,
    options: LoopOptions,
) -> None:
    """Every process holds the same state; the first one writes it."""
    if options.state and is_first():
        position.scaler = scaler.state_dict()
        save_state(options.state, stage.module, updates, position)
