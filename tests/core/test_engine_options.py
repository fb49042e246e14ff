"""Precision by name, torch.compile, batches in pieces: what they change, what they must not, and what they refuse."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from reidclip.artifacts.store import Store
from reidclip.errors import UserError
from reidclip.parallel.batch_norm import WholeBatchNorm2d
from reidclip.stages.evaluate import plan_evaluate
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.optim import build_adam
from reidclip.train.precision import PRECISIONS, autocast, check_precision, loss_scaler
from reidclip.train.prepare import prepare
from tests.fakes import write_prcc
from tests.method_bench import CPU, Bench
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("people")
    return Bench("baseline", write_prcc(folder / "data", folder / "keep"), folder / "keep")


@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_what_only_a_gpu_can_says_what_to_use(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} needs a CUDA device; this run is on cpu") as caught:
        check_precision(name, CPU)
    assert "bf16" in caught.value.remedy
    assert check_precision(name) == name  # without a device only the name is looked at


def test_evaluate_asks_the_device_too(tmp_path: Path) -> None:
    """Before it reads any data; on a GPU the same look switches TF32 off."""
    with pytest.raises(UserError, match="fp16 needs a CUDA device; this run is on cpu"):
        plan_evaluate(tmp_path / "none", Store(tmp_path / "artifacts"), zero_shot=True, device="cpu", precision="fp16")


def test_unknown_precision_names_the_known() -> None:
    with pytest.raises(UserError) as caught:
        check_precision("fp8")
    assert all(name in caught.value.remedy for name in PRECISIONS)


def test_tf32_is_off_unless_asked() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        for name, expected in (("tf32", True), ("fp32", False), ("bf16", False)):
            check_precision(name, CUDA)
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (expected, expected)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_only_fp16_scales_its_losses() -> None:
    assert not any(loss_scaler(name).is_enabled() for name in ("fp32", "tf32", "bf16"))
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("batch_norm", [False, True])
def test_pieces_are_refused_where_they_would_train_another_model(people: Bench, batch_norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if batch_norm:
        monkeypatch.setattr("tests.method_bench.tiny_clip", lambda: tiny_clip(TINY_RESNET, image_size=(64, 32)))
        stages = people.build(people.context("finetune"), "finetune")
        with pytest.raises(UserError, match="BatchNorm, whose statistics are those of the whole batch"):
            prepare(stages, accumulate=2)
    else:
        prompts = Bench("clipreid", people.root, people.masks).stages("prompt-learn")
        with pytest.raises(UserError, match="trains no image encoder"):
            prepare(prompts, accumulate=2)


class OwnBatchNorm2d(nn.BatchNorm2d):
    """As a method may bring one along."""


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm3d, OwnBatchNorm2d])
def test_a_batch_norm_that_sees_one_process_alone_is_refused(
    people: Bench, norm: type[nn.modules.batchnorm._BatchNorm], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = people.build(people.context("finetune"), "finetune")
    stages[0].module.encoder.add_module("neck", nn.Sequential(norm(4)))
    prepare(stages)
    monkeypatch.setattr("reidclip.train.prepare.size", lambda: 2)
    with pytest.raises(UserError, match=rf"layer 'neck\.0' is a {norm.__name__}, .* one process's part") as caught:
        prepare(stages)
    assert "one process" in caught.value.remedy


def test_batch_norms_of_encoder_and_heads_may_train_on_several_processes(people: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.method_bench.tiny_clip", lambda: tiny_clip(TINY_RESNET, image_size=(64, 32)))
    monkeypatch.setattr("reidclip.train.prepare.size", lambda: 2)
    (stage,) = people.build(people.context("finetune"), "finetune")
    prepare([stage])
    prepare([stage])
    assert {type(m) for m in stage.module.modules() if isinstance(m, nn.BatchNorm2d)} == {WholeBatchNorm2d}
    assert {type(m) for m in stage.module.heads.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)} == {nn.BatchNorm1d}


def test_more_pieces_than_pictures_change_nothing(people: Bench) -> None:
    def trained(pieces: int) -> list[dict[str, float]]:
        stages = people.build(people.context("finetune", lr=1e-3), "finetune")
        prepare(stages, accumulate=pieces)
        return [{k: v for k, v in row.items() if k != "seconds"} for row in run_stage(stages[0], LoopOptions(CPU))]

    whole, pieces = trained(1), trained(64)
    for a, b in zip(whole, pieces, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_adam_is_fused() -> None:
    from reidclip.interfaces import ParamGroup

    weight = torch.nn.Parameter(torch.ones(3))
    assert build_adam([ParamGroup("w", [("w", weight)], 1e-3)]).defaults["fused"] is True


@pytest.mark.slow
@pytest.mark.parametrize("model", [TINY_VIT, TINY_RESNET], ids=["vit", "resnet"])
def test_a_compiled_encoder_gives_the_same_features_and_gradients(model: dict[str, object]) -> None:
    """Whole trainings are not compared: Adam turns the rounding of a gradient that should be zero into a step of full size."""
    size = (32, 16) if model is TINY_VIT else (64, 32)
    plain = tiny_clip(model, image_size=size).image_encoder.train()
    compiled = copy.deepcopy(plain)
    compiled.compile()
    x = torch.randn(6, 3, *size, generator=torch.Generator().manual_seed(0))
    results = []
    for encoder in (plain, compiled):
        features = encoder(x, None)
        total = sum((f.square().sum() for f in features), start=torch.zeros(()))
        gradients = torch.autograd.grad(total, [p for p in encoder.parameters() if p.requires_grad], allow_unused=True)
        results.append((features, gradients))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert float((a - b).norm()) <= 1e-4 * float(a.norm()) + 1e-6


@pytest.mark.slow
def test_a_stage_trains_compiled(people: Bench, tmp_path: Path) -> None:
    stages = people.build(people.context("finetune"), "finetune")
    prepare(stages, compiled=True)
    history = run_stage(stages[0], LoopOptions(CPU, state=tmp_path / "state.safetensors"))
    assert len(history) == 2
    fresh = people.build(people.context("finetune"), "finetune")  # a state written by a compiled run suits one that is not
    assert run_stage(fresh[0], LoopOptions(CPU, state=tmp_path / "state.safetensors")) == history
