"""Measuring the bodies of a session: from shape parameters to tensors by name, in pieces that bound the memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reidclip.bodies.measure import Tape

_AT_ONCE = 64


def measured(tape: Tape, vertices: Callable[[Tensor], Tensor], joints: Callable[[Tensor], Tensor], shape: Tensor) -> dict[str, Tensor]:
    """Measurements of bodies.

    Args:
        tape: of the body model.
        vertices, joints: (B, S) -> (B, V, 3) and (B, J, 3), canonical pose.
        shape: (B, S).

    Returns:
        (B,) float32 by name, on the CPU. Computed in float64, so that what a body measures does not depend on its neighbours in the batch.
    """
    if not len(shape):
        raise ValueError("there is no body to measure: shape is (0, S)")
    wide = shape.detach().cpu().double()
    pieces = []
    for start in range(0, len(wide), _AT_ONCE):
        piece = wide[start : start + _AT_ONCE]
        pieces.append(tape.measure(vertices(piece).numpy(), joints(piece).numpy()))
    return {name: torch.cat([torch.from_numpy(piece[name]) for piece in pieces]).float() for name in pieces[0]}
