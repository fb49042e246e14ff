"""How a student is distilled: what the teacher sees, which losses there are, what inference takes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import assemble
from reidclip.clip.sources import Source
from reidclip.data.transforms import Normalisation
from reidclip.errors import UserError
from reidclip.interfaces import StageContext
from reidclip.train.loop import LoopOptions, step
from reidclip.train.optim import build_adam
from reidclip_rkd.method import RkdStage, encoder
from reidclip_rkd.teacher import Teacher
from tests.fakes import SIZE, TINY_CONFIG, write_prcc
from tests.method_bench import CPU, Bench

LABELS_ALONE: dict[str, Any] = {"feature_weight": 0.0, "distance_weight": 0.0, "angle_weight": 0.0, "similarity_weight": 0.0}
WIDTH = 24 + 16  # of the teacher's feature
HALF, IMAGENET = ((0.5, 0.5, 0.5),) * 2, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("prcc")
    return Bench("rkd", write_prcc(folder / "data"), folder / "none")


def teacher_of(size: tuple[int, int] = SIZE, **options: Any) -> InferenceEncoder:
    clip = assemble(Source("tiny", TINY_CONFIG, seed=5), "tiny", image_size=size)
    mean, std = HALF
    return InferenceEncoder(clip.image_encoder, InferenceOptions(mean, std, **options)).eval().requires_grad_(False)


def context_of(bench: Bench, teacher: InferenceEncoder | None = None, **changes: Any) -> StageContext:
    context = bench.context("distill", **{"feature_width": None, "normalisation": "imagenet", **changes})
    return replace(context, teacher=teacher or teacher_of())


def stage_of(bench: Bench, teacher: InferenceEncoder | None = None, **changes: Any) -> RkdStage:
    stage = RkdStage(context_of(bench, teacher, **changes))
    stage.set_mode(True)
    return stage


def first_batch(stage: RkdStage, epoch: int = 0) -> Mapping[str, Tensor]:
    return next(iter(stage.fetch(epoch)))


def one_step(stage: RkdStage, precision: str = "fp32") -> dict[str, Tensor]:
    return step(stage, [(u, build_adam(u.groups)) for u in stage.updates], first_batch(stage), LoopOptions(CPU, precision))


def pictures_seen(stage: RkdStage, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What student and teacher are given of a batch, in 0..1 again."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs: seen.update({name: inputs[0].clone()})

    hooks = [stage.model.register_forward_pre_hook(keep("student")), stage.teacher.encoder.register_forward_pre_hook(keep("teacher"))]
    stage.forward(batch)
    for hook in hooks:
        hook.remove()
    return back(seen["student"], *IMAGENET), back(seen["teacher"], *HALF)


def back(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return pictures * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)


def made_smaller(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """By Pillow, channel by channel in float: another program's bilinear filter with antialiasing."""
    height, width = size
    flat = [Image.fromarray(plane.numpy()).resize((width, height), Image.Resampling.BILINEAR) for plane in pictures.flatten(0, -3)]
    return torch.tensor(np.stack([np.asarray(plane) for plane in flat])).unflatten(0, pictures.shape[:-2])


# ------------------------------------------------------------------------------------------------------- what the teacher sees
def test_both_see_the_same_augmented_pictures_normalised_their_own_way(bench: Bench) -> None:
    stage = stage_of(bench, erase=0.0)
    batch = first_batch(stage)
    student, teacher = pictures_seen(stage, batch)
    torch.testing.assert_close(student, batch["image"] / 255)
    torch.testing.assert_close(teacher, batch["image"] / 255)


@pytest.mark.parametrize(("theirs", "fetched"), [((64, 32), (64, 32)), ((16, 16), SIZE), ((64, 8), (64, 16))])
def test_pictures_are_cut_at_the_larger_size_and_made_smaller_for_either(
    bench: Bench, theirs: tuple[int, int], fetched: tuple[int, int]
) -> None:
    stage = stage_of(bench, teacher_of(theirs), erase=0.0)
    batch = first_batch(stage)
    assert tuple(batch["image"].shape[-2:]) == fetched
    student, teacher = pictures_seen(stage, batch)
    torch.testing.assert_close(student, made_smaller(batch["image"] / 255, SIZE), rtol=0, atol=1e-5)
    torch.testing.assert_close(teacher, made_smaller(batch["image"] / 255, theirs), rtol=0, atol=1e-5)


def test_paddings_are_in_pixels_of_the_student(bench: Bench) -> None:
    """A picture twice as large is moved by up to twice as many pixels."""
    stage = stage_of(bench, teacher_of((64, 32)), erase=0.0, flip=0.0, pad=3)
    black = [(picture.sum(0) == 0).all(0).sum().item() for epoch in range(6) for picture in first_batch(stage, epoch)["image"]]
    assert 3 < max(black) <= 6


def test_erased_boxes_are_erased_for_both(bench: Bench) -> None:
    stage = stage_of(bench, erase=1.0, erasing="colour")
    batch = first_batch(stage)
    student, teacher = pictures_seen(stage, batch)
    changed = [(seen - batch["image"] / 255).abs().amax(1) > 1e-4 for seen in (student, teacher)]
    for rows in changed:
        for row, (top, left, height, width) in zip(rows, batch["erase"].tolist(), strict=True):
            inside = torch.zeros(SIZE, dtype=torch.bool)
            inside[top : top + height, left : left + width] = True
            assert not (row & ~inside).any() and (row & inside).any()


def test_clips_are_seen_whole(bench: Bench) -> None:
    """The teacher's feature of a clip is the mean over its frames, made smaller too; of unit length."""
    clips = torch.randint(0, 256, (2, 3, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = {"image": clips, "erase": torch.zeros(2, 4, dtype=torch.int64), "noise": torch.empty(1, 1, 0)}
    teacher = Teacher(teacher_of())
    found = teacher.features(batch)
    frames = made_smaller(clips / 255, SIZE) * 2 - 1
    each = torch.stack([teacher.encoder.raw(clip) for clip in frames]).mean(1)
    torch.testing.assert_close(found, F.normalize(each, dim=1), rtol=1e-4, atol=1e-5)


def test_a_teacher_that_is_tested_on_mirror_images_teaches_so(bench: Bench) -> None:
    stage = stage_of(bench, teacher_of(flip=True), erase=0.0)
    batch = first_batch(stage)
    mirrored = {**batch, "image": batch["image"].flip(-1)}
    torch.testing.assert_close(stage.forward(batch).teacher, stage.forward(mirrored).teacher, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------------------------------------------------- losses
def test_the_losses_that_have_a_weight(bench: Bench) -> None:
    stage = stage_of(bench, triplet_weight=0.0, distance_weight=0.0, feature_weight=3.0, similarity_weight=0.5)
    logged = one_step(stage)
    assert set(logged) == {"id", "feature", "angle", "similarity", "main/total"}
    angle = stage.settings.angle_weight
    wanted = logged["id"] + 3 * logged["feature"] + angle * logged["angle"] + 0.5 * logged["similarity"]
    torch.testing.assert_close(logged["main/total"], wanted)


def test_labels_alone_do_not_ask_the_teacher(bench: Bench) -> None:
    teacher = teacher_of((64, 32))
    teacher.register_forward_pre_hook(lambda module, inputs: pytest.fail("the teacher was asked"))
    stage = stage_of(bench, teacher, **LABELS_ALONE)
    assert set(one_step(stage)) == {"id", "triplet", "main/total"}
    assert tuple(first_batch(stage)["image"].shape[-2:]) == SIZE  # nor are pictures cut for it
    assert stage.model.encoder.pooled_width == WIDTH  # but it is the same student


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_teacher_is_not_trained(bench: Bench, precision: str) -> None:
    teacher = teacher_of().requires_grad_(True)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    stage = stage_of(bench, teacher)
    one_step(stage, precision)
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert [name for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])] == []
    trained = {id(p) for p in stage.module.parameters()}
    assert not any(id(p) in trained for p in teacher.parameters())


def test_the_student_comes_to_give_the_teachers_features(bench: Bench) -> None:
    alone = {"id_weight": 0.0, "triplet_weight": 0.0, "distance_weight": 0.0, "angle_weight": 0.0}
    stage = stage_of(bench, lr=1e-2, **alone)
    batch, updates = first_batch(stage), [(u, build_adam(u.groups)) for u in stage.updates]
    logged = [step(stage, updates, batch, LoopOptions(CPU))["feature"] for _ in range(20)]
    assert logged[-1] < 0.3 * logged[0]


def test_nothing_to_train_by(bench: Bench) -> None:
    with pytest.raises(UserError, match="Every weight is 0"):
        RkdStage(context_of(bench, id_weight=0.0, triplet_weight=0.0, **LABELS_ALONE))


def test_no_checkpoint(bench: Bench) -> None:
    with pytest.raises(UserError, match="no fine-tuned checkpoint") as caught:
        RkdStage(replace(context_of(bench), teacher=None))
    assert "--teacher" in caught.value.remedy


# ------------------------------------------------------------------------------------------------------------------ the student
@pytest.mark.parametrize(("neck", "width"), [("before", None), ("after", None), ("before", 12), ("after", 12)])
def test_what_is_distilled_is_what_is_tested(bench: Bench, neck: str, width: int | None, tmp_path: Path) -> None:
    stage = stage_of(bench, neck=neck, feature_width=width)
    one_step(stage)
    stage.set_mode(False)
    inference = encoder(stage.context, [stage])
    assert isinstance(inference, InferenceEncoder) and inference.width == (width or WIDTH)
    inference.eval().save(tmp_path)
    x = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = stage.model(x)
    torch.testing.assert_close(InferenceEncoder.load(tmp_path).features(x), F.normalize(outputs.tested, dim=1))
    assert torch.equal(outputs.tested, outputs.pooled) == (neck == "before")
    assert outputs.mapped.shape == (3, WIDTH) and torch.equal(outputs.mapped, outputs.tested) == (width is None)
    assert not any("to_teacher" in name or "classifier" in name for name in inference.state_dict())


def test_relations_are_those_of_ranking(bench: Bench) -> None:
    """Of unit vectors, or as they are where test features are: then lengths count, by which distances differ."""
    batch, found = None, {}
    for normalise in (True, False):
        torch.manual_seed(0)
        stage = stage_of(bench, normalise_features=normalise)
        batch = first_batch(stage) if batch is None else batch
        found[normalise] = stage.losses(batch, stage.forward(batch))
    torch.testing.assert_close(found[True]["feature"], found[False]["feature"])
    assert abs(found[True]["distance"] - found[False]["distance"]) > 1e-5


def test_normalisation_is_that_of_the_student(bench: Bench) -> None:
    context = context_of(bench, normalisation="model")
    assert encoder(context, [RkdStage(context)]).options.normalisation == Normalisation(context.clip.mean, context.clip.std)
