"""How CAL trains: when clothes begin, in which order, what a resumed run has, and with which heads each kind of encoder is tested."""

from __future__ import annotations

import copy
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from reidclip import registry
from reidclip.clip.load import load_clip
from reidclip.errors import UserError
from reidclip.interfaces import StageContext
from reidclip.records import training_labels
from reidclip.stages.choose import settings_for
from reidclip.train.loop import LoopOptions, run_stage, step
from reidclip.train.optim import build_adam
from reidclip_cal.method import CalStage, encoder
from tests.fakes import SIZE, write_prcc
from tests.method_bench import CPU, Bench

VARIANTS = ("classifier", "memory-published", "memory-mean")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("prcc")
    return Bench("cal", write_prcc(folder / "data"), folder / "none")


def stage_of(bench: Bench, **changes: Any) -> CalStage:
    stage = CalStage(bench.context("finetune", **changes))
    stage.set_mode(True)
    return stage


def one_step(stage: CalStage, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return step(stage, [(u, build_adam(u.groups)) for u in stage.updates], batch, LoopOptions(CPU))


def first_batch(stage: CalStage, epoch: int = 0) -> Mapping[str, Tensor]:
    return next(iter(stage.fetch(epoch)))


def interrupt_after(iterations: int) -> Callable[[int, int], None]:
    return lambda done, total: signal.raise_signal(signal.SIGINT) if done == iterations else None


# ----------------------------------------------------------------------------------------------------------- when clothes begin
@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_of_clothes_changes_before_their_epoch(bench: Bench, variant: str) -> None:
    stage = stage_of(bench, cal_start_epoch=1, variant=variant)
    assert stage.clothes is not None
    start = copy.deepcopy(stage.clothes.state_dict())
    seen: list[bool] = []

    def look(done: int, total: int) -> None:
        now = stage.clothes.state_dict()
        seen.append(all(torch.equal(now[name], start[name]) for name in start))

    history = run_stage(stage, LoopOptions(CPU), look)
    first = len(stage.plan(0))
    assert seen == [True] * first + [False] * (len(seen) - first) and len(seen) > first
    named = {"ca"} | ({"clothes", "clothes/total"} if variant == "classifier" else set())
    assert {"id", "main/total"} <= history[0].keys() and not named & history[0].keys()
    assert history[1].keys() == history[0].keys() | named


def test_until_then_it_is_the_training_without_clothes(bench: Bench) -> None:
    """Bit by bit, and not afterwards."""
    states: dict[str, list[Tensor]] = {}
    for variant in ("classifier", "memory-mean", "none"):
        torch.manual_seed(0)
        stage = stage_of(bench, cal_start_epoch=1, variant=variant)
        weights: list[Tensor] = []
        run_stage(stage, LoopOptions(CPU), lambda done, total, s=stage, w=weights: w.append(s.model.encoder.proj.detach().clone()))  # type: ignore[misc]
        states[variant] = weights
    first = len(stage.plan(0))
    for variant in ("classifier", "memory-mean"):
        equal = [torch.equal(a, b) for a, b in zip(states[variant], states["none"], strict=True)]
        assert equal[: first + 1] == [True] * first + [False]


def test_the_adversarial_loss_meets_the_classifier_as_just_updated(bench: Bench) -> None:
    stage, before = (stage_of(bench, clothes_lr=0.1) for _ in range(2))
    batch = first_batch(stage)
    f = before.forward(batch).f.detach()
    logged = one_step(stage, batch)
    torch.testing.assert_close(logged["clothes"], before.clothes.learn(f, batch).detach())
    torch.testing.assert_close(logged["ca"], stage.clothes.forget(f, batch))
    assert abs(logged["ca"] - before.clothes.forget(f, batch)) > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_cut_around_the_start_epoch_ends_in_the_same_bits(bench: Bench, variant: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"cal_start_epoch": 1, "epochs": 3, "variant": variant, "momentum": 0.5, "sampler": "chunk"}
    stage = stage_of(bench, **changes)
    history = run_stage(stage, LoopOptions(CPU))
    expected = stage.module.state_dict()
    for cut in (1, len(stage.plan(0)), len(stage.plan(0)) + 1):
        options = LoopOptions(CPU, state=tmp_path / f"{cut}.safetensors")
        with pytest.raises(KeyboardInterrupt):
            run_stage(stage_of(bench, **changes), options, interrupt_after(cut))
        resumed = stage_of(bench, **changes)
        rest = run_stage(resumed, options)
        found = resumed.module.state_dict()
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
        assert [row["main/total"] for row in rest] == [row["main/total"] for row in history]


def test_the_memory_is_in_the_state(bench: Bench, tmp_path: Path) -> None:
    stage = stage_of(bench, variant="memory-published", epochs=1)
    run_stage(stage, LoopOptions(CPU, state=tmp_path / "state.safetensors"))
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        kept = {key: file.get_tensor(f"module.clothes.{key}") for key in ("features", "labels")}
    assert torch.equal(kept["features"], stage.clothes.features) and kept["features"].any()
    assert set(kept["labels"].tolist()) <= {-1, *range(8)} and kept["labels"].max() > 0
    assert [update.name for update in stage.updates] == ["main"]  # a memory has nothing to learn


# ------------------------------------------------------------------------------------------------------------------ labels
def test_pictures_without_clothes_labels(bench: Bench) -> None:
    context = bench.context("finetune")
    train = (replace(context.train[0], clothes_id=-1), *context.train[1:])
    unknown = replace(context, train=train, labels=training_labels(train))
    with pytest.raises(UserError, match="1 of 24 training pictures have no clothes label") as caught:
        CalStage(unknown)
    assert "--set variant=none" in caught.value.remedy
    bare = replace(unknown, settings=bench.settings("finetune", variant="none"))
    stage = CalStage(bare)
    assert "ca" not in one_step(stage, first_batch(stage))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_outfit_with_one_picture_trains(bench: Bench, tmp_path: Path, variant: str) -> None:
    data = Path(shutil.copytree(bench.root, tmp_path / "data"))
    for picture in sorted((data / "rgb/train/005").glob("C_*"))[1:]:
        picture.unlink()
    stage = stage_of(Bench("cal", data, tmp_path), variant=variant, sampler="chunk")
    assert sum(label == 1 for label in stage.context.labels.clothes_to_pid) == 2
    history = run_stage(stage, LoopOptions(CPU))
    assert all(value > 0 for row in history for name, value in row.items() if name in ("id", "ca"))


# ------------------------------------------------------------------------------------------------------------------ options
def test_without_clothes_a_clip_trains_as_the_baseline_does(bench: Bench) -> None:
    """Same losses, same steps, so that a row of CAL beside the baseline's shows what clothes do."""
    same: dict[str, Any] = {"lr": 1e-3, "crop": "pad", "erasing": "noise", "sampler": "pk", "resize": "bilinear", "bias_lr_factor": 2.0}
    same |= {"triplet_weight": 1.0, "triplet_normalise": True, "id_weight": 0.5, "weight_decay": 1e-4, "schedule": "cosine"}
    stage = stage_of(bench, variant="none", pair_loss="euclidean", warmup_epochs=0, **same)
    ours = run_stage(stage, LoopOptions(CPU))
    other = Bench("baseline", bench.root, bench.masks)
    context = other.context("finetune", warmup_epochs=0, **{k: v for k, v in same.items()})
    (baseline,) = other.method.finetune_stages(context)
    theirs = run_stage(baseline, LoopOptions(CPU))
    assert [(row["id"], row["pair"]) for row in ours] == [(row["id"], row["triplet"]) for row in theirs]
    expected = baseline.module.state_dict()
    assert [name for name in expected if not torch.equal(expected[name], stage.module.state_dict()[f"model.{name}"])] == []


@pytest.mark.parametrize("pair_loss", ["triplet", "euclidean", "contrastive", "cosface", "circle"])
def test_every_pair_loss_trains(bench: Bench, pair_loss: str) -> None:
    stage = stage_of(bench, pair_loss=pair_loss, triplet_weight=1.0, sampler="pk")
    logged = one_step(stage, first_batch(stage))
    assert torch.isfinite(logged["pair"]) and logged["pair"] > 0
    torch.testing.assert_close(logged["main/total"], logged["id"] + logged["ca"] + logged["pair"])


@pytest.mark.parametrize("id_loss", ["cosface", "arcface", "circle"])
def test_every_identity_loss_trains_the_classifier_that_it_reads(bench: Bench, id_loss: str) -> None:
    stage = stage_of(bench, id_loss=id_loss, id_margin=0.1)
    before = {name: p.detach().clone() for name, p in stage.model.named_parameters()}
    logged = one_step(stage, first_batch(stage))
    changed = {name for name, p in stage.model.named_parameters() if not torch.equal(p, before[name])}
    assert torch.isfinite(logged["id"]) and "cosine_classifier.weight" in changed
    assert not any(".classifier." in name for name in changed) and any(".bottleneck." in name for name in changed)


# ------------------------------------------------------------------------------------------------------- heads and test features
def on_resnet50(bench: Bench, **changes: Any) -> StageContext:
    context = bench.context("finetune", **changes)
    return replace(context, clip=load_clip("random:resnet50", image_size=SIZE))


def test_resnet50_has_the_published_head_and_test_feature(bench: Bench) -> None:
    context = on_resnet50(bench)
    stage = CalStage(context)
    stage.set_mode(True)
    head = stage.model.heads
    assert head.bottleneck.bias.requires_grad and head.classifier.bias is not None
    scales = head.bottleneck.weight.detach()
    assert scales.std().item() == pytest.approx(0.02, rel=0.1) and scales.mean().item() == pytest.approx(1, abs=0.01)
    logged = one_step(stage, first_batch(stage))
    assert {"id", "ca", "clothes"} <= logged.keys() and stage.clothes.weight.shape == (8, 4096)
    inference = encoder(context, [stage]).eval()
    x = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        f = sum(head.bottleneck(stage.model.encoder(picture).pooled) for picture in (x, x.flip(-1)))
        torch.testing.assert_close(inference.features(x), F.normalize(f, dim=1), rtol=1e-4, atol=1e-5)
    assert inference.options.mean == (0.485, 0.456, 0.406) and inference.options.resize == "bilinear"


def test_pooling_of_clips(bench: Bench) -> None:
    """CCVID's: the maximum alone; the encoder's own weights."""
    context = on_resnet50(bench, pooling="max", resize="bicubic")
    stage = CalStage(context)
    assert stage.model.width == 2048 and stage.clothes.weight.shape == (8, 2048)
    template = context.clip.image_encoder.state_dict()
    assert all(torch.equal(value, template[name]) for name, value in stage.model.encoder.state_dict().items())
    assert encoder(context, [stage]).options.resize == "bicubic"


@pytest.mark.parametrize(("neck", "is_after"), [("model", False), ("before", False), ("after", True)])
def test_a_clip_is_tested_as_its_family_unless_told(bench: Bench, neck: str, is_after: bool) -> None:
    context = bench.context("finetune", neck=neck)
    stage = CalStage(context)
    stage.set_mode(False)
    inference = encoder(context, [stage]).eval()
    x = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, outputs = stage.model.encoder(x), stage.model(x)
        wanted = outputs.f if is_after else torch.cat([features.pooled, features.projected], dim=1)
        torch.testing.assert_close(inference.features(x), F.normalize(wanted, dim=1))
    assert inference.options.neck == ("after" if is_after else "before") and not inference.options.flip


# ------------------------------------------------------------------------------------------------------------------ recipes
IMAGES = {"clip": "resnet50:imagenet", "height": 384, "width": 192, "normalisation": "model", "resize": "bilinear", "smoothing": 0.1}
SOLVER = {"lr": 3.5e-4, "clothes_lr": 3.5e-4, "weight_decay": 5e-4, "bias_lr_factor": 1.0, "head_lr_factor": 1.0, "warmup_epochs": 0}
SOLVER |= {"schedule": "multistep", "first_index": 0, "epochs": 60, "milestones": (20, 40), "cal_start_epoch": 25}
CAL = {"sampler": "chunk", "variant": "classifier", "scale": 16.0, "epsilon": 0.1, "cal_weight": 1.0, "id_weight": 1.0, "neck": "model"}
AUGMENTED = {"crop": "enlarge", "enlarge": 0.5, "flip": 0.5, "erase": 0.5, "erasing": "colour", "pooling": "max+avg"}
PUBLISHED = {**IMAGES, **SOLVER, **CAL, **AUGMENTED, "triplet_weight": 0.0, "train_splits": ("train",)}
BATCHES = {"ltcc": (8, 8), "prcc": (8, 8), "vcclothes": (8, 8), "deepchange": (16, 4), "last": (16, 4), "ccvid": (8, 4)}
CLIPS = {"height": 256, "width": 128, "epochs": 150, "milestones": (40, 80, 120), "cal_start_epoch": 50, "smoothing": 0.0}
CLIPS |= {"resize": "bicubic", "crop": "pad", "pad": 0, "erase": 0.0, "pooling": "max"}
OWN = {"last": {"triplet_weight": 1.0, "pair_loss": "triplet", "margin": 0.3}, "ccvid": CLIPS}


@pytest.mark.parametrize("recipe", BATCHES)
def test_recipes_say_what_the_published_configurations_say(recipe: str) -> None:
    """Typed by hand from configs/res50_cels_cal*.yaml, c2dres50_ce_cal.yaml and their defaults."""
    found = settings_for(registry.get("reidclip.methods", "cal"), "finetune", recipe, None, {}).model_dump()
    wanted = {**PUBLISHED, **OWN.get(recipe, {}), **dict(zip(("identities", "images_per_identity"), BATCHES[recipe], strict=True))}
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(("recipe", "theirs"), [("tiny", "tiny"), ("vit", "market1501")])
def test_what_a_clip_shares_with_the_baseline(recipe: str, theirs: str) -> None:
    ours = settings_for(registry.get("reidclip.methods", "cal"), "finetune", recipe, None, {}).model_dump()
    other = settings_for(registry.get("reidclip.methods", "baseline"), "finetune", theirs, None, {}).model_dump()
    # A cosine has no steps. The weight is CLIP-ReID's own, which its baseline does not have; nothing here compares with texts.
    may_differ = {"milestones", "first_index"} if recipe == "tiny" else {"id_weight", "similarity"}
    assert {key for key in other if ours[key] != other[key]} <= may_differ
    assert ours["pair_loss"] == "euclidean" and ours["cal_start_epoch"] < ours["epochs"]
