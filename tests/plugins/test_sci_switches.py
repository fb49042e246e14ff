"""SCI's switches and weights: which losses there are, what is trained, which inputs are read, and what is told of bad ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError
from reidclip.interfaces import StageContext, TrainStage
from reidclip.records import training_labels
from reidclip.settings import resolve
from reidclip.train.loop import LoopOptions, run_stage, step
from reidclip.train.optim import build_adam
from reidclip.train.prepare import prepare
from reidclip_sci import METHOD
from reidclip_sci import equations as eq
from reidclip_sci.settings import SciFinetune
from tests.fakes import write_prcc
from tests.method_bench import CPU, Bench

ALL = {"id", "cal", "i2tce", "clothes"}
PLAIN_TEXT = {"sse": False, "sim": False, "i2tce_weight": 0.0}

# switches, losses that exist, prompts read
TABLE: list[tuple[dict[str, Any], set[str], bool]] = [
    ({}, ALL, True),
    ({"sim": False}, ALL, True),
    ({"i2tce_weight": 0.0}, ALL - {"i2tce"}, True),
    ({"sim": False, "i2tce_weight": 0.0}, ALL - {"i2tce"}, False),
    ({"cal_weight": 0.0}, ALL - {"cal", "clothes"}, True),
    ({"triplet_weight": 0.5}, ALL | {"triplet"}, True),
    ({**PLAIN_TEXT, "cal_weight": 0.0}, {"id"}, False),
    ({"context_block": "none"}, ALL, True),
    ({"context_block": "self-attention", "text_residual": True}, ALL, True),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder: Path = tmp_path_factory.mktemp("sci")
    return Bench("sci", write_prcc(folder / "data", folder / "keep"), folder / "keep")


def build(bench: Bench, **switches: Any) -> TrainStage:
    """The stage, given prompts only when it says that it reads them."""
    (stage,) = bench.build(bench.context("finetune", **switches), "finetune")
    return stage


def prompt_stage(bench: Bench, **switches: Any) -> tuple[StageContext, TrainStage]:
    context = bench.context("prompt-learn", **switches)
    (stage,) = bench.build(context, "prompt-learn")
    return context, stage


def stepped(stage: TrainStage, batches: int = 1) -> set[str]:
    """Names of the losses of a few steps."""
    stage.set_mode(True)
    updates, logged = [(u, build_adam(u.groups)) for u in stage.updates], {}
    for batch in list(stage.fetch(0))[:batches]:
        logged = step(stage, updates, batch, LoopOptions(CPU))
        assert all(torch.isfinite(value) for value in logged.values())
    return {name for name in logged if "/" not in name}


def weights_after(stage: TrainStage, prefix: str = "") -> dict[str, Tensor]:
    stepped(stage, 3)
    return {name: value.clone() for name, value in stage.module.state_dict().items() if name.startswith(prefix)}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


# ------------------------------------------------------------------------------------------------------------------ stage 1
def test_what_stage_1_stores(bench: Bench) -> None:
    context, stage = prompt_stage(bench)
    assert stepped(stage) == {"i2t", "t2i", "sse"}
    tensors = METHOD.prompt_tensors(context, [stage])
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "identity.context": (4, 4, 16),
        "identity.text": (4, 16),
        "clothes.context": (8, 4, 16),
        "clothes.text": (8, 16),
        "clothes.orthogonal": (8, 16),
    }
    owners = torch.tensor(context.labels.clothes_to_pid)
    t_orth, t_c = tensors["clothes.orthogonal"], tensors["clothes.text"]
    assert (t_orth * t_c).sum(1).abs().max() < 1e-5 * float(t_c.norm(dim=1).max() ** 2)
    torch.testing.assert_close(t_orth + eq.eq05_clothes_part(tensors["identity.text"][owners], t_c), tensors["identity.text"][owners])


def test_the_two_sentences(bench: Bench) -> None:
    """Eq. (2)."""
    context, stage = prompt_stage(bench)
    sentences = {name: learner.template.text for name, learner in stage.module.items()}  # type: ignore[union-attr, operator]
    assert sentences == {"identity": "A photo of a X X X X person.", "clothes": "A photo of a X X X X clothes."}
    assert context.settings.alpha == context.settings.beta == 1


def test_losses_of_stage_1_are_those_of_each_picture_encoded_for_itself(bench: Bench) -> None:
    """The stage encodes each distinct sentence once."""
    context, stage = prompt_stage(bench, alpha=0.7, beta=1.9)
    batch = next(iter(stage.fetch(1)))
    indices = stage.plan(1)[0]
    identity, clothes = (stage.module[name] for name in ("identity", "clothes"))  # type: ignore[index]
    y = torch.tensor([context.labels.pids[context.train[i].pid] for i in indices])
    c = [context.labels.clothes[context.train[i].clothes_id] for i in indices]
    t_id = torch.cat([identity(y[i : i + 1]) for i in range(len(y))])
    t_c = torch.cat([clothes(torch.tensor([k])) for k in c])
    V, t_orth = batch["features"], eq.eq06_orthogonal_text(t_id, t_c)
    cosine = torch.cosine_similarity
    rule = eq.SimilarityRule("dot", 1.0)
    expected = {
        "i2t": eq.eq10_image_to_orthogonal_text(V, t_orth, y, rule),
        "t2i": eq.eq11_orthogonal_text_to_image(V, t_orth, y, rule),
        "sse": 0.7 * (1 - cosine(V, t_orth).mean()) + 1.9 * cosine(V, t_c).mean().clamp(min=0),
    }
    (update,) = stage.updates
    got = update.losses(batch, stage.forward(batch))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=name)


def test_without_sse_stage_1_is_clip_reids(bench: Bench) -> None:
    context, stage = prompt_stage(bench, sse=False)
    other = Bench("clipreid", bench.root, bench.masks)
    (theirs,) = other.build(other.context("prompt-learn"), "prompt-learn")
    assert same(weights_after(stage), weights_after(theirs))
    assert set(METHOD.prompt_tensors(context, [stage])) == {"identity.context", "identity.text"}


def _near_clothes_texts(bench: Bench, **changes: float) -> tuple[StageContext, Any]:
    """A stage whose pictures are drawn to the side of the clothes texts, where S_c is above its floor."""
    context, stage = prompt_stage(bench, **changes)
    stage.features += 3 * stage.clothes(stage.outfits).detach().mean(0)  # type: ignore[attr-defined]
    return context, stage


@pytest.mark.parametrize("weight", ["alpha", "beta"])
def test_alpha_and_beta_count(bench: Bench, weight: str) -> None:
    one, two = (weights_after(_near_clothes_texts(bench, **{weight: value})[1]) for value in (1.0, 2.0))
    assert not same(one, two)


def test_separation_moves_the_similarities_as_it_says(bench: Bench) -> None:
    """A large alpha brings t_orth nearer to the pictures than no separation does, a large beta takes clothes texts farther away."""

    def similarities(**changes: float) -> tuple[float, float]:
        context, stage = _near_clothes_texts(bench, lr=1e-2, epochs=15, warmup_epochs=0, **changes)
        run_stage(stage, LoopOptions(CPU))
        tensors = METHOD.prompt_tensors(context, [stage])
        s_id, s_c = (
            torch.cosine_similarity(stage.features, tensors[name][stage.outfits]).mean() for name in ("clothes.orthogonal", "clothes.text")
        )
        return float(s_id), float(s_c)

    without, with_alpha, with_beta = (
        similarities(alpha=0.0, beta=0.0),
        similarities(alpha=30.0, beta=0.0),
        similarities(alpha=0.0, beta=30.0),
    )
    assert without[1] > 0.1
    assert with_alpha[0] > without[0] + 0.02
    assert with_beta[1] < without[1] - 0.05


# ------------------------------------------------------------------------------------------------------------------ stage 2
@pytest.mark.parametrize(
    ("switches", "losses", "prompts"), TABLE, ids=[",".join(f"{k}={v}" for k, v in row[0].items()) or "all" for row in TABLE]
)
def test_switches(bench: Bench, switches: dict[str, Any], losses: set[str], prompts: bool) -> None:
    chosen = resolve(METHOD.settings["finetune"], switches, where="finetune")
    assert METHOD.needs_prompts(chosen) == prompts
    assert not METHOD.needs_masks("finetune", chosen)
    assert stepped(build(bench, **switches)) == losses


@pytest.mark.parametrize("sim", [True, False])
def test_rows_without_sse_read_plain_prompts(bench: Bench, sim: bool) -> None:
    prompts = METHOD.prompt_tensors(*_learned(bench, sse=False))
    context = replace(bench.context("finetune", sse=False, sim=sim), prompts=prompts)
    (stage,) = METHOD.finetune_stages(context)
    assert stepped(stage) == ALL
    if sim:
        batch = next(iter(stage.fetch(0)))
        assert torch.equal(stage._text_of(batch), prompts["identity.text"][batch["pid"]])  # type: ignore[attr-defined]


def _learned(bench: Bench, **switches: Any) -> tuple[StageContext, list[TrainStage]]:
    context, stage = prompt_stage(bench, **switches)
    return context, [stage]


def test_a_switch_changes_nothing_that_it_does_not_name(bench: Bench) -> None:
    """Encoder, heads and clothes classifier start alike with and without SIM, and the first forward gives the same unguided features."""
    whole, without = build(bench), build(bench, sim=False)
    a, b = whole.module.state_dict(), without.module.state_dict()
    assert {name for name in a if name not in b} == {name for name in a if ".context_block." in name or ".guide." in name}
    assert same({name: a[name] for name in b}, b)
    batch = next(iter(whole.fetch(0)))
    for stage in (whole, without):
        stage.set_mode(False)
    with torch.no_grad():
        guided, plain = whole.forward(batch), without.forward(batch)
    assert torch.equal(guided.last, plain.last)
    torch.testing.assert_close(guided.pooled, plain.pooled, atol=2e-6, rtol=0)  # the block adds 0
    moved = (guided.projected - plain.projected).norm() / plain.projected.norm()
    assert 0 < moved < 1e-3  # gamma starts at 1e-4


@pytest.mark.parametrize("weight", ["cal_weight", "i2tce_weight", "triplet_weight", "id_weight"])
def test_weights_count_and_0_switches_off(bench: Bench, weight: str) -> None:
    zero, tiny, one = (weights_after(build(bench, lr=1e-3, **{weight: value}), "model.") for value in (0.0, 1e-30, 1.0))
    assert same(zero, tiny)  # a weight that is lost in the sum trains as the loss that is left out
    assert not same(zero, one)


def test_cal_begins_when_told_and_trains_two_sides(bench: Bench) -> None:
    stage = build(bench, epochs=4, cal_start_epoch=1)
    classifier, main = stage.updates
    assert (classifier.name, main.name) == ("clothes", "main")
    assert [n for g in classifier.groups for n, _ in g.params] == ["clothes.weight"]
    assert not any(n.startswith("clothes.") for g in main.groups for n, _ in g.params)
    history = run_stage(stage, LoopOptions(CPU))
    assert [{"clothes", "cal", "clothes/total"} <= row.keys() for row in history] == [False, True, True, True]


@pytest.mark.parametrize(("epochs", "first"), [(60, 25), (120, 50), (20, 8), (6, 2), (3, 1), (2, 0)])
def test_cal_begins_at_its_share_by_itself(epochs: int, first: int) -> None:
    assert SciFinetune(epochs=epochs).first_cal_epoch == first
    assert SciFinetune(epochs=epochs, cal_start_epoch=0).first_cal_epoch == 0


@pytest.mark.parametrize("cal_feature", ["after", "before"])
def test_losses_of_stage_2_are_the_equations(bench: Bench, cal_feature: str) -> None:
    told = {"smoothing": 0.3, "cal_scale": 3.0, "cal_epsilon": 0.4}
    stage = build(bench, triplet_weight=1.0, triplet_features="projected", cal_feature=cal_feature, **told)
    context = bench.context("finetune")
    heads = stage.model.heads  # type: ignore[attr-defined]
    with torch.no_grad():
        for head in (heads.pooled, heads.projected):
            head.classifier.weight *= 300  # they start near 0, where all identities are alike
    batch = next(iter(stage.fetch(0)))
    outputs = stage.forward(batch)
    got = {name: value for update in stage.updates for name, value in update.losses(batch, outputs).items()}
    y, c = batch["pid"], batch["clothes"]
    compared = torch.cat([outputs.pooled, outputs.projected], 1)
    if cal_feature == "after":  # BatchNorm as it starts: the batch's own statistics, no shift
        compared = (compared - compared.mean(0)) / (compared.var(0, correction=0) + 1e-5).sqrt()
    cosines = torch.nn.functional.normalize(compared) @ torch.nn.functional.normalize(stage.clothes.weight).T  # type: ignore[union-attr]
    owners, T = torch.tensor(context.labels.clothes_to_pid), context.prompts["clothes.orthogonal"]  # type: ignore[index]
    means = torch.stack([T[owners == k].mean(0) for k in range(4)])
    expected = {
        "id": eq.eq18_identity(outputs.score_pooled, y, 0.3) + eq.eq18_identity(outputs.score_projected, y, 0.3),
        "clothes": torch.nn.functional.cross_entropy(3 * cosines, c),
        "cal": eq.eq19_clothes_adversarial(cosines, c, owners[None, :] == y[:, None], 3.0, 0.4),
        "i2tce": eq.eq20_image_to_text_cross_entropy(outputs.projected, means, y, eq.SimilarityRule("dot", 1.0), 0.3),
    }
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=name)
    of_identity = build(bench, i2tce_text="identity")
    assert torch.equal(of_identity.texts, context.prompts["identity.text"])  # type: ignore[attr-defined, index]


def test_in_pieces_it_trains_alike(bench: Bench) -> None:
    """--accumulate: the same gradients, whatever the number of pieces, of a block without BatchNorm (with one it is refused)."""
    gradients = []
    for chunks in (1, 3):
        stage = build(bench, context_block="self-attention")
        stage.model.chunks = chunks  # type: ignore[attr-defined]
        batch = next(iter(stage.fetch(0)))
        main = stage.updates[-1]
        loss = sum(main.losses(batch, stage.forward(batch)).values())
        gradients.append(torch.autograd.grad(loss, [p for g in main.groups for _, p in g.params], allow_unused=True))  # type: ignore[arg-type]
    for one, three in zip(*gradients, strict=True):
        torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-4)


def test_the_nonlocal_block_is_not_taken_in_pieces(bench: Bench) -> None:
    """Its norm would see a piece where it shall see the batch."""
    with pytest.raises(UserError, match=r"--accumulate: this image encoder has BatchNorm") as caught:
        prepare([build(bench)], accumulate=2)
    assert "whose context block, if any, is 'self-attention'" in caught.value.remedy
    prepare([build(bench, context_block="self-attention")], accumulate=2)


@pytest.mark.parametrize("block", ["nonlocal", "self-attention", "none"])
def test_inference_is_the_encoder_with_its_block_alone(bench: Bench, block: str, tmp_path: Path) -> None:
    context = bench.context("finetune", context_block=block)
    stages = METHOD.finetune_stages(context)
    stepped(stages[0], 3)
    METHOD.encoder(context, stages).eval().save(tmp_path)  # type: ignore[operator]
    loaded = InferenceEncoder.load(tmp_path)
    assert loaded.image_encoder.config.context_block == (None if block == "none" else block)
    assert not any("guide" in name for name in loaded.state_dict())
    assert any("context_block" in name for name in loaded.state_dict()) == (block != "none")


# ------------------------------------------------------------------------------------------------------------------ bad input
def _relabelled(context: StageContext, clothes: Mapping[int, int]) -> StageContext:
    """With other clothes labels for some pictures."""
    train = tuple(replace(s, clothes_id=clothes.get(i, s.clothes_id)) for i, s in enumerate(context.train))
    return replace(context, train=train, labels=training_labels(train))


@pytest.mark.parametrize(
    ("command", "without"), [("prompt-learn", {"sse": False}), ("finetune", {**PLAIN_TEXT, "cal_weight": 0.0})], ids=["prompts", "finetune"]
)
def test_unknown_clothes_are_refused_where_they_are_learned_from(bench: Bench, command: str, without: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"1 of 24 training pictures have no clothes label") as caught:
        bench.build(_relabelled(bench.context(command), {2: -1}), command)
    assert "--set clothes_from=identity" in caught.value.remedy
    (stage,) = bench.build(_relabelled(bench.context(command, **without), {2: -1}), command)
    assert stepped(stage)


def test_without_clothes_labels_an_identity_is_an_outfit(bench: Bench) -> None:
    nobody = dict.fromkeys(range(24), -1)
    context = _relabelled(bench.context("prompt-learn", clothes_from="identity"), nobody)
    stages = METHOD.prompt_stages(context)
    assert stepped(stages[0]) == {"i2t", "t2i", "sse"}
    tensors = METHOD.prompt_tensors(context, stages)
    assert len(tensors["clothes.orthogonal"]) == len(tensors["identity.text"]) == 4
    tuned = replace(_relabelled(bench.context("finetune", clothes_from="identity"), nobody), prompts=tensors)
    (stage,) = METHOD.finetune_stages(tuned)
    assert stepped(stage) == ALL
    assert stage.module["clothes"].weight.shape[0] == 4  # type: ignore[index, union-attr]


def test_an_outfit_with_one_picture_trains(bench: Bench) -> None:
    alone = {0: 10_000}
    context = _relabelled(bench.context("prompt-learn"), alone)
    stages = METHOD.prompt_stages(context)
    stepped(stages[0], 3)
    tensors = METHOD.prompt_tensors(context, stages)
    assert len(tensors["clothes.orthogonal"]) == 9
    (stage,) = METHOD.finetune_stages(replace(_relabelled(bench.context("finetune"), alone), prompts=tensors))
    assert stepped(stage, 3) == ALL


@pytest.mark.parametrize(("learned", "asked"), [(True, False), (False, True)])
def test_prompts_of_the_other_switch_are_refused(bench: Bench, learned: bool, asked: bool) -> None:
    prompts = METHOD.prompt_tensors(*_learned(bench, sse=learned))
    with pytest.raises(UserError, match=rf"learned {'with' if learned else 'without'} semantic separation") as caught:
        METHOD.finetune_stages(replace(bench.context("finetune", sse=asked), prompts=prompts))
    assert f"--set sse={str(learned).lower()}" in caught.value.remedy


def test_prompts_of_other_outfits_are_refused(bench: Bench) -> None:
    prompts = METHOD.prompt_tensors(*_learned(bench, clothes_from="identity"))
    with pytest.raises(UserError, match=r"of 4 outfits, these settings know 8") as caught:
        METHOD.finetune_stages(replace(bench.context("finetune"), prompts=prompts))
    assert "clothes_from" in caught.value.remedy


@pytest.mark.parametrize(
    ("command", "settings", "message"),
    [
        ("finetune", {"context_block": "non-local"}, r"key 'context_block'"),
        ("finetune", {"cal_wieght": 0.2}, r"unknown key 'cal_wieght'. Did you mean 'cal_weight'\?"),
        ("finetune", {"cal_start_epoch": -1}, r"key 'cal_start_epoch'"),
        ("prompt-learn", {"alpha": -0.5}, r"key 'alpha'"),
        ("prompt-learn", {"clothes_from": "mask"}, r"key 'clothes_from'"),
    ],
)
def test_wrong_settings(command: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(METHOD.settings[command], settings, where=command)


def test_a_template_without_a_slot_is_told(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"Wrong prompt template"):
        prompt_stage(bench, clothes_template="A photo of clothes.")
