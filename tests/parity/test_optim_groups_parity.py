"""Which parameter trains at which rate and decay, against the published program's optimiser."""

import pytest
import torch
from torch import nn

from reidclip.train.optim import param_groups
from tests.parity.fixtures import load_json


def parameter(shape: list[int], trained: bool) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=trained)


@pytest.mark.parametrize(
    ("model", "stage", "lr", "decay"),
    [("vit", "stage1", 3.5e-4, 1e-4), ("vit", "stage2", 5e-6, 1e-4), ("rn50", "stage2", 3.5e-4, 5e-4)],
)
def test_groups(model: str, stage: str, lr: float, decay: float) -> None:
    recorded = load_json(f"optim_groups_clipreid_{model}")
    named = [(name, parameter(shape, True)) for name, shape, *_ in recorded[stage]]
    frozen = [(name, parameter([1], False)) for name in recorded.get("not_in_stage2", []) if stage == "stage2"]
    groups = param_groups(frozen + named, lr, decay)
    got = {name: (list(p.shape), group.lr, group.weight_decay) for group in groups for name, p in group.params}
    assert got == {name: (shape, pytest.approx(rate), pytest.approx(wd)) for name, shape, rate, wd in recorded[stage]}
    assert len(got) > 0
