"""The state of an unfinished training: never replaced by a bad one, never mixed with other weights, never removed under another process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reidclip import registry
from reidclip.artifacts.lock import exclusive
from reidclip.artifacts.store import Store
from reidclip.cli.console import _Rate, progress_bar, progress_bars
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, WorkError
from reidclip.interfaces import ParamGroup, Update
from reidclip.stages.train_job import TrainJob
from reidclip.stages.train_run import run_stages, start_over
from reidclip.train.loop import LoopOptions, run_stage
from tests.fakes import write_prcc

CPU = torch.device("cpu")


class Line:
    """A stage of one weight: the loss of batch b is (w - 1)^2 * factor[b]."""

    epochs = 2

    def __init__(self, factors: Sequence[float] = (1.0, 1.0), lr: float = 0.1) -> None:
        self.module: nn.Module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)  # type: ignore[arg-type]
        self.factors = factors
        weight = dict(self.module.named_parameters())["weight"]
        self.updates = [Update("main", [ParamGroup("w", [("weight", weight)], lr)], lambda epoch: 1.0, self.losses)]

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        return [[b] for b in range(len(self.factors))]

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return ({"factor": torch.tensor(f)} for f in self.factors[start:])

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        return self.module.weight

    def losses(self, batch: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
        return {"square": ((weight - 1) ** 2).sum() * batch["factor"]}

    def set_mode(self, training: bool) -> None: ...


class Overflow(Line):
    """Its loss is finite while its gradient is not, in the second epoch: the root's slope at zero."""

    def losses(self, batch: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
        return {"root": (weight * 0).abs().sqrt().sum() if batch["factor"] < 0 else weight.sum()}

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return ({"factor": torch.tensor(-1.0 if epoch == 1 else 1.0)} for _ in self.factors[start:])


class Convolution(Line):
    """A convolution whose weights lie channels-last in memory, or not; without state but for its weight."""

    epochs = 6

    def __init__(self, memory_format: torch.memory_format) -> None:
        torch.manual_seed(0)
        self.module = nn.Conv2d(4, 8, 3, bias=False).to(memory_format=memory_format)  # type: ignore[call-overload]
        self.factors = (1.0, 2.0)
        named = list(self.module.named_parameters())
        self.updates = [Update("main", [ParamGroup("w", named, 1e-2)], lambda epoch: 1.0, self.losses)]
        self.x = torch.randn(3, 4, 6, 5)

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        return self.module(self.x)

    def losses(self, batch: Mapping[str, Tensor], maps: Tensor) -> dict[str, Tensor]:
        return {"square": ((maps - batch["factor"]) ** 2).mean()}


def weight_after(stage: Convolution, state: Path | None = None) -> Tensor:
    run_stage(stage, LoopOptions(CPU, state=state))
    weight: Tensor = stage.module.weight.detach().contiguous()
    return weight


def test_channels_last_weights_resume_to_the_same_bits(tmp_path: Path) -> None:
    """Their moments are written in another order than they have in memory, which the fused kernel would not notice."""
    undisturbed = weight_after(Convolution(torch.channels_last))
    first = Convolution(torch.channels_last)
    first.epochs = 3
    halfway = weight_after(first, tmp_path / "state.safetensors")
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        facts = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    facts["position"] = json.dumps({**json.loads(facts["position"]), "done": False})
    save_file(tensors, tmp_path / "state.safetensors", metadata=facts)
    resumed = weight_after(Convolution(torch.channels_last), tmp_path / "state.safetensors")
    assert not torch.equal(halfway, undisturbed) and torch.equal(resumed, undisturbed)


def test_channels_last_weights_train_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order in memory a gradient has, for instance after an exchange between processes."""
    plain = weight_after(Convolution(torch.contiguous_format))
    torch.testing.assert_close(weight_after(Convolution(torch.channels_last)), plain, atol=1e-5, rtol=1e-4)
    monkeypatch.setattr("reidclip.train.loop.mean_gradients", lambda gradients: [g.contiguous() for g in gradients])
    torch.testing.assert_close(weight_after(Convolution(torch.channels_last)), plain, atol=1e-5, rtol=1e-4)


def test_weights_that_are_not_finite_never_replace_a_good_state(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    with pytest.raises(WorkError, match=r"no longer finite; the first is weight"):
        run_stage(Overflow(factors=(1.0,)), LoopOptions(CPU, state=state))
    assert torch.isfinite(load_file(state)["module.weight"]).all()


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"Loss 'square' is not finite \(epoch 1"):
        run_stage(Line(factors=(1.0, float("nan"))), LoopOptions(CPU, state=tmp_path / "state.safetensors"))
    assert not list(tmp_path.iterdir())


def test_processes_that_found_different_states_do_not_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On several machines without a shared disk only the first process finds what an interrupted run left."""
    monkeypatch.setattr("reidclip.train.loop.from_all", lambda place: [(1, 0, False), place])
    stage = Line()
    with pytest.raises(WorkError, match=r"different ages: .* \(1, 0, False\), \(0, 0, False\)") as caught:
        run_stage(stage, LoopOptions(CPU, state=tmp_path / "state.safetensors"))
    assert "share" in caught.value.remedy and stage.module.weight.item() == 0


def test_an_epoch_without_a_batch_is_an_error() -> None:
    with pytest.raises(WorkError, match="nothing to train on"):
        run_stage(Line(factors=()), LoopOptions(CPU))


def test_no_epochs_train_nothing(tmp_path: Path) -> None:
    stage = Line()
    stage.epochs = 0
    assert run_stage(stage, LoopOptions(CPU, state=tmp_path / "state.safetensors")) == []
    assert stage.module.weight.item() == 0


@pytest.mark.parametrize(
    "position",
    [{"epoch": 1, "hour": 3}, {"epoch": 1, "batch": 0, "done": False, "history": [], "partial": {}, "of_a_later_version": 1}],
)
def test_a_state_of_another_version_is_a_sentence(tmp_path: Path, position: dict[str, Any]) -> None:
    state = tmp_path / "state.safetensors"
    save_file({"module.weight": torch.zeros(1, 1)}, state, metadata={"position": json.dumps(position)})
    with pytest.raises(WorkError, match=r"cannot be used") as caught:
        run_stage(Line(), LoopOptions(CPU, state=state))
    assert "--fresh" in caught.value.remedy


def test_history_and_position_are_in_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    history = run_stage(Line(lr=0.5), LoopOptions(CPU, state=state))
    with safe_open(state, framework="pt") as file:
        position = json.loads(file.metadata()["position"])
    assert position["done"] and position["epoch"] == 2 and position["history"] == history
    assert history[0]["square"] == pytest.approx((1 + 0.25) / 2)  # Adam's first step is lr long: the weight goes 0, 0.5


class CutOffError(Exception):
    """In place of a kill."""


class CutOffAt(Line):
    """Is killed before a batch of its second epoch."""

    def __init__(self, factors: Sequence[float], batch: int) -> None:
        super().__init__(factors, lr=0.01)
        self.batch = batch

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        for number, batch in enumerate(super().fetch(epoch, start), start):
            if (epoch, number) == (1, self.batch):
                raise CutOffError
            yield batch


@pytest.mark.parametrize("cut", [1, 13, 20, 33, None])
def test_the_history_does_not_depend_on_when_states_are_written(tmp_path: Path, cut: int | None) -> None:
    """Nor on where a run was cut: sums of losses are rounded at the same places, to the last digit."""

    def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in history]

    factors = torch.rand(45, generator=torch.Generator().manual_seed(7)).tolist()
    undisturbed = run_stage(Line(factors, lr=0.01), LoopOptions(CPU))
    options = LoopOptions(CPU, state=tmp_path / "state.safetensors", save_seconds=0.0)
    if cut is not None:
        with pytest.raises(CutOffError):
            run_stage(CutOffAt(factors, cut), options)
    assert without_seconds(run_stage(Line(factors, lr=0.01), options)) == without_seconds(undisturbed)


# ------------------------------------------------------------------------------------------------------------------- run folders
@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    method = registry.get("reidclip.methods", "baseline")
    settings = method.settings["finetune"](identities=2)
    dataset = open_dataset(write_prcc(tmp_path / "prcc"))
    return TrainJob("finetune", "checkpoint", "line", method, None, settings, dataset, Store(tmp_path / "artifacts"))


def context(digest: str) -> Any:
    return SimpleNamespace(device=CPU, clip=SimpleNamespace(spec="tiny.safetensors", digest=digest))


def no_progress(what: str, done: int, total: int) -> None: ...


def test_a_run_goes_on_with_the_clip_that_it_began_with(job: TrainJob) -> None:
    run_stages(job, [Line()], context("a"), no_progress)
    assert run_stages(job, [Line()], context("a"), no_progress)["stage-0"]
    with pytest.raises(UserError, match=r"began with other weights of CLIP 'tiny.safetensors'") as caught:
        run_stages(job, [Line()], context("b"), no_progress)
    assert "--fresh" in caught.value.remedy
    start_over(job)
    assert run_stages(job, [Line()], context("b"), no_progress)["stage-0"]


def test_that_it_goes_on_is_told_by_the_one_that_does(job: TrainJob) -> None:
    told: list[str] = []
    job = replace(job, say=told.append)
    run_stages(job, [Line()], context("a"), no_progress)
    assert told == []
    with exclusive(job.run_folder() / "lock"), pytest.raises(WorkError, match="Another process is at this very run"):
        run_stages(job, [Line()], context("a"), no_progress)
    assert told == []
    run_stages(job, [Line()], context("a"), no_progress)
    assert told == ["going on with the unfinished run of this command (--fresh starts over)"]


def test_starting_over_does_not_pull_the_run_from_under_another_process(job: TrainJob) -> None:
    folder = job.run_folder()
    (folder / "stage-0.safetensors").write_bytes(b"state")
    with exclusive(folder / "lock"), pytest.raises(WorkError, match="Another process is at this very run"):
        start_over(job)
    assert (folder / "stage-0.safetensors").is_file()
    start_over(job)
    assert not folder.exists()


# ---------------------------------------------------------------------------------------------------------------------- progress
def test_the_rate_counts_what_this_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([2.0, 12.0])
    monkeypatch.setattr("reidclip.cli.console.time.monotonic", lambda: next(clock))
    rate = _Rate()
    assert rate(5001) is None
    assert rate(5021) == pytest.approx(2.0)


def test_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Epochs differ by a batch or two, so the expected total may be reached several times."""
    with progress_bar("training", "steps") as progress:
        for done in (1, 2, 2, 2):
            progress(done, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: 2/2 steps, ")


def test_parts_have_a_bar_each(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars("steps") as told:
        for what, done in (("masks", 1), ("masks", 2), ("training", 1), ("training", 2)):
            told(what, done, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["masks: 2/2 steps", "training: 2/2 steps"]
