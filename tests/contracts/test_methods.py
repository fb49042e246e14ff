"""What every method owes the training loop, checked for every method in the registry and every stage that it has."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reidclip import registry
from reidclip.clip.image_only import ImageOnlyModel
from reidclip.clip.inference import InferenceEncoder
from reidclip.interfaces import StageContext, TrainStage
from reidclip.train.loop import LoopOptions, run_stage, step
from reidclip.train.optim import build_adam
from tests.fakes import SMALL, write_prcc
from tests.method_bench import CPU, Bench

METHODS = registry.names("reidclip.methods")
CASES = [(name, command) for name in METHODS for command in registry.get("reidclip.methods", name).stages]

every_stage = pytest.mark.parametrize(("name", "command"), CASES)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("prcc")
    return write_prcc(folder / "data", folder / "keep"), folder / "keep"


@pytest.fixture
def bench(name: str, tree: tuple[Path, Path]) -> Bench:
    return Bench(name, *tree)


def begin(stage: TrainStage) -> TrainStage:
    getattr(stage, "begin", lambda: None)()
    return stage


def first_batch(stage: TrainStage) -> Mapping[str, Tensor]:
    return next(iter(begin(stage).fetch(0)))


def snapshot(stage: TrainStage) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in stage.module.named_parameters()}


def one_step(stage: TrainStage, precision: str = "fp32") -> dict[str, Tensor]:
    stage.set_mode(True)
    return step(stage, [(u, build_adam(u.groups)) for u in stage.updates], first_batch(stage), LoopOptions(CPU, precision))


def frozen(context: StageContext) -> dict[str, Tensor]:
    """Everything that no training may change."""
    modules = {"image": context.clip.image_encoder, "teacher": context.teacher}
    if not isinstance(context.clip, ImageOnlyModel):
        modules["text"] = context.clip.text_encoder
    if context.teacher_clip is not None:
        modules["live"] = context.teacher_clip.image_encoder
    parts = {f"{part}.{k}": v for part, module in modules.items() if module is not None for k, v in module.state_dict().items()}
    told = {} if context.descriptions is None else {"words": context.descriptions.texts, "g": context.descriptions.features}
    return {k: v.clone() for k, v in {**parts, **told, **(context.prompts or {})}.items()}


def assert_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


@every_stage
def test_stages_say_what_they_train(bench: Bench, command: str) -> None:
    for stage in bench.stages(command):
        assert isinstance(stage, TrainStage)
        assert stage.epochs == SMALL["epochs"]
        names = [update.name for update in stage.updates]
        assert names and len(set(names)) == len(names)
        owned = {id(p): n for n, p in stage.module.named_parameters()}
        for update in stage.updates:
            trained = [p for group in update.groups for _, p in group.params]
            assert trained and len({id(p) for p in trained}) == len(trained), "a parameter is in two groups of one update"
            assert all(id(p) in owned for p in trained), "a trained parameter lies outside `module`: a resumed run would lose it"
            assert all(group.lr > 0 and group.weight_decay >= 0 for group in update.groups)
            factors = [update.schedule(epoch) for epoch in range(stage.epochs)]
            assert all(np.isfinite(f) and f >= 0 for f in factors) and any(factors)


@every_stage
def test_plan_depends_on_seed_and_epoch_alone(bench: Bench, command: str) -> None:
    for stage, again, other in zip(bench.stages(command), bench.stages(command), bench.stages(command, seed=4), strict=True):
        np.random.default_rng().random()
        torch.rand(5)
        plans = [[list(batch) for batch in stage.plan(epoch)] for epoch in range(3)]
        assert plans == [[list(batch) for batch in again.plan(epoch)] for epoch in range(3)]
        assert plans != [[list(batch) for batch in other.plan(epoch)] for epoch in range(3)]
        assert plans[0] != plans[1]
        assert all(batch and min(batch) >= 0 and max(batch) < 24 for plan in plans for batch in plan)


@every_stage
def test_fetch_gives_the_planned_batches_from_any_start(bench: Bench, command: str) -> None:
    for stage in bench.stages(command):
        whole = list(begin(stage).fetch(1))
        assert len(whole) == len(stage.plan(1)) > 1
        for got, expected in zip(stage.fetch(1, 1), whole[1:], strict=True):
            assert_same(got, expected)


@every_stage
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_are_named_finite_scalars(bench: Bench, command: str, precision: str) -> None:
    for stage in bench.build(bench.context(command, precision=precision), command):
        logged = one_step(stage, precision)
        named = {name for name in logged if "/" not in name}
        assert len(named) >= len(stage.updates)
        assert {f"{update.name}/total" for update in stage.updates} <= logged.keys()
        for update in stage.updates:
            assert set(update.weights) <= named | set(_unused(update.weights)), "a weight for a loss that does not exist"
        assert {name: tuple(value.shape) for name, value in logged.items()} == {name: () for name in logged}
        assert [name for name, value in logged.items() if not torch.isfinite(value)] == []


def _unused(weights: Mapping[str, float]) -> list[str]:
    """Losses whose weight is 0 need not be computed."""
    return [name for name, weight in weights.items() if weight == 0]


@every_stage
def test_every_update_trains_its_groups_and_nothing_else(bench: Bench, command: str) -> None:
    context = bench.context(command)
    count = len(bench.build(context, command))
    for number in range(count):
        for turn in range(len(bench.stages(command)[number].updates)):
            context = bench.context(command)
            untouched = frozen(context)
            stage = bench.build(context, command)[number]
            before = snapshot(stage)
            update = stage.updates[turn]
            stage.updates = [update]
            for _ in range(2):  # behind a layer that starts at 0 nothing moves in the first
                one_step(stage)
            of_module = {id(p): name for name, p in stage.module.named_parameters()}
            trained = {of_module[id(p)] for group in update.groups for _, p in group.params}
            after = snapshot(stage)
            assert {name for name in before if not torch.equal(before[name], after[name])} == trained
            assert_same(untouched, frozen(context))


@every_stage
def test_set_mode(bench: Bench, command: str) -> None:
    context = bench.context(command)
    for stage in bench.build(context, command):
        batch = first_batch(stage)
        stage.set_mode(True)
        stage.set_mode(False)
        buffers = {name: b.clone() for name, b in stage.module.named_buffers()}
        with torch.no_grad():
            first, second = (_tensors(stage.forward(batch)) for _ in range(2))
        assert len(first) > 0
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert_same(buffers, dict(stage.module.named_buffers()))
        stage.set_mode(True)
        if command == "prompt-learn":
            assert not context.clip.text_encoder.training, "the frozen text encoder belongs in evaluation mode"


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, (tuple, list)) else ()
    return [t for part in parts for t in _tensors(part)]


def _interrupt_after(iterations: int) -> Callable[[int, int], None]:
    """A progress callback that presses Ctrl-C."""
    return lambda done, total: signal.raise_signal(signal.SIGINT) if done == iterations else None


def _state(stage: TrainStage) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in stage.module.state_dict().items()}


@every_stage
def test_a_resumed_run_ends_in_the_same_bits(bench: Bench, command: str, tmp_path: Path) -> None:
    for number, stage in enumerate(bench.stages(command)):
        history = run_stage(stage, LoopOptions(CPU))
        expected = _state(stage)
        total = sum(len(stage.plan(epoch)) for epoch in range(stage.epochs))
        assert total > 3
        random = np.random.default_rng([number, *f"{bench.method.name} {command}".encode()])
        for iterations in {1, len(stage.plan(0)), int(random.integers(2, total))}:  # within an epoch, at its end, anywhere
            options = LoopOptions(CPU, state=tmp_path / f"{number}-{iterations}.safetensors")
            with pytest.raises(KeyboardInterrupt):
                run_stage(_after_those_before(bench.stages(command), number), options, _interrupt_after(iterations))
            resumed = _after_those_before(bench.stages(command), number)
            with torch.no_grad():
                for p in resumed.module.parameters():
                    p.add_(1.0)  # whatever is not in the state shows
            rest = run_stage(resumed, options)
            assert_same(expected, _state(resumed))
            assert [_losses(row) for row in rest] == [pytest.approx(_losses(row), rel=1e-5) for row in history]


def _after_those_before(stages: Sequence[TrainStage], number: int) -> TrainStage:
    """A stage that may begin: the stages before it have ended."""
    for earlier in stages[:number]:
        run_stage(earlier, LoopOptions(CPU))
    return stages[number]


def _losses(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}


@pytest.mark.parametrize("name", [n for n, command in CASES if command == "prompt-learn"])
def test_prompt_tensors(bench: Bench) -> None:
    context = bench.context("prompt-learn")
    stages = bench.build(context, "prompt-learn")
    for stage in stages:
        run_stage(stage, LoopOptions(CPU))
    tensors = bench.method.prompt_tensors(context, stages)
    assert tensors
    counts = {len(context.labels.pids), len(context.labels.clothes), len(context.labels.domains)}
    for name, tensor in tensors.items():
        if name.startswith("model."):  # a trained model beside the prompts
            continue
        assert not tensor.requires_grad and torch.isfinite(tensor).all(), name
        assert len(tensor) in counts, name
        if name.endswith(".text"):
            assert tensor.shape[1:] == (context.clip.joint_width,), name
            context_of = tensors[name.removesuffix(".text") + ".context"]
            assert context_of.ndim == 3 and len(context_of) == len(tensor)


of_encoders = pytest.mark.parametrize(("name", "command"), [case for case in CASES if case[1] in ("finetune", "distill")])


@of_encoders
def test_encoder_treats_test_pictures_as_the_settings_say(bench: Bench, command: str) -> None:
    for test_resize, normalise_features in (("bicubic", False), ("bilinear", True)):
        how = {"normalisation": "instance", "test_resize": test_resize, "normalise_features": normalise_features}
        context = bench.context(command, **how)
        options = bench.method.encoder(context, bench.build(context, command)).options
        told = (options.per_picture, options.resize, options.normalise)
        assert told == (True, test_resize, normalise_features)


@of_encoders
def test_encoder_survives_saving(bench: Bench, command: str, tmp_path: Path) -> None:
    context = bench.context(command)
    stages = bench.build(context, command)
    template = copy.deepcopy(context.clip.image_encoder).state_dict()
    begun = {k: v.clone() for k, v in bench.method.encoder(context, stages).image_encoder.state_dict().items()}
    for stage in stages:
        run_stage(stage, LoopOptions(CPU))
    encoder = bench.method.encoder(context, stages)
    assert isinstance(encoder, InferenceEncoder)
    assert_same(template, context.clip.image_encoder.state_dict())
    trained = encoder.image_encoder.state_dict()
    still = [name for name, _ in encoder.image_encoder.named_parameters() if torch.equal(begun[name], trained[name])]
    assert still == [], "parts of the encoder were not trained"
    encoder.eval().save(tmp_path)
    pictures = torch.randn(3, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    features = encoder.features(pictures)
    assert features.shape == (3, encoder.width)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    assert torch.equal(InferenceEncoder.load(tmp_path).features(pictures), features)
