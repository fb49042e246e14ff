"""Whole methods against the published program: what the plugins' stages compute and train under the recipes that carry its settings.

The formulas have tests of their own; these tie together settings, recipe, stage, named losses, weights, groups and schedule.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from reidclip import registry
from reidclip.clip.architecture import build_towers, encoder_config
from reidclip.clip.heads import published_key
from reidclip.clip.image_encoder import make_image_encoder
from reidclip.clip.load import ClipModel
from reidclip.clip.text_encoder import TextEncoder
from reidclip.clip.tokenizer import make_tokenizer
from reidclip.data.source import ImageSource
from reidclip.interfaces import StageContext, TrainStage, Update
from reidclip.records import Sample, training_labels
from reidclip.stages.choose import settings_for
from reidclip.train.reid_model import ReidOutputs
from tests.fakes import tiny_clip
from tests.parity.fixtures import fill, load, load_json

RECIPES = {"vit": "prcc", "cnn": "rn50"}  # of method clipreid: what configs/person/{vit,cnn}_clipreid.yml say
MODELS = {"vit": "ViT-B-16-quickgelu", "cnn": "RN50-quickgelu"}
META, CPU = torch.device("meta"), torch.device("cpu")
SAMPLES = tuple(Sample(f"{pid}-{n}.png", pid, 0, pid, "train") for pid in range(5) for n in range(4))  # 5 identities, as recorded


def context(method: str, command: str, recipe: str, clip: ClipModel, **changes: Any) -> StageContext:
    """What the command gives the method under a recipe; ``changes`` are --set options, but for prompts and device."""
    prompts, device = changes.pop("prompts", None), changes.pop("device", CPU)
    settings = settings_for(registry.get("reidclip.methods", method), command, recipe, None, changes)
    source = ImageSource([Path(s.path) for s in SAMPLES])
    return StageContext(settings, clip, SAMPLES, training_labels(SAMPLES), source, device, seed=0, prompts=prompts)


def finetune_stage(method: str, recipe: str, clip: ClipModel, **changes: Any) -> TrainStage:
    (stage,) = registry.get("reidclip.methods", method).finetune_stages(context(method, "finetune", recipe, clip, **changes))
    return stage


def prompt_stage(monkeypatch: pytest.MonkeyPatch, recipe: str, clip: ClipModel, **changes: Any) -> TrainStage:
    """CLIP-ReID's, without encoding pictures: the recorded image features come with the batch."""
    rows = torch.zeros(len(SAMPLES), clip.joint_width, device=changes.get("device", CPU))
    monkeypatch.setattr("reidclip_clipreid.method.frozen_features", lambda *arguments, **options: {"x": rows})
    (stage,) = registry.get("reidclip.methods", "clipreid").prompt_stages(context("clipreid", "prompt-learn", recipe, clip, **changes))
    return stage


def leaf(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).requires_grad_()


def total(update: Update, losses: dict[str, Tensor]) -> Tensor:
    """The sum that the training loop minimises."""
    return torch.stack([value * update.weights.get(name, 1.0) for name, value in losses.items()]).sum()


def assert_loss(loss: Tensor, recorded: np.ndarray, rtol: float = 1e-5) -> None:
    np.testing.assert_allclose(loss.item(), recorded, rtol=rtol, atol=1e-6)


def assert_gradients(loss: Tensor, expected: list[tuple[Tensor, np.ndarray]], rtol: float = 1e-4) -> None:
    for gradient, (_, recorded) in zip(torch.autograd.grad(loss, [t for t, _ in expected]), expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), recorded, rtol=rtol, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------------- stage-2 losses
OUTPUTS = {"last": "feat_last", "pooled": "feat", "projected": "feat_proj", "score_pooled": "score0", "score_projected": "score1"}


def recorded_stage2(model: str) -> tuple[dict[str, np.ndarray], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Vectors, leaves by recorded name, prompts and batch."""
    data = load(f"clipreid_stage2_loss_{model}")
    leaves = {name: leaf(data[name]) for name in OUTPUTS.values()}
    return data, leaves, {"identity.text": torch.from_numpy(data["text_features"])}, {"pid": torch.from_numpy(data["targets"])}


@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_clipreid_stage_2_is_the_published_loss(model: str) -> None:
    data, leaves, prompts, batch = recorded_stage2(model)
    stage = finetune_stage("clipreid", RECIPES[model], tiny_clip(), prompts=prompts)
    (update,) = stage.updates
    losses = dict(update.losses(batch, ReidOutputs(**{ours: leaves[theirs] for ours, theirs in OUTPUTS.items()})))
    assert_loss(losses["id"], data["part_id_score0"] + data["part_id_score1"])
    assert_loss(losses["triplet"], data["part_tri_last"] + data["part_tri_feat"] + data["part_tri_proj"])
    assert_loss(losses["i2tce"], data["part_i2tce"])
    loss = total(update, losses)
    assert_loss(loss, data["loss"])
    assert_gradients(loss, [(leaves[name], data[f"grad_{name}"]) for name in leaves])


@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_the_baseline_is_the_published_loss_without_text(model: str) -> None:
    data, leaves, _, batch = recorded_stage2(model)
    id_weight = float(data["weights"][0])  # recorded with CLIP-ReID's weights; the published baseline has 1 for both towers
    (update,) = finetune_stage("baseline", RECIPES[model], tiny_clip(), id_weight=id_weight).updates
    outputs = ReidOutputs(**{ours: leaves[theirs] for ours, theirs in OUTPUTS.items()})
    assert_loss(total(update, dict(update.losses(batch, outputs))), data["loss_without_i2t"])


@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_ccaf_without_its_own_terms_is_clipreid(model: str) -> None:
    """Eq. (1)-(3) and (7) on the raw stream alone, with CLIP-ReID's weight on the cross-entropy."""
    data, leaves, prompts, batch = recorded_stage2(model)
    id_weight = float(data["weights"][0])
    stage = finetune_stage("ccaf", "prcc", tiny_clip(), prompts=prompts, i2i=False, cfm=False, id_weight=id_weight)
    (update,) = stage.updates
    streams = type("Streams", (), {"raw": ReidOutputs(**{o: leaves[t] for o, t in OUTPUTS.items()}), "shield": None})
    loss = total(update, dict(update.losses(batch, streams)))
    assert_loss(loss, data["loss"])
    assert_gradients(loss, [(leaves[name], data[f"grad_{name}"]) for name in leaves])


# ----------------------------------------------------------------------------------------------------------------- stage-1 losses
def test_clipreid_stage_1_is_the_published_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("clipreid_supcon")
    (update,) = prompt_stage(monkeypatch, "prcc", tiny_clip()).updates
    images, table, labels = leaf(data["image_features"]), leaf(data["text_table"]), torch.from_numpy(data["labels"])
    losses = dict(update.losses({"features": images, "labels": labels}, table[labels]))
    assert_loss(losses["i2t"], data["table_i2t_loss"])
    assert_loss(losses["t2i"], data["table_t2i_loss"])
    loss = total(update, losses)
    assert_loss(loss, data["table_sum_loss"])
    assert_gradients(loss, [(images, data["table_sum_grad_image"]), (table, data["table_sum_grad_table"])])


def test_clipreid_stage_1_through_the_text_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("clipreid_text")
    stage = prompt_stage(monkeypatch, "prcc", replace(published_clip("vit"), text_encoder=filled_text_encoder(int(data["fill_seed"]))))
    (update,) = stage.updates
    (_, contexts) = update.groups[0].params[0]
    with torch.no_grad():
        contexts.copy_(torch.from_numpy(data["cls_ctx"]))
    batch = {"features": torch.from_numpy(data["stage1_image_features"]), "labels": torch.from_numpy(data["stage1_labels"])}
    losses = dict(update.losses(batch, stage.forward(batch)))
    np.testing.assert_allclose(losses["i2t"].item(), data["stage1_loss_i2t"], atol=1e-4)
    np.testing.assert_allclose(losses["t2i"].item(), data["stage1_loss_t2i"], atol=1e-4)
    loss = total(update, losses)
    np.testing.assert_allclose(loss.item(), data["stage1_loss"], atol=1e-4)
    assert_gradients(loss, [(contexts, data["stage1_grad_cls_ctx"])], rtol=1e-3)


def filled_text_encoder(seed: int) -> TextEncoder:
    with META:
        towers = build_towers(open_clip.get_model_config(MODELS["vit"]))
    shapes = {name: tuple(value.shape) for name, value in towers.state_dict().items() if not name.startswith("visual.")}
    towers.load_state_dict(fill(shapes, seed), strict=False, assign=True)
    return TextEncoder(towers)


# ------------------------------------------------------------------------------------------------------------ optimiser, schedules
def published_clip(model: str) -> ClipModel:
    """The architecture that was published, without weights: shapes and names are all that is asked of it."""
    config = open_clip.get_model_config(MODELS[model])
    with META:
        towers = build_towers(config)
        encoder = make_image_encoder(encoder_config(config, (256, 128)), towers.visual)
    return replace(tiny_clip(), image_encoder=encoder, text_encoder=TextEncoder(towers), tokenizer=make_tokenizer(config["text_cfg"]))


def published_name(name: str) -> str:
    """``encoder.proj`` -> ``image_encoder.proj``, ``heads.pooled.classifier.weight`` -> ``classifier.weight``."""
    part, rest = name.split(".", 1)
    return f"image_encoder.{rest}" if part == "encoder" else published_key(rest)


def published_groups(model: str, stage: str) -> dict[str, tuple[list[int], Any, Any]]:
    rows = load_json(f"optim_groups_clipreid_{'rn50' if model == 'cnn' else model}")[stage]
    return {name: (shape, pytest.approx(rate), pytest.approx(decay)) for name, shape, rate, decay in rows}


@pytest.mark.parametrize("method", ["clipreid", "baseline"])
@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_the_stage_trains_what_the_published_optimiser_trains(method: str, model: str) -> None:
    """Every parameter of the real architecture at its rate and decay, and none beside them."""
    (update,) = finetune_stage(method, RECIPES[model], published_clip(model), device=META).updates
    got = {published_name(n): (list(p.shape), group.lr, group.weight_decay) for group in update.groups for n, p in group.params}
    assert got == published_groups(model, "stage2")


def test_prompt_learning_trains_the_contexts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (update,) = prompt_stage(monkeypatch, "prcc", published_clip("vit"), device=META).updates
    ((_, contexts),) = [pair for group in update.groups for pair in group.params]
    got = {"prompt_learner.cls_ctx": (list(contexts.shape), update.groups[0].lr, update.groups[0].weight_decay)}
    assert got == published_groups("vit", "stage1")


@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_the_recipes_give_the_published_rates(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = load("schedules")
    first = prompt_stage(monkeypatch, RECIPES[model], tiny_clip())
    assert_rates(first, recorded[f"clipreid_{model}_stage1_lr_f64"], "contexts")
    second = finetune_stage("clipreid", RECIPES[model], tiny_clip(), i2tce_weight=0)
    assert_rates(second, recorded[f"clipreid_{model}_stage2_lr_f64"], "encoder")
    assert_rates(second, recorded[f"clipreid_{model}_stage2_lr_bias_f64"], "encoder-bias")


def assert_rates(stage: TrainStage, recorded: np.ndarray, group_name: str) -> None:
    (update,) = stage.updates
    (group,) = [g for g in update.groups if g.name == group_name]
    assert stage.epochs == len(recorded) > 0
    np.testing.assert_allclose([group.lr * update.schedule(epoch) for epoch in range(stage.epochs)], recorded, rtol=1e-9)
