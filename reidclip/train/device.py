"""Device and precision by name."""

from __future__ import annotations

import torch

from reidclip.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes a GPU when there is one.

    Raises:
        UserError: an unknown name, or a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device '{name}'.", "Use cpu, cuda, cuda:1, mps or auto.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use.", "Use --device cpu, or install a CUDA build of torch.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("This machine has no MPS device.", "Use --device cpu.")
    return device


def check_precision(name: str) -> str:
    """fp32 or bf16.

    Raises:
        UserError: any other name.
    """
    if name not in ("fp32", "bf16"):
        raise UserError(f"There is no precision '{name}'.", "Use fp32 or bf16.")
    return name
