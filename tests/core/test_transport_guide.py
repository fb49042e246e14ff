"""The guide by words: its cost is that of its parts, and what is kept beside a student is what is read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from reidclip.bodies.phrases import PAIRS, TEMPLATE
from reidclip.errors import UserError
from reidclip.formulas.transport import cosine_cost, sinkhorn, transport_cost
from reidclip.train.transport_guide import TRANSPORT_FILE, TransportGuide

CODE = {"regularisation": 0.1, "iterations": 100, "tolerance": 1e-2, "plan_gradient": False}


def guide_of(**options: Any) -> TransportGuide:
    torch.manual_seed(3)
    return TransportGuide(torch.randn(16, 2, 6), 10, teacher=("reidclip-tiny", "abc"), **options)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(3, 12, 10, generator=generator).relu(), torch.randint(0, 2, (3, 16), generator=generator)


@pytest.mark.parametrize("options", [{}, CODE, {"regularisation": 0.03, "iterations": 5}])
def test_the_cost_is_that_of_the_chosen_phrases(options: dict[str, Any]) -> None:
    guide, (places, choices) = guide_of(**options), batch()
    chosen = torch.stack([torch.stack([guide.texts[p, int(c)] for p, c in enumerate(row)]) for row in choices])
    hidden, _, output = guide.psi
    cost = cosine_cost(places, output(hidden(chosen).relu()))
    how = {key: value for key, value in options.items() if key != "plan_gradient"}
    expected = sinkhorn(cost, **how)
    found = guide(places, choices)
    assert torch.allclose(found.plan.plan, expected.plan, rtol=1e-5)
    assert torch.allclose(found.cost, transport_cost(expected.plan, cost), rtol=1e-5)
    assert (found.plan.iterations, found.plan.log_domain) == (expected.iterations, expected.log_domain)
    assert guide.log_domain is found.plan.log_domain


def test_gradients_with_and_without_the_plan() -> None:
    places, choices = batch()
    places.requires_grad_()
    gradients = []
    for plan_gradient in (True, False):
        guide = guide_of(plan_gradient=plan_gradient)
        found = guide(places, choices)
        assert found.plan.plan.requires_grad is plan_gradient
        gradients.append(torch.autograd.grad(found.cost.mean(), [places, *guide.psi.parameters()]))
        assert all(torch.isfinite(one).all() and one.abs().max() > 0 for one in gradients[-1])
    assert not torch.allclose(gradients[0][0], gradients[1][0], rtol=1e-2)


def test_training_lowers_the_cost_of_the_chosen_phrases() -> None:
    guide, (places, choices) = guide_of(), batch()
    optimiser = torch.optim.Adam(guide.parameters(), 0.01)
    costs = []
    for _ in range(30):
        optimiser.zero_grad()
        cost = guide(places, choices).cost.mean()
        cost.backward()
        optimiser.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < 0.7 * costs[0]
    assert guide(places, 1 - choices).cost.mean().item() > costs[-1]


@pytest.mark.parametrize("options", [{}, CODE, {"hidden": 0}, {"hidden": 4}])
def test_what_is_written_is_read(options: dict[str, Any], tmp_path: Path) -> None:
    guide, (places, choices) = guide_of(**options), batch()
    guide.save(tmp_path)
    again = TransportGuide.load(tmp_path)
    assert torch.equal(again(places, choices).cost, guide(places, choices).cost)
    for name in ("teacher", "template", "phrases", "regularisation", "iterations", "tolerance", "plan_gradient", "width"):
        assert getattr(again, name) == getattr(guide, name)
    assert again.width == 10 and not again.training
    with safe_open(tmp_path / TRANSPORT_FILE, framework="pt") as file:
        told = json.loads(file.metadata()["guide"])
    assert told["template"] == TEMPLATE and told["teacher"] == ["reidclip-tiny", "abc"]
    assert told["phrases"][3] == [PAIRS[3].first, PAIRS[3].second]


def test_a_checkpoint_without(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was not distilled with optimal transport") as told:
        TransportGuide.load(tmp_path)
    assert "--method clip3dreid" in told.value.remedy


@pytest.mark.parametrize("fault", ["cut off", "no settings", "a tensor less", "another width", "later", "not finite"])
def test_a_broken_file(fault: str, tmp_path: Path) -> None:
    guide_of().save(tmp_path)
    path = tmp_path / TRANSPORT_FILE
    state = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    said = "is no guide by words"
    if fault == "cut off":
        path.write_bytes(path.read_bytes()[:200])
        said = "cannot be read"
    else:
        if fault == "no settings":
            metadata = {"format": "pt"}
        elif fault == "a tensor less":
            del state["psi.2.bias"]
        elif fault == "another width":
            state["psi.2.weight"] = torch.ones(10, 9)
        elif fault == "later":
            metadata["transport"] = "2"
            said = "format 2 is not known"
        else:
            state["texts"][0] = float("nan")
            said = "texts"
        save_file(state, path, metadata=metadata)
    with pytest.raises(UserError, match=said) as told:
        TransportGuide.load(tmp_path)
    assert str(path) in str(told.value)


def test_what_does_not_fit() -> None:
    places, choices = batch()
    with pytest.raises(ValueError, match=r"texts must be \(16, 2, D\), not \(15, 2, 6\)"):
        TransportGuide(torch.ones(15, 2, 6), 10)
    with pytest.raises(ValueError, match="lambda -1"):
        TransportGuide(torch.ones(16, 2, 6), 10, regularisation=-1)
    with pytest.raises(ValueError, match=r"choices must be \(3, 16\)"):
        guide_of()(places, choices[:, :4])
