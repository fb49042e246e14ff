"""CILP-FGDI's switches: which stages and losses there are, what starts from what, and what is told of bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reidclip.errors import UserError
from reidclip.interfaces import StageContext, TrainStage
from reidclip.records import training_labels
from reidclip.stages.choose import settings_for
from reidclip.train.loop import LoopOptions, run_stage, step
from reidclip.train.optim import build_adam
from reidclip.train.reid_model import ReidOutputs
from reidclip_fgdi import METHOD
from tests.fakes import write_prcc
from tests.method_bench import CPU, Bench
from tests.plugins import slow_formulas as slow

# switches of prompt-learn -> names of its updates
PROMPT_STAGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["warm-up", "identity", "domain"]),
    ({"warm_epochs": 0}, ["identity", "domain"]),
    ({"domain_epochs": 0}, ["warm-up", "identity"]),
    ({"warm_epochs": 0, "adversarial_weight": 0.0, "domain_epochs": 0}, ["identity"]),
]

# switches of finetune -> losses, prompts read
LOSSES: list[tuple[dict[str, Any], set[str], bool]] = [
    ({}, {"id", "triplet", "i2tce", "apn"}, True),
    ({"apn": "cs"}, {"id", "triplet", "i2tce", "apn"}, True),
    ({"apn": "con"}, {"id", "triplet", "i2tce", "apn"}, True),
    ({"apn": "apnce"}, {"id", "triplet", "i2tce", "apn"}, True),
    ({"beta": 0.0}, {"id", "triplet", "i2tce"}, True),
    ({"beta": 1.0}, {"id", "triplet", "apn"}, True),
    ({"warm": False}, {"id", "triplet", "i2tce", "apn"}, True),
    ({"text_weight": 0.0}, {"id", "triplet"}, True),  # for the warmed encoder
    ({"text_weight": 0.0, "warm": False}, {"id", "triplet"}, False),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder: Path = tmp_path_factory.mktemp("fgdi")
    return Bench("fgdi", write_prcc(folder / "data", folder / "keep"), folder / "keep")


def stage3(bench: Bench, prompts: dict[str, Tensor] | None = None, **switches: Any) -> Any:
    context = bench.context("finetune", **switches)
    if prompts is not None:
        context = replace(context, prompts=prompts)
    (stage,) = bench.build(context, "finetune")
    return stage


def one_step(stage: TrainStage) -> dict[str, Tensor]:
    stage.set_mode(True)
    logged = step(stage, [(u, build_adam(u.groups)) for u in stage.updates], next(iter(stage.fetch(0))), LoopOptions(CPU))
    assert all(torch.isfinite(value) for value in logged.values())
    return {name: value for name, value in logged.items() if "/" not in name}


def run_all(stages: list[TrainStage]) -> None:
    for stage in stages:
        run_stage(stage, LoopOptions(CPU))


@pytest.mark.parametrize(("switches", "names"), PROMPT_STAGES)
def test_stages_of_prompt_learning(bench: Bench, switches: dict[str, Any], names: list[str]) -> None:
    stages = bench.build(bench.context("prompt-learn", **switches), "prompt-learn")
    assert [update.name for stage in stages for update in stage.updates] == names


@pytest.mark.parametrize(("switches", "losses", "reads"), LOSSES)
def test_losses_of_fine_tuning(bench: Bench, switches: dict[str, Any], losses: set[str], reads: bool) -> None:
    settings = bench.settings("finetune", **switches)
    assert METHOD.needs_prompts(settings) is reads
    assert set(one_step(stage3(bench, **switches))) == losses


def test_forms_and_signs_differ(bench: Bench) -> None:
    prompts = bench.prompts()
    apart = torch.Generator().manual_seed(5)  # texts of two epochs differ by a rounding error only
    prompts["identity.relevant"] = torch.randn(prompts["identity.text"].shape, generator=apart)
    values = {
        float(one_step(stage3(bench, dict(prompts), **switches))["apn"])
        for switches in (
            {"apn": "ed"},
            {"apn": "ed", "apn_normalise": True},
            {"apn": "ed", "apn_sign": "as-published"},
            {"apn": "ed", "apn_margin": "soft"},
            {"apn": "cs"},
            {"apn": "cs", "apn_sign": "as-published"},
            {"apn": "con"},
            {"apn": "apnce"},
        )
    }
    assert len(values) == 8


def by_hand(form: str, v: list[float], y: int, T: list[list[float]], N: list[list[float]]) -> float:
    """The paper's L_apn of one picture, margin 0.3, label smoothing 0.2, dot products."""
    if form == "ed":
        return max(0.0, math.dist(v, T[y]) - math.dist(v, N[y]) + 0.3)
    if form == "cs":
        return max(0.0, slow.cosine(v, N[y]) - slow.cosine(v, T[y]) + 0.3)
    if form == "con":
        return -slow.log_softmax([slow.dot(v, T[y]), *(slow.dot(v, n) for n in N)])[0]
    log_p = slow.log_softmax([slow.dot(v, text) for text in (*T, *N)])
    return -sum((0.8 * (k == y) + 0.2 / len(T)) * log_p[k] for k in range(len(T)))


@pytest.mark.parametrize("form", ["ed", "cs", "con", "apnce"])
def test_the_stage_computes_the_papers_form(bench: Bench, form: str) -> None:
    """Which text is which, and what the settings say, on the way from prompts to loss."""
    prompts = bench.prompts()
    draw = torch.Generator().manual_seed(7)
    T, N = (0.3 * torch.randn(prompts["identity.text"].shape, generator=draw) for _ in range(2))
    stage = stage3(bench, {**prompts, "identity.text": T, "identity.relevant": N}, apn=form, similarity="dot", smoothing=0.2)
    y = torch.tensor([0, 3, 1, 0, 2, 2])
    V = 0.3 * torch.randn(len(y), T.shape[1], generator=draw)
    scores = torch.zeros(len(y), len(T))
    found = stage.updates[0].losses({"pid": y}, ReidOutputs(V, V, V, scores, scores))["apn"]
    wanted = [by_hand(form, v, label, slow.rows(T), slow.rows(N)) for v, label in zip(slow.rows(V), y.tolist(), strict=True)]
    assert float(found) == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
    assert min(wanted) != max(wanted)


def test_tokens_are_learned_from_the_warmed_encoder(bench: Bench) -> None:
    context = bench.context("prompt-learn")
    warm, identity, domain = list(bench.build(context, "prompt-learn"))
    run_stage(warm, LoopOptions(CPU))
    identity.begin()  # type: ignore[attr-defined]
    domain.begin()  # type: ignore[attr-defined]
    plain = bench.build(bench.context("prompt-learn", warm_epochs=0), "prompt-learn")[0]
    plain.begin()  # type: ignore[attr-defined]
    assert torch.equal(identity.features, domain.features)  # type: ignore[attr-defined]
    assert not torch.allclose(identity.features, plain.features, atol=1e-3)  # type: ignore[attr-defined]


def test_domain_tokens_see_the_learned_identity_tokens(bench: Bench) -> None:
    stages: Any = bench.build(bench.context("prompt-learn", warm_epochs=0, lr=0.1, warmup_epochs=0), "prompt-learn")
    before = stages[1].learner.all_features()
    run_stage(stages[0], LoopOptions(CPU))
    assert not torch.allclose(before, stages[1].learner.all_features(), atol=1e-4)


def test_an_identity_gets_the_token_of_its_own_domain(bench: Bench) -> None:
    stages: Any = bench.build(bench.context("prompt-learn", warm_epochs=0), "prompt-learn")
    learner, homes = stages[1].learner, stages[1].homes
    before = learner.all_features()
    with torch.no_grad():
        learner.contexts[0] += torch.linspace(-1, 1, learner.contexts.shape[-1])
    changed = (before - learner.all_features()).abs().amax(1) > 1e-4
    assert changed.any() and torch.equal(changed, homes == 0)


def test_fine_tuning_starts_from_the_warmed_model(bench: Bench) -> None:
    context = bench.context("prompt-learn", lr=1e-2)
    stages: Any = list(bench.build(context, "prompt-learn"))
    run_all(stages)
    prompts = METHOD.prompt_tensors(context, stages)
    warmed, plain = stage3(bench, prompts).model.state_dict(), stage3(bench, prompts, warm=False).model.state_dict()
    trained = stages[0].model.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in warmed.items())
    assert not torch.equal(plain["encoder.proj"], trained["encoder.proj"])


def test_the_adversarial_loss_hides_the_domain_in_the_texts(bench: Bench) -> None:
    """The reversed gradient of the classifier's loss leads the identity tokens uphill in it."""
    stages: Any = bench.build(bench.context("prompt-learn", warm_epochs=0), "prompt-learn")
    stage = stages[0]
    stage.set_mode(True)
    labels = torch.arange(len(stage.homes))
    contexts = stage.learner.contexts
    for _ in range(40):  # a classifier that knows the texts
        loss = torch.nn.functional.cross_entropy(stage.classifier(stage.learner(labels)), stage.homes)
        gradients = torch.autograd.grad(loss, list(stage.classifier.parameters()))
        with torch.no_grad():
            for p, g in zip(stage.classifier.parameters(), gradients, strict=True):
                p -= 0.2 * g
    before = torch.nn.functional.cross_entropy(stage.classifier(stage.learner(labels)), stage.homes)
    (gradient,) = torch.autograd.grad(before, contexts)
    with torch.no_grad():
        contexts -= 0.5 * gradient / gradient.norm()  # as the optimiser steps
    after = torch.nn.functional.cross_entropy(stage.classifier(stage.learner(labels)), stage.homes)
    assert after > before


def test_order_and_last_batch(bench: Bench) -> None:
    stages = bench.build(bench.context("prompt-learn", order="fixed", drop_last=True, warm_epochs=0), "prompt-learn")
    for stage in stages:
        assert stage.plan(0) == stage.plan(3)
        assert [len(batch) for batch in stage.plan(0)] == [10, 10]  # of 24 pictures
    shuffled = bench.build(bench.context("prompt-learn", warm_epochs=0), "prompt-learn")[0]
    assert shuffled.plan(0) != shuffled.plan(3)
    assert sorted(index for batch in shuffled.plan(0) for index in batch) == list(range(24))


# ----------------------------------------------------------------------------------------------------------------------- bad input
def of_one_domain(context: StageContext) -> StageContext:
    train = tuple(replace(s, domain="") for s in context.train)
    return replace(context, train=train, labels=training_labels(train))


def test_one_domain_is_refused_where_domains_are_told_apart(bench: Bench) -> None:
    with pytest.raises(UserError, match="all of one"):
        METHOD.prompt_stages(of_one_domain(bench.context("prompt-learn")))
    alone = of_one_domain(bench.context("prompt-learn", adversarial_weight=0.0, domain_epochs=0))
    assert len(METHOD.prompt_stages(alone)) == 2


def test_a_person_in_two_domains_is_refused(bench: Bench) -> None:
    context = bench.context("prompt-learn")
    train = (*context.train[:-1], replace(context.train[-1], domain="elsewhere"))
    with pytest.raises(UserError, match=r"is in two domains, 'town-\d' and 'elsewhere'"):
        METHOD.prompt_stages(replace(context, train=train, labels=training_labels(train)))


@pytest.mark.parametrize("template", ["A {X} person.", "A {D} place, a {X} person.", "A {X} {D} person.", "A person."])
def test_wrong_domain_templates(bench: Bench, template: str) -> None:
    with pytest.raises(UserError, match="domain_template="):
        METHOD.prompt_stages(bench.context("prompt-learn", domain_template=template))


@pytest.mark.parametrize(
    ("learned", "switches", "told"),
    [
        ({"warm_epochs": 0}, {}, "warm=false"),
        ({"domain_epochs": 0}, {}, "beta=0"),
        ({}, {"height": 48}, "height, width, stride"),
    ],
)
def test_prompts_that_lack_what_fine_tuning_reads(bench: Bench, learned: dict[str, Any], switches: dict[str, Any], told: str) -> None:
    context = bench.context("prompt-learn", **learned)
    stages = METHOD.prompt_stages(context)
    if switches:  # another input size: the position table does not fit
        from tests.tiny_clip import tiny_clip

        prompts = METHOD.prompt_tensors(context, stages)
        other = replace(bench.context("finetune"), prompts=prompts, clip=tiny_clip(image_size=(48, 32)))
        with pytest.raises(UserError) as error:
            METHOD.finetune_stages(other)
    else:
        with pytest.raises(UserError) as error:
            stage3(bench, METHOD.prompt_tensors(context, stages))
    assert told in f"{error.value.what} {error.value.remedy}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"warm_up": {"epochs": 4}}, "set warm_epochs of prompt-learn itself"),
        ({"warm_up": {"clip": "RN50:openai"}}, "set clip of prompt-learn itself"),
        ({"warm_up": {"lrr": 1.0}}, "unknown key 'warm_up.lrr'"),
    ],
)
def test_wrong_keys_of_the_warm_up(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings_for(METHOD, "prompt-learn", "fgdi", None, changes)


def test_the_published_sign_is_never_the_default_and_needs_a_form_that_has_it() -> None:
    for recipe in ("fgdi", "fgdi-code", "tiny"):
        assert settings_for(METHOD, "finetune", recipe, None, {}).apn_sign == "paper"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="exists for the forms 'ed' and 'cs'"):
        settings_for(METHOD, "finetune", "fgdi", None, {"apn": "con", "apn_sign": "as-published"})


def test_the_warm_up_takes_what_the_command_says_of_model_and_input() -> None:
    settings: Any = settings_for(METHOD, "prompt-learn", "fgdi-code", None, {"warm_epochs": 5})
    stage1 = settings.stage1
    assert (stage1.height, stage1.normalisation, stage1.epochs, stage1.margin) == (224, "instance", 5, None)


@pytest.mark.parametrize(
    ("command", "changes", "key", "why"),
    [
        ("finetune", {"beta": 0.0, "apn": "cs"}, "apn", "beta = 0"),
        ("finetune", {"text_weight": 0.0, "beta": 0.5}, "beta", "text_weight = 0"),
        ("finetune", {"apn": "con", "apn_margin": 0.5}, "apn_margin", "apn = con"),
        ("finetune", {"apn": "cs", "apn_normalise": True}, "apn_normalise", "apn = cs"),
        ("prompt-learn", {"adversarial_weight": 0.0, "reversal": 1.0}, "reversal", "adversarial_weight = 0"),
        ("prompt-learn", {"domain_epochs": 0, "domain_tokens": 2}, "domain_tokens", "domain_epochs = 0"),
        (
            "prompt-learn",
            {"domain_epochs": 0, "adversarial_weight": 0.0, "classifier_lr": 1.0},
            "classifier_lr",
            "adversarial_weight = 0 and",
        ),
    ],
)
def test_a_setting_that_others_switch_off_is_refused(command: str, changes: dict[str, Any], key: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        settings_for(METHOD, command, "fgdi", None, changes)
    assert key in error.value.what and why in error.value.what
