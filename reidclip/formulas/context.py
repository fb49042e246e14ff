"""Every place of a feature map looks at every other one.

Wang et al., "Non-local Neural Networks", CVPR 2018, section 3.2. Letters: B batch, N places, I inner width.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from reidclip.formulas.distances import at_least_float32


def dot_product_context(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """y_i = 1/N sum_j (theta_i . phi_j) g_j, the "dot product" form of the paper's eq. (1), normalised by the number of places.

    Args:
        theta, phi, g: (B, N, I) embeddings of the map's places.

    Returns:
        (B, N, I) in at least float32, also under autocast: nothing bounds these sums, and half precision ends at 65504. 2 N^2 I
        multiplications; maps have fewer places than I (128 and 1024 for RN50), so this order is the cheap one.
    """
    with full_precision(theta.device.type):
        affinities = at_least_float32(theta) @ at_least_float32(phi).transpose(1, 2)  # (B, N, N)
        return affinities @ at_least_float32(g) / theta.shape[1]


def full_precision(device: str) -> AbstractContextManager[object]:
    """No autocast within; on the meta device, where operations are only counted, there is none to switch off."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
