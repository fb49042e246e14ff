"""The switches of CCAF's tables 3 and 4: which losses there are, what is trained, and which inputs are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reidclip.errors import UserError
from reidclip.interfaces import StageContext, TrainStage
from reidclip.records import training_labels
from reidclip.settings import parse_assignments, resolve
from reidclip.train.loop import LoopOptions, step
from reidclip.train.optim import build_adam
from reidclip_ccaf import METHOD
from tests.fakes import write_prcc
from tests.method_bench import CPU, Bench

ID, ID_S = {"id", "triplet"}, {"id_s", "triplet_s"}
ALL = ID | ID_S | {"i2tce", "i2tce_s", "con", "dis", "i2tce_c"}

# switches, losses that exist, masks read, prompts read
TABLE: list[tuple[dict[str, Any], set[str], bool, bool]] = [
    ({}, ALL, True, True),
    # table 3
    ({"i2t": False, "i2i": False, "cfm": False}, ID, False, False),
    ({"i2i": False, "cfm": False}, ID | {"i2tce"}, False, True),
    ({"i2t": False, "cfm": False}, ID | ID_S | {"con"}, True, False),
    ({"i2t": False, "i2i": False}, ID | {"dis", "i2tce_c"}, False, True),
    ({"cfm": False}, ID | ID_S | {"i2tce", "i2tce_s", "con"}, True, True),
    ({"i2i": False}, ID | {"i2tce", "dis", "i2tce_c"}, False, True),
    ({"i2t": False}, ALL - {"i2tce", "i2tce_s"}, True, True),
    # table 4
    ({"raw_text": False}, ALL - {"i2tce"}, True, True),
    ({"shield_text": False}, ALL - {"i2tce_s"}, True, True),
    ({"raw_text": False, "shield_text": False}, ALL - {"i2tce", "i2tce_s"}, True, True),
    ({"clothes_target": "onehot"}, ALL, True, True),
    ({"clothes_target": "onehot", "i2t": False}, ALL - {"i2tce", "i2tce_s"}, True, False),
    ({"clothes_target": "onehot", "raw_text": False, "i2i": False}, ID | {"dis", "i2tce_c"}, False, False),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder: Path = tmp_path_factory.mktemp("ccaf")
    return Bench("ccaf", write_prcc(folder / "data", folder / "keep"), folder / "keep")


def build(bench: Bench, **switches: Any) -> TrainStage:
    """The stage, given masks and prompts only when it says that it reads them."""
    (stage,) = bench.build(bench.context("finetune", **switches), "finetune")
    return stage


def losses_of(stage: TrainStage) -> set[str]:
    logged = step(stage, [(u, build_adam(u.groups)) for u in stage.updates], next(iter(stage.fetch(0))), LoopOptions(CPU))
    assert all(torch.isfinite(value) for value in logged.values())
    return {name for name in logged if "/" not in name}


@pytest.mark.parametrize(
    ("switches", "losses", "masks", "prompts"), TABLE, ids=[",".join(f"{k}={v}" for k, v in row[0].items()) or "all" for row in TABLE]
)
def test_switches(bench: Bench, switches: dict[str, Any], losses: set[str], masks: bool, prompts: bool) -> None:
    settings = resolve(METHOD.settings["finetune"], switches, where="finetune")
    assert METHOD.needs_masks("finetune", settings) == masks
    assert METHOD.needs_prompts(settings) == prompts
    stage = build(bench, **switches)
    assert ("keep" in next(iter(stage.fetch(0)))) == masks
    assert losses_of(stage) == losses


def trained(stage: TrainStage, update: str) -> set[str]:
    """First parts of the names of the parameters that an update trains."""
    (found,) = (u for u in stage.updates if u.name == update)
    return {name.split(".")[0] for group in found.groups for name, _ in group.params}


def test_examine_trains_proj_and_disentangle_both_streams(bench: Bench) -> None:
    stage = build(bench)
    assert [update.name for update in stage.updates] == ["examine", "disentangle"]
    assert trained(stage, "examine") == {"proj"}
    assert trained(stage, "disentangle") == {"raw", "shield"}


def test_onehot_labels_train_a_classifier_with_proj(bench: Bench) -> None:
    assert trained(build(bench, clothes_target="onehot"), "examine") == {"proj", "clothes_head"}


def test_without_cfm_there_is_one_update(bench: Bench) -> None:
    assert [update.name for update in build(bench, cfm=False).updates] == ["disentangle"]


def test_shielding_stream_sees_white_clothes(bench: Bench) -> None:
    """The shielding stream's features do not change when only the clothes pixels do; the raw stream's do."""
    stage = build(bench, erase=0.0)
    stage.set_mode(False)
    batch = dict(next(iter(stage.fetch(0))))
    other = {**batch, "image": torch.where(batch["keep"].bool()[:, None], batch["image"], 255 - batch["image"])}
    with torch.no_grad():
        before, after = stage.forward(batch), stage.forward(other)
    assert torch.equal(before.shield.projected, after.shield.projected)
    assert not torch.equal(before.raw.projected, after.raw.projected)


def test_masks_are_always_read_by_prompt_learning() -> None:
    assert METHOD.needs_masks("prompt-learn", METHOD.settings["prompt-learn"]())


def test_clothes_prompts_may_be_left_out(bench: Bench) -> None:
    context = bench.context("prompt-learn", clothes_prompts=False)
    stages = bench.build(context, "prompt-learn")
    assert len(stages) == 1
    assert set(METHOD.prompt_tensors(context, stages)) == {"identity.context", "identity.text"}


def test_stage_1_learns_identities_and_outfits(bench: Bench) -> None:
    context = bench.context("prompt-learn")
    stages = bench.build(context, "prompt-learn")
    tensors = METHOD.prompt_tensors(context, stages)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "identity.context": (4, 4, 16),
        "identity.text": (4, 16),
        "clothes.context": (8, 4, 16),
        "clothes.text": (8, 16),
    }
    assert [losses_of(stage) for stage in stages] == [{"i2t", "t2i"}, {"i2t_c", "t2i_c"}]


def test_prompts_without_clothes_cannot_be_examined_against(bench: Bench) -> None:
    context = bench.context("finetune")
    assert context.prompts is not None
    lacking = {name: t for name, t in context.prompts.items() if not name.startswith("clothes")}
    with pytest.raises(UserError, match=r"no clothes texts"):
        METHOD.finetune_stages(replace(context, prompts=lacking))


@pytest.mark.parametrize(
    ("command", "without"), [("prompt-learn", {"clothes_prompts": False}), ("finetune", {"cfm": False})], ids=["prompt-learn", "finetune"]
)
def test_unknown_clothes_are_refused_where_they_are_learned_from(bench: Bench, command: str, without: dict[str, Any]) -> None:
    """Unknown outfits together would pass for one that everybody wears."""

    def with_an_unknown_outfit(context: StageContext) -> StageContext:
        train = (*context.train[:2], replace(context.train[2], clothes_id=-1), *context.train[3:])
        return replace(context, train=train, labels=training_labels(train))

    with pytest.raises(UserError, match=r"1 of 24 training pictures have no clothes label") as caught:
        bench.build(with_an_unknown_outfit(bench.context(command)), command)
    assert all(f"--set {key}=false" in caught.value.remedy for key in without)
    (stage,) = bench.build(with_an_unknown_outfit(bench.context(command, **without)), command)
    assert losses_of(stage)


def test_printed_sign_turns_the_loss(bench: Bench) -> None:
    values = []
    for sign in (1, -1):
        stage = build(bench, dis_sign=sign, proj_noise=0.5)
        stage.set_mode(False)
        batch = next(iter(stage.fetch(0)))
        values.append(float(stage.updates[-1].losses(batch, stage.forward(batch))["dis"].detach()))
    assert values[0] == pytest.approx(-values[1])
    assert values[0] != 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dis_sign": 0}, r"key 'dis_sign'"),
        ({"clothes_target": "prompt"}, r"key 'clothes_target'"),
        ({"lamda1": 0.2}, r"unknown key 'lamda1'. Did you mean 'lambda1'\?"),
        ({"proj_lr": 0.0}, r"key 'proj_lr'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(METHOD.settings["finetune"], settings, where="finetune")


@pytest.mark.parametrize(("written", "margin"), [("soft", None), ('"soft"', None), ("0.5", 0.5)])
def test_soft_margin_can_be_asked_for(written: str, margin: float | None) -> None:
    """TOML has no null."""
    settings = resolve(METHOD.settings["finetune"], parse_assignments([f"margin={written}"]), where="finetune")
    assert settings.margin == margin  # type: ignore[attr-defined]
    again = resolve(METHOD.settings["finetune"], settings.model_dump(mode="json"), where="finetune")
    assert again == settings


@pytest.mark.parametrize(("weight", "switch"), [("lambda1", "i2i"), ("lambda2", "cfm")])
def test_a_part_of_weight_0_trains_the_raw_stream_as_without_it(bench: Bench, weight: str, switch: str) -> None:
    """The row 0 of a sweep of figure 4 is the row of table 3 without that part; other weights are not."""

    def raw_after_steps(**switches: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        stage = build(bench, **{"lr": 1e-2, **switches})
        stage.set_mode(True)
        updates = [(u, build_adam(u.groups)) for u in stage.updates]
        for batch in list(stage.fetch(0))[:3]:
            step(stage, updates, batch, LoopOptions(CPU))
        return {name: value for name, value in stage.module.state_dict().items() if name.startswith("raw.")}

    without, zero, one = raw_after_steps(**{switch: False}), raw_after_steps(**{weight: 0.0}), raw_after_steps(**{weight: 1.0})
    assert without.keys() == zero.keys()
    assert all(torch.equal(value, zero[name]) for name, value in without.items())
    assert not all(torch.equal(value, one[name]) for name, value in without.items())
