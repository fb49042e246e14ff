"""Adam and its parameter groups, as the CLIP-ReID family trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from reidclip.interfaces import ParamGroup


def param_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    lr: float,
    weight_decay: float,
    bias_lr_factor: float = 2.0,
    bias_weight_decay: float | None = None,
    name: str = "main",
) -> list[ParamGroup]:
    """Split parameters by the published rule: whatever has "bias" in its name trains at ``lr * bias_lr_factor``.

    The rule looks at the whole name, so ``attn.in_proj_bias`` counts; layer norms, positions and the class token are decayed like
    any weight (CLIP-ReID ``solver/make_optimizer_prompt.py``).

    Args:
        named_parameters: (name, parameter); frozen ones (``requires_grad`` False) are left out, as are repeats of one parameter.
        lr: base rate of everything else.
        weight_decay: L2 decay, added to the gradient.
        bias_lr_factor: 2.0 in stage 2 of CLIP-ReID and its descendants.
        bias_weight_decay: decay of the biases; None means the same as ``weight_decay``, which is what was published.
        name: first part of the groups' names ("main" -> "main", "main-bias").

    Returns:
        At most two groups, weights first; a group without parameters is not returned.
    """
    weights: dict[int, tuple[str, nn.Parameter]] = {}
    biases: dict[int, tuple[str, nn.Parameter]] = {}
    for key, parameter in named_parameters:
        if parameter.requires_grad and id(parameter) not in weights.keys() | biases.keys():
            (biases if "bias" in key else weights)[id(parameter)] = (key, parameter)
    bias_decay = weight_decay if bias_weight_decay is None else bias_weight_decay
    groups = [
        ParamGroup(name, tuple(weights.values()), lr, weight_decay),
        ParamGroup(f"{name}-bias", tuple(biases.values()), lr * bias_lr_factor, bias_decay),
    ]
    return [group for group in groups if group.params]


def build_adam(groups: Sequence[ParamGroup]) -> torch.optim.Adam:
    """Adam with L2 decay (not decoupled: the decay goes through the moments), betas (0.9, 0.999), eps 1e-8.

    The optimiser's ``param_groups`` keep the order of ``groups``, so that a schedule can set each rate from its base ``lr``.
    On CPU and CUDA the fused kernel is used: one pass over memory in place of a dozen, and no waiting for a step count.

    Raises:
        ValueError: no group has a parameter.
    """
    parameters = [parameter for group in groups for _, parameter in group.params]
    if not parameters:
        raise ValueError("build_adam needs at least one trainable parameter; every group is empty")
    fused = {p.device.type for p in parameters} in ({"cpu"}, {"cuda"})
    settings = [{"params": [p for _, p in g.params], "lr": g.lr, "weight_decay": g.weight_decay} for g in groups]
    return torch.optim.Adam(settings, fused=fused or None)


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A gradient or moment in its parameter's order in memory; both of one shape, a copy only where the orders differ.

    The fused kernels walk through memory whatever the strides say. Parameters may be channels-last, while what came out of an exchange
    between processes or out of a file is not: element by element they would meet strangers.
    """
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter, dtype=value.dtype).copy_(value)
