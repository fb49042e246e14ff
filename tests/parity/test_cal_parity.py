"""CAL's losses and its memory bank, step by step, against numbers recorded from the published Simple-CCReID program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.records import LabelMap
from reidclip_cal import equations as eq
from reidclip_cal import losses
from reidclip_cal.memory import ClothesMemory
from tests.parity.fixtures import load

TENSORS = {"features": "features", "clothes_weight": "clothes_classifier_weight", "id_weight": "id_classifier_weight"}
GRADIENT_RTOL = {"circle_m03_s96": 1e-3, "pair_circle_m035_s48": 1e-3}  # at their scales, as the vectors' notes say; else 1e-4


class Batch:
    """The recorded batch, with leaves that gradients are taken for."""

    def __init__(self) -> None:
        self.data = load("ccreid_losses")
        self.leaves = {name: torch.from_numpy(self.data[key]).requires_grad_() for name, key in TENSORS.items()}
        self.f = self.leaves["features"]
        self.y, self.c = torch.from_numpy(self.data["pids"]), torch.from_numpy(self.data["clothes_ids"])
        self.positives = torch.from_numpy(self.data["pos_mask"]) > 0
        self.z = eq.eq02_clothes_cosines(self.f, self.leaves["clothes_weight"])
        self.logits = F.linear(self.f, self.leaves["id_weight"], torch.from_numpy(self.data["id_classifier_bias"]))


def total(b: Batch) -> Tensor:
    """The program's whole loss of the encoder, its identity loss smoothed; weights as eq. (7) gives them for LaST."""
    parts = {
        "id": eq.eq01_identity(b.logits, b.y, 0.1),
        "ca": eq.eq06_adversarial(b.z, b.c, b.positives),
        "pair": losses.cosine_triplet(b.f, b.y, margin=0.3),
    }
    weights = eq.eq07_weights(pair_weight=1.0)
    return sum((weights[name] * value for name, value in parts.items()), start=b.f.new_zeros(()))


LOSSES: dict[str, Callable[[Batch], Tensor]] = {
    "ce_label_smooth": lambda b: eq.eq01_identity(b.logits, b.y, 0.1),
    "clothes_cosface_m0_s16": lambda b: eq.eq03_clothes(b.z, b.c, 16.0),
    "cal_s16_eps01": lambda b: eq.eq06_adversarial(b.z, b.c, b.positives, 16.0, 0.1),
    "cal_s16_eps10": lambda b: eq.eq06_adversarial(b.z, b.c, b.positives, 16.0, 1.0),
    "cosface_m01_s16": lambda b: losses.cosface(b.z, b.c, 16.0, 0.1),
    "arcface_m01_s16": lambda b: losses.arcface(b.z, b.c, 16.0, 0.1),
    "circle_m03_s96": lambda b: losses.circle(b.z, b.c, 96.0, 0.3),
    "triplet_m03": lambda b: losses.cosine_triplet(b.f, b.y, margin=0.3),
    "pair_contrastive_s16": lambda b: losses.contrastive(b.f, b.y, 16.0),
    "pair_cosface_m0_s16": lambda b: losses.pair_cosface(b.f, b.y, 16.0, 0.0),
    "pair_circle_m035_s48": lambda b: losses.pair_circle(b.f, b.y, 48.0, 0.35),
    "total_cla_adv_pair": total,
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients(name: str) -> None:
    batch = Batch()
    loss = LOSSES[name](batch)
    np.testing.assert_allclose(loss.item(), batch.data[f"{name}_loss"], rtol=1e-5, atol=1e-6)
    recorded = [leaf for leaf in TENSORS if f"{name}_grad_{leaf}" in batch.data]
    assert "features" in recorded
    for leaf, gradient in zip(recorded, torch.autograd.grad(loss, [batch.leaves[leaf] for leaf in recorded]), strict=True):
        wanted = batch.data[f"{name}_grad_{leaf}"]
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=GRADIENT_RTOL.get(name, 1e-4), atol=1e-6)


def test_every_recorded_loss_is_compared() -> None:
    assert {key.removesuffix("_loss") for key in load("ccreid_losses") if key.endswith("_loss")} == set(LOSSES)


@pytest.mark.parametrize("name", ["ccreid_cal_memory_m0", "ccreid_cal_memory_m09"])
def test_memory_bank_step_by_step(name: str) -> None:
    data = load(name)
    owner = data["pid2clothes"].argmax(axis=0)
    outfits = LabelMap({p: p for p in range(3)}, {c: c for c in range(6)}, tuple(owner.tolist()))
    momentum, scale, epsilon = (float(data[key]) for key in ("momentum", "scale", "epsilon"))
    memory = ClothesMemory(data["features"].shape[2], outfits, "published", momentum, scale, epsilon)
    for step in range(4):
        features = torch.from_numpy(data["features"][step]).requires_grad_()
        batch = {"clothes": torch.from_numpy(data["clothes_ids"][step]), "pid": torch.from_numpy(data["pids"][step])}
        loss = memory.forget(features, batch)
        (gradient,) = torch.autograd.grad(loss, features)
        recorded = {key: data[f"step{step}_{key}"] for key in ("loss", "grad", "feature_memory", "label_memory", "pos_mask_after")}
        np.testing.assert_allclose(loss.item(), recorded["loss"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient.numpy(), recorded["grad"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(memory.features.numpy(), recorded["feature_memory"], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(memory.labels.numpy(), recorded["label_memory"])
        seen = eq.eq04_positives(memory.clothes_to_pid, batch["pid"]) & (memory.labels >= 0)
        np.testing.assert_array_equal(seen.numpy(), recorded["pos_mask_after"] > 0)
