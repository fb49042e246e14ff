"""SCI's text guide: the layer written out, what it adds to which feature for which text, and that no text gets through."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reidclip.interfaces import TrainStage
from reidclip_sci.interaction import TextGuide
from tests.fakes import write_prcc
from tests.method_bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder: Path = tmp_path_factory.mktemp("sci")
    return Bench("sci", write_prcc(folder / "data"), folder / "none")


def build(bench: Bench, **switches: object) -> TrainStage:
    (stage,) = bench.build(bench.context("finetune", **switches), "finetune")
    return stage


def normed(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias


@pytest.mark.parametrize("residual", [False, True])
def test_the_guide_written_out(residual: bool) -> None:
    """Pre-norm: text and places are normalised, the text looks at the places, and an MLP with a residual of its own follows."""
    guide = TextGuide(4, 6, residual).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
        texts, places = torch.randn(2, 4, generator=draw).double(), torch.randn(2, 3, 6, generator=draw).double()
        for text, own, found in zip(texts, places, guide(texts, places), strict=True):
            rows = torch.stack([normed(place, guide.norm_map) for place in own])
            scores = (rows @ guide.W_k) @ (normed(text, guide.norm_text) @ guide.W_q) / 2  # the root of 4
            a = (scores.exp() / scores.exp().sum()) @ (rows @ guide.W_v) + (text if residual else 0)
            first, _, second = guide.mlp
            hidden = first.weight @ normed(a, guide.norm) + first.bias
            gelu = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
            torch.testing.assert_close(found, a + second.weight @ gelu + second.bias)


def test_the_projected_feature_alone_is_guided_by_the_text_of_the_picture_s_outfit(bench: Bench) -> None:
    context = bench.context("finetune")
    stage = build(bench)
    model, batch = stage.model, next(iter(stage.fetch(0)))  # type: ignore[attr-defined]
    stage.set_mode(False)
    assert context.prompts is not None and not torch.equal(batch["clothes"], batch["pid"])
    with torch.no_grad():
        model.guide.gamma.fill_(0.5)
        found = stage.forward(batch)
        features, places = model.encoder.forward_places(stage.prepare(batch)["x"])  # type: ignore[attr-defined]
        a = model.guide(context.prompts["clothes.orthogonal"][batch["clothes"]], places)
    torch.testing.assert_close(found.projected, features.projected + 0.5 * a)
    torch.testing.assert_close(found.pooled, features.pooled)
    torch.testing.assert_close(found.last, features.last)
    torch.testing.assert_close(found.score_projected, model.heads.projected(found.projected).scores)


@pytest.mark.parametrize("block", ["nonlocal", "none"])
def test_gamma_0_is_no_guide(bench: Bench, block: str) -> None:
    """v' = v: what the heads and losses get is what the encoder gives."""
    stage = build(bench, context_block=block)
    batch = next(iter(stage.fetch(0)))
    x = stage.prepare(batch)["x"]  # type: ignore[attr-defined]
    model = stage.model  # type: ignore[attr-defined]
    with torch.no_grad():
        projected = model.encoder.forward_places(x)[0].projected
        assert not torch.equal(stage.forward(batch).projected, projected)
        model.guide.gamma.zero_()
        assert torch.equal(stage.forward(batch).projected, projected)


def test_the_guide_passes_on_nothing_of_the_text_itself() -> None:
    """In a picture whose places are all alike every text finds the same; with the residual it is told apart."""
    texts, places = torch.randn(2, 8), torch.randn(1, 1, 6).expand(2, 5, 6)
    for residual in (False, True):
        torch.manual_seed(0)
        first, second = TextGuide(8, 6, residual)(texts, places)
        assert torch.allclose(first, second, atol=1e-6) != residual


def test_the_guide_starts_as_a_linear_layer_does_and_adds_next_to_nothing() -> None:
    torch.manual_seed(0)
    guide = TextGuide(64, 400)
    for weight, fan_in in ((guide.W_q, 64), (guide.W_k, 400), (guide.W_v, 400)):
        assert 0.99 < weight.detach().abs().max().item() * fan_in**0.5 <= 1  # U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    assert guide.gamma.item() == pytest.approx(1e-4)


def test_rates_of_the_new_layers(bench: Bench) -> None:
    """Guide and context block learn at their own rate, the classifier of clothes at its, which stays."""
    clothes, main = build(bench, lr=1e-5, interaction_lr=2e-3, clothes_lr=3e-2, head_lr_factor=1.0, bias_lr_factor=1.0).updates
    of_new = {group.lr for group in main.groups for name, _ in group.params if ".guide." in name or ".context_block." in name}
    of_old = {group.lr for group in main.groups for name, _ in group.params if not (".guide." in name or ".context_block." in name)}
    assert (of_new, of_old, {group.lr for group in clothes.groups}) == ({2e-3}, {1e-5}, {3e-2})
    assert {clothes.schedule(epoch) for epoch in range(100)} == {1.0}
