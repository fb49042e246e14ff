"""CLIP3DReID's equations against slow loops and values by hand; the losses that one training step computes, and what each one reaches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.bodies.shape_head import ShapeHead
from reidclip.interfaces import StageContext
from reidclip.train.transport_guide import TransportGuide
from reidclip_clip3dreid import equations as eq
from reidclip_clip3dreid.method import Clip3dStage, extras
from reidclip_clip3dreid.settings import Clip3dDistill
from tests.distill_fakes import FakeBody
from tests.fakes import write_prcc
from tests.method_bench import Bench

OFF: dict[str, Any] = {"id_weight": 0.0, "lambda_ot": 0.0, "lambda_global": 0.0, "lambda_3d": 0.0}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("prcc")
    return Bench("clip3dreid", write_prcc(folder / "data"), folder / "none")


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


# ------------------------------------------------------------------------------------------------------------------ equations
@settings(deadline=None)
@given(seed=st.integers(0, 300))
def test_eq_2_takes_the_nearer_phrase(seed: int) -> None:
    g, texts = drawn(seed, 4, 6), drawn(seed + 1, 3, 2, 6)
    scores, choices, chosen = eq.eq02_descriptions(g, texts)
    for i in range(4):
        for p in range(3):
            both = [cosine(g[i], texts[p, k]) for k in (0, 1)]
            assert scores[i, p].tolist() == pytest.approx(both, abs=1e-5)
            assert int(choices[i, p]) == both.index(max(both))
            assert torch.equal(chosen[i, p], texts[p, both.index(max(both))])


@settings(deadline=None)
@given(seed=st.integers(0, 300), regularisation=st.sampled_from([0.2, 1.0]))
def test_eq_3_to_7_one_iteration_by_loops(seed: int, regularisation: float) -> None:
    """The paper's: one iteration, b starts alike everywhere; N 3 places, M 2 words."""
    places, words = drawn(seed, 1, 3, 4), drawn(seed + 1, 1, 2, 4)
    cost = [[1 - cosine(places[0, n], words[0, m]) for m in range(2)] for n in range(3)]
    kernel = [[math.exp(-c / regularisation) for c in row] for row in cost]
    a = [(1 / 3) / sum(row) for row in kernel]
    b = [(1 / 2) / sum(a[n] * kernel[n][m] for n in range(3)) for m in range(2)]
    plan = [[a[n] * kernel[n][m] * b[m] for m in range(2)] for n in range(3)]
    distance = sum(plan[n][m] * cost[n][m] for n in range(3) for m in range(2))
    found = eq.eq06_plan(eq.eq03_cost(places, words), regularisation)
    assert found.plan[0].tolist() == [pytest.approx(row, rel=1e-4) for row in plan]
    guide = TransportGuide(drawn(seed, 16, 2, 4), 4, regularisation=regularisation)
    told = guide(places, torch.zeros(1, 16, dtype=torch.long))
    assert 0 <= float(told.cost.detach()) <= 2
    assert float((found.plan * eq.eq03_cost(places, words)).sum()) == pytest.approx(distance, rel=1e-4)


def test_eq_7_is_a_mean() -> None:
    assert float(eq.eq07_distance(torch.tensor([1.0, 2.0]))) == 1.5


def test_eq_8_by_hand() -> None:
    g, f = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert float(eq.eq08_global(g, f)) == (5 + 25) / 2


@settings(deadline=None)
@given(seed=st.integers(0, 300), temperature=st.sampled_from([1.0, 2.0]))
def test_eq_8_by_logits(seed: int, temperature: float) -> None:
    teacher, student = drawn(seed, 3, 4).requires_grad_(), drawn(seed + 1, 3, 4).requires_grad_()
    found = eq.eq08_global_by_logits(teacher, student, temperature)
    total = 0.0
    for i in range(3):
        p, q = (torch.softmax(x[i].detach() / temperature, 0).tolist() for x in (teacher, student))
        total += sum(p[k] * math.log(p[k] / q[k]) for k in range(4))
    assert float(found) == pytest.approx(total / 3, rel=1e-4, abs=1e-6)
    found.backward()
    assert teacher.grad is not None and teacher.grad.abs().sum() > 0, "published: the teacher's head learns by it too"


def test_eq_9_is_a_mean_over_vertices_in_square_metres() -> None:
    truth, moved = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    moved[0, 1] = torch.tensor([0.3, 0.0, 0.4])  # one of six vertices is half a metre off
    assert float(eq.eq09_shape(moved, truth)) == pytest.approx(0.25 / 6)


def test_eq_10() -> None:
    weights = eq.eq10_weights()
    assert (weights["id"], weights["ot"], weights["global"]) == (1.0, 0.3, 0.5)
    assert weights["shape"] == weights["mesh_ot"] == 0.3, "both terms of L_3D"
    assert eq.eq10_weights(lambda_3d=2.0, vertex_scale=100.0)["shape"] == 200.0
    chosen = Clip3dDistill()
    assert (chosen.id_weight, chosen.lambda_ot, chosen.lambda_global, chosen.lambda_3d) == (1.0, 0.3, 0.5, 0.3)
    assert (chosen.regularisation, chosen.sinkhorn_iterations, chosen.plan_gradient) == (1.0, 1, True)


# ---------------------------------------------------------------------------------------------------------------------- stage
def stage_of(bench: Bench, **changes: Any) -> tuple[StageContext, Clip3dStage, dict[str, Tensor]]:
    context = bench.context("distill", **changes)
    (stage,) = bench.build(context, "distill")
    assert isinstance(stage, Clip3dStage)
    stage.set_mode(True)
    batch = next(iter(stage.fetch(0)))
    return context, stage, stage.losses(batch, stage.forward(batch))


def reached(stage: Clip3dStage, loss: Tensor) -> set[str]:
    """Parts of the model that a loss has a gradient at."""
    stage.module.zero_grad()
    loss.backward(retain_graph=True)
    return {name.split(".")[0] for name, p in stage.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({}, {"id", "ot", "global", "shape", "mesh_ot"}),
        ({"lambda_ot": 0.0}, {"id", "global", "shape", "mesh_ot"}),
        ({"mesh_words": False}, {"id", "ot", "global", "shape"}),
        ({"lambda_3d": 0.0}, {"id", "ot", "global"}),
        ({**OFF, "id_weight": 1.0}, {"id"}),
        ({**OFF, "lambda_ot": 0.3}, {"ot"}),
        ({**OFF, "lambda_global": 0.5}, {"global"}),
        ({"global_loss": "kl", "triplet_weight": 1.0}, {"id", "triplet", "ot", "global", "teacher", "shape", "mesh_ot"}),
        ({"global_loss": "kl", "teacher_id_weight": 0.0, "lambda_3d": 0.0}, {"id", "ot", "global"}),
    ],
)
def test_a_loss_of_weight_0_is_not_computed(bench: Bench, changes: dict[str, Any], losses: set[str]) -> None:
    _, stage, found = stage_of(bench, **changes)
    assert set(found) == losses == set(stage.updates[0].weights)


def test_what_each_loss_teaches(bench: Bench) -> None:
    _, stage, found = stage_of(bench)
    with torch.no_grad():
        stage.model.shape.layers[2].weight.fill_(0.01)  # it starts at 0, behind which nothing has a gradient
    batch = next(iter(stage.fetch(0)))
    found = stage.losses(batch, stage.forward(batch))
    assert reached(stage, found["id"]) == {"encoder", "classifier"}
    assert reached(stage, found["ot"]) == {"encoder", "guide"}
    assert reached(stage, found["global"]) == {"encoder", "to_student"}
    assert reached(stage, found["mesh_ot"]) == {"encoder", "guide"}
    assert reached(stage, found["shape"]) == {"encoder", "shape"}
    _, stage, found = stage_of(bench, global_loss="kl")
    assert reached(stage, found["global"]) == {"encoder", "classifier", "teacher_head"}
    assert reached(stage, found["teacher"]) == {"teacher_head"}


def test_the_plan_may_be_cut(bench: Bench) -> None:
    """With and without gradient through the plan the loss is the same number, the gradient is not."""
    gradients = []
    for through in (True, False):
        _, stage, found = stage_of(bench, plan_gradient=through, regularisation=0.2)
        found["ot"].backward()
        gradients.append((float(found["ot"].detach()), torch.cat([p.grad.flatten() for p in stage.model.guide.parameters()])))
    (with_, g), (without, h) = gradients
    assert with_ == pytest.approx(without, rel=1e-6)
    assert float((g - h).norm()) > 1e-3 * float(g.norm())


def test_a_small_lambda_is_told(bench: Bench) -> None:
    _, stage, found = stage_of(bench, regularisation=1e-3)
    assert len(stage.notes) == 1 and "0.001" in stage.notes[0] and "logarithms" in stage.notes[0]
    assert torch.isfinite(found["ot"])
    found["ot"].backward()
    assert all(torch.isfinite(p.grad).all() for p in stage.model.parameters() if p.grad is not None)
    assert stage_of(bench)[1].notes == ()


def test_words_and_shapes_of_renders_are_those_of_their_bodies(bench: Bench) -> None:
    """Losses from the model's own outputs, picture by picture."""
    context, stage, _ = stage_of(bench)
    stage.set_mode(False)
    batch = next(iter(stage.fetch(0)))
    with torch.no_grad():
        stage.model.shape.layers[2].bias.fill_(0.1)
        outputs = stage.forward(batch)
        found = stage.losses(batch, outputs)
        table, rows = context.meshes.table, (batch["own.mesh_pid"] - 1).tolist()
        assert len(rows) == 4
        body, total = FakeBody(), 0.0
        for i, row in enumerate(rows):
            truth = body.vertices(torch.from_numpy(table.shape[row : row + 1]))
            total += float((body.vertices(outputs.mesh_shape[i : i + 1]) - truth).square().sum(2).mean())
        assert float(found["shape"]) == pytest.approx(total / 4, rel=1e-5)
        assert float(found["ot"]) == pytest.approx(float(outputs.transport.mean()), rel=1e-6)
        assert float(found["mesh_ot"]) == pytest.approx(float(outputs.mesh_transport.mean()), rel=1e-6)
        images = stage.prepare({k.removeprefix("own.mesh_"): v for k, v in batch.items() if k.startswith("own.mesh_")})["x"]
        _, places = stage.model.encoder.forward_places(images)
        for i, row in enumerate(rows):
            own = stage.model.guide(places[i : i + 1], torch.from_numpy(table.choices[row : row + 1]))
            assert float(outputs.mesh_transport[i]) == pytest.approx(float(own.cost), rel=1e-5)
        _, places = stage.model.encoder.forward_places(stage.prepare(batch)["x"])
        for i, index in enumerate(batch["index"].tolist()):
            own = stage.model.guide(places[i : i + 1], context.descriptions.choices[index : index + 1])
            assert float(outputs.transport[i]) == pytest.approx(float(own.cost), rel=1e-5)


def test_every_render_comes_once_before_one_comes_twice(bench: Bench) -> None:
    _, stage, _ = stage_of(bench, mesh_images=5)
    plan = stage.plan_meshes(1, 6)
    order = [index for batch in plan for index in batch]
    assert [len(batch) for batch in plan] == [5] * 6
    assert sorted(order[: len(stage.meshes)]) == list(range(len(stage.meshes)))
    assert plan != stage.plan_meshes(2, 6)


def test_a_live_teacher_sees_the_augmented_picture(bench: Bench) -> None:
    """Stored features are of the picture as it is: the same in every epoch; a live teacher's are not."""
    for view, same in (("stored", True), ("augmented", False)):
        _, stage, _ = stage_of(bench, teacher_view=view, flip=0.5, erase=1.0)
        with torch.no_grad():
            seen = [dict(zip(b["index"].tolist(), stage._teacher_feature(b), strict=True)) for e in (0, 1) for b in stage.fetch(e)]
        by_picture: dict[int, list[Tensor]] = {}
        for features in seen:
            for index, feature in features.items():
                by_picture.setdefault(index, []).append(feature)
        twice = [features for features in by_picture.values() if len(features) > 1]
        assert twice and all(torch.equal(features[0], features[1]) for features in twice) == same


def test_extras_lie_beside_the_encoder(bench: Bench, tmp_path: Path) -> None:
    context, stage, _ = stage_of(bench)
    extras(context, [stage], tmp_path)
    head, guide = ShapeHead.load(tmp_path), TransportGuide.load(tmp_path)
    assert (head.body, head.version, head.width) == ("fake", "f" * 64, 12)
    assert guide.regularisation == 1.0 and torch.equal(guide.texts, context.descriptions.texts)
    used = context.meshes.table.shape
    torch.testing.assert_close(head.mean, torch.from_numpy(used.mean(0)))
    bare = tmp_path / "bare"
    bare.mkdir()
    context, stage, _ = stage_of(bench, **{**OFF, "id_weight": 1.0})
    extras(context, [stage], bare)
    assert list(bare.iterdir()) == []
