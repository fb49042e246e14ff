"""Clothes-based losses against numbers recorded from the published Simple-CCReID program."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from reidclip.formulas.clothes import clothes_adversarial, clothes_cosines, clothes_cross_entropy, clothes_of_identities
from tests.parity.fixtures import load

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "clothes_cosface_m0_s16": lambda z, c, positives: clothes_cross_entropy(z, c, 16.0),
    "cal_s16_eps01": lambda z, c, positives: clothes_adversarial(z, c, positives, 16.0, 0.1),
    "cal_s16_eps10": lambda z, c, positives: clothes_adversarial(z, c, positives, 16.0, 1.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_clothes_loss(name: str) -> None:
    data = load("ccreid_losses")
    features, weight = (torch.from_numpy(data[key]).requires_grad_() for key in ("features", "clothes_classifier_weight"))
    cosines = clothes_cosines(features, weight)
    np.testing.assert_allclose(cosines.detach().numpy(), data["clothes_cosine"], rtol=1e-5, atol=1e-6)
    loss = LOSSES[name](cosines, torch.from_numpy(data["clothes_ids"]), torch.from_numpy(data["pos_mask"]) > 0)
    np.testing.assert_allclose(loss.item(), data[f"{name}_loss"], rtol=1e-5, atol=1e-6)
    for tensor, key in zip(torch.autograd.grad(loss, (features, weight)), ("features", "clothes_weight"), strict=True):
        np.testing.assert_allclose(tensor.numpy(), data[f"{name}_grad_{key}"], rtol=1e-4, atol=1e-6)


def test_positives_are_the_outfits_of_the_same_person() -> None:
    data = load("ccreid_losses")
    clothes_to_pid = torch.from_numpy(data["pid2clothes"]).argmax(dim=0)
    positives = clothes_of_identities(clothes_to_pid, torch.from_numpy(data["pids"]))
    np.testing.assert_array_equal(positives.numpy(), data["pos_mask"] > 0)
