"""What the settings of CAL say arrives in its losses and in its optimiser groups: against the equations, given the same numbers by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip_cal import equations as eq
from reidclip_cal import losses
from reidclip_cal.memory import ClothesMemory, Update
from reidclip_cal.method import CalStage
from reidclip_cal.model import CalOutputs
from tests.fakes import write_prcc
from tests.method_bench import Bench

PAIRS: dict[str, Callable[..., Tensor]] = {
    "triplet": losses.cosine_triplet,
    "contrastive": losses.contrastive,
    "cosface": losses.pair_cosface,
    "circle": losses.pair_circle,
}
MARGINS: dict[str, Callable[..., Tensor]] = {"cosface": losses.cosface, "arcface": losses.arcface, "circle": losses.circle}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("prcc")
    return Bench("cal", write_prcc(folder / "data"), folder / "none")


def stepped(bench: Bench, **changes: Any) -> tuple[CalStage, Mapping[str, Tensor], CalOutputs]:
    """A stage, its first batch, of several identities, and what it makes of it; its classifiers tell identities apart."""
    stage = CalStage(bench.context("finetune", sampler="pk", **changes))
    stage.set_mode(True)
    with torch.no_grad():
        for head in (stage.model.heads.pooled, stage.model.heads.projected):
            head.classifier.weight *= 300
    batch = next(iter(stage.fetch(0)))
    return stage, batch, stage.forward(batch)


def test_identity_and_clothes_losses(bench: Bench) -> None:
    stage, batch, outputs = stepped(bench, smoothing=0.3, scale=3.0, epsilon=0.4)
    y, c, owner = batch["pid"], batch["clothes"], torch.tensor(stage.context.labels.clothes_to_pid)
    z = eq.eq02_clothes_cosines(outputs.f, stage.clothes.weight)
    found = {**stage.find_clothes(batch, outputs), **stage.losses(batch, outputs)}
    wanted = {
        "clothes": eq.eq03_clothes(z, c, 3.0),
        "id": eq.eq01_identity(outputs.scores[0], y, 0.3) + eq.eq01_identity(outputs.scores[1], y, 0.3),
        "ca": eq.eq06_adversarial(z, c, eq.eq04_positives(owner, y), 3.0, 0.4),
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, msg=name)


@pytest.mark.parametrize("name", PAIRS)
def test_pair_losses_read_the_feature_behind_batch_norm(bench: Bench, name: str) -> None:
    stage, batch, outputs = stepped(bench, pair_loss=name, triplet_weight=1.0, pair_scale=5.0, margin=0.2)
    torch.testing.assert_close(stage.losses(batch, outputs)["pair"], PAIRS[name](outputs.f, batch["pid"], 5.0, 0.2))


@pytest.mark.parametrize("name", MARGINS)
def test_margin_losses_read_the_cosine_classifier(bench: Bench, name: str) -> None:
    stage, batch, outputs = stepped(bench, id_loss=name, id_scale=7.0, id_margin=0.15)
    cosines = F.normalize(outputs.f, dim=1) @ F.normalize(stage.model.cosine_classifier.weight, dim=1).T
    torch.testing.assert_close(stage.losses(batch, outputs)["id"], MARGINS[name](cosines, batch["pid"], 7.0, 0.15))


@pytest.mark.parametrize(("variant", "update"), [("memory-published", "published"), ("memory-mean", "mean")])
def test_memories(bench: Bench, variant: str, update: Update) -> None:
    stage = CalStage(bench.context("finetune", variant=variant, momentum=0.5, scale=3.0, epsilon=0.4))
    labels, width = stage.context.labels, stage.model.width
    wanted = ClothesMemory(width, labels, update, 0.5, 3.0, 0.4)
    clothes = torch.arange(len(labels.clothes)).repeat(2)  # each outfit twice, so that the second batch meets a full memory
    batch = {"clothes": clothes, "pid": torch.tensor(labels.clothes_to_pid)[clothes]}
    for seed in range(2):
        f = torch.randn(len(clothes), width, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(stage.clothes.forget(f, batch), wanted.forget(f, batch))
    assert torch.equal(stage.clothes.features, wanted.features)


def test_the_classifier_learns_at_a_rate_of_its_own_which_stays(bench: Bench) -> None:
    stage = CalStage(bench.context("finetune", lr=1e-5, clothes_lr=3e-2, weight_decay=0.125, schedule="cosine", epochs=50))
    clothes, main = stage.updates
    assert [(group.lr, group.weight_decay) for group in clothes.groups] == [(3e-2, 0.125)]
    assert {clothes.schedule(epoch) for epoch in range(50)} == {1.0} and main.schedule(49) < 0.1
    assert {group.lr for group in main.groups} == {1e-5}
