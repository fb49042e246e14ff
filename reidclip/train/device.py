"""Device by name."""

from __future__ import annotations

import torch

from reidclip.errors import UserError
from reidclip.parallel.processes import launched, local_rank


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes a GPU when there is one; of several processes each takes the GPU of its number.

    Raises:
        UserError: an unknown name, or a device that this machine lacks.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device '{name}'.", "Use cpu, cuda, cuda:1, mps or auto.") from error
    if device.type not in ("cpu", "cuda", "mps"):  # torch knows the names of more devices than this toolkit runs on
        raise UserError(f"There is no device '{name}' for this toolkit.", "Use cpu, cuda, cuda:1, mps or auto.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use.", "Use --device cpu, or install a CUDA build of torch.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("This machine has no MPS device.", "Use --device cpu.")
    if device.type == "cuda" and device.index is None and launched() > 1:
        if local_rank() >= torch.cuda.device_count():
            raise UserError(
                f"Process {local_rank()} has no GPU: this machine has {torch.cuda.device_count()}.",
                "Start one process per GPU, or use --device cpu.",
            )
        device = torch.device("cuda", local_rank())
    return device
