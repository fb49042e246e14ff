"""Precision by name: what autocast computes in, whether losses are scaled, whether float32 products may be rounded.

==== ====================================================================================================================
fp32 float32 throughout; TF32 stays off, on GPUs that have it, also in convolutions, where torch has it on by default
tf32 float32 whose products are rounded to 10 bits of mantissa on GPUs that can
bf16 autocast to bfloat16, on CPU and GPU
fp16 autocast to float16 with dynamic loss scaling, on CUDA alone
==== ====================================================================================================================
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from reidclip.errors import UserError

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(name: str, device: torch.device | None = None) -> str:
    """The name, checked; with a device also whether it can compute so, and TF32 switched as the name says.

    Raises:
        UserError: an unknown name, or one that the device cannot do.
    """
    if name not in PRECISIONS:
        raise UserError(f"There is no precision '{name}'.", f"Use one of {', '.join(PRECISIONS)}.")
    if device is not None and device.type != "cuda" and name in ("fp16", "tf32"):
        raise UserError(f"Precision {name} needs a CUDA device; this run is on {device.type}.", "Use --precision bf16 or fp32.")
    if device is not None and device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    return name


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Around a forward and its losses."""
    return torch.autocast(device.type, _AUTOCAST[precision]) if precision in _AUTOCAST else nullcontext()


def loss_scaler(precision: str) -> torch.amp.GradScaler:
    """Scales losses so that gradients in float16 do not vanish; does nothing for the other precisions."""
    return torch.amp.GradScaler("cuda", enabled=precision == "fp16")
