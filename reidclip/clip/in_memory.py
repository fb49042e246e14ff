"""Networks that must be built in memory even where only their shapes, or weights that follow, are wanted.

Some compute tables as they are built (rotary positions, windows) which are in no file of weights: on the meta device these would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWING = (Tensor.normal_, Tensor.uniform_)


@contextmanager
def in_memory() -> Iterator[None]:
    """Within, tensors are real where they would be on the meta device, and no random numbers are drawn for them."""
    if torch.get_default_device().type != "meta":
        yield
        return
    with torch.device("cpu"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves out what fills weights: they are replaced anyway, and nobody's random numbers are used up for them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        filling = func in _DRAWING or (getattr(func, "__module__", "") == "torch.nn.init" and func.__name__.endswith("_"))
        if filling:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
