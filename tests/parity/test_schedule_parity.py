"""Learning rates per epoch against the published programs; every constant is from the papers' configurations."""

import numpy as np
import pytest

from reidclip.train.schedule import Schedule, constant, warmup_cosine, warmup_multistep
from tests.parity.fixtures import load

VIT = {"base": 5e-6, "milestones": (30, 50), "warmup_factor": 0.1}
CNN = {"base": 3.5e-4, "milestones": (40, 70), "warmup_factor": 0.01}


def assert_rates(name: str, base: float, schedule: Schedule) -> None:
    recorded = load("schedules")[f"{name}_f64"]
    assert len(recorded) > 0
    np.testing.assert_allclose([base * schedule(epoch) for epoch in range(len(recorded))], recorded, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("clipreid_vit_stage1_lr", 3.5e-4),
        ("clipreid_cnn_stage1_lr", 3.5e-4),
        ("fgdi_prompt_lr_ctx", 3.5e-4),
        ("fgdi_prompt_domain_lr_ctx", 3.5e-4),
        ("fgdi_prompt_lr_domain_classifier", 0.01),
        ("fgdi_prompt_domain_lr_domain_classifier", 0.01),
    ],
)
def test_prompt_learning(name: str, base: float) -> None:
    epochs = len(load("schedules")[f"{name}_f64"])
    assert_rates(name, base, warmup_cosine(base, warmup_lr=1e-5, min_lr=1e-6, epochs=epochs, warmup_epochs=5))


@pytest.mark.parametrize(
    ("name", "settings", "first_index"),
    [
        ("clipreid_vit_stage2_lr", VIT, 1),
        ("clipreid_cnn_stage2_lr", CNN, 1),
        ("fgdi_prior_lr", VIT, 1),
        ("fgdi_stage3_lr", VIT, 4),
    ],
)
def test_fine_tuning(name: str, settings: dict, first_index: int) -> None:
    schedule = warmup_multistep(settings["milestones"], 10, settings["warmup_factor"], first_index=first_index)
    assert_rates(name, settings["base"], schedule)
    assert_rates(name.replace("_lr", "_lr_bias"), 2 * settings["base"], schedule)


def test_cal() -> None:
    assert_rates("ccreid_backbone_lr", 3.5e-4, warmup_multistep((20, 40), warmup_epochs=0, first_index=0))
    assert_rates("ccreid_clothes_classifier_lr", 3.5e-4, constant())
