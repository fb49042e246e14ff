"""The block between final map and pools: slow transcription, a start that changes no bit, and what is stored of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.context_block import CONTEXT_BLOCKS, NonLocalBlock, make_context_block, with_context_block
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.trunk import trunk_config
from reidclip.errors import UserError
from reidclip.formulas.context import dot_product_context
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip

TOWERS = [(TINY_VIT, (32, 16)), (TINY_RESNET, (64, 32))]
every_tower = pytest.mark.parametrize(("model", "size"), TOWERS, ids=["vit", "resnet"])
every_kind = pytest.mark.parametrize("kind", sorted(CONTEXT_BLOCKS))


def tower(model: dict[str, Any], size: tuple[int, int]) -> ImageEncoder:
    return tiny_clip(model, image_size=size).image_encoder.eval()


def stirred(encoder: ImageEncoder) -> ImageEncoder:
    """With a block that adds something."""
    with torch.no_grad():
        for number, parameter in enumerate(encoder.context_block.parameters()):  # type: ignore[union-attr]
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return encoder.eval()


def test_slow_transcription() -> None:
    theta, phi, g = (torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in range(3))
    y = dot_product_context(theta, phi, g)
    for b in range(2):
        for i in range(5):
            for d in range(3):
                total = 0.0
                for j in range(5):
                    total += sum(float(theta[b, i, k] * phi[b, j, k]) for k in range(3)) * float(g[b, j, d])
                assert float(y[b, i, d]) == pytest.approx(total / 5, rel=1e-12)


def test_by_hand() -> None:
    # Two places; theta = (1, 2), phi = (3, 5), g = (1, 10): y_1 = (3 * 1 + 5 * 10) / 2, y_2 = 2 y_1.
    theta, phi, g = (torch.tensor(v)[None, :, None] for v in ([1.0, 2.0], [3.0, 5.0], [1.0, 10.0]))
    assert dot_product_context(theta, phi, g).flatten().tolist() == [26.5, 53.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_order_of_places_does_not_matter(places: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    theta, phi, g = (torch.randn(2, places, 3, generator=draw, dtype=torch.float64) for _ in range(3))
    order = torch.randperm(places, generator=draw)
    moved = dot_product_context(theta[:, order], phi[:, order], g[:, order])
    torch.testing.assert_close(moved, dot_product_context(theta, phi, g)[:, order])


def test_large_values_survive_half_precision() -> None:
    """600 * 600 is more than float16 holds."""
    theta = torch.full((1, 4, 1), 600.0, dtype=torch.float16)
    y = dot_product_context(theta, theta, torch.full_like(theta, 0.5))
    assert y.dtype == torch.float32 and y.flatten().tolist() == [180_000.0] * 4


@every_tower
@every_kind
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_new_block_changes_no_bit(model: dict[str, Any], size: tuple[int, int], kind: str, memory: torch.memory_format) -> None:
    plain = tower(model, size).to(memory_format=memory)  # type: ignore[call-overload]
    extended = with_context_block(plain, kind, seed=1)
    x = torch.randn(3, 3, *size)
    # A ViT without block runs its final transformer block at the class token alone, which rounds otherwise than at every token.
    same_way = plain if plain.config.is_resnet else lambda pictures: plain.forward_tokens(pictures).features
    for expected, got, with_places in zip(same_way(x), extended(x), extended.forward_places(x)[0], strict=True):
        assert torch.equal(expected, got)
        assert torch.equal(expected, with_places)
    for expected, got in zip(plain(x), extended(x), strict=True):
        torch.testing.assert_close(expected, got, atol=2e-6, rtol=0)
    assert extended.config.context_block == kind and plain.config.context_block is None


@every_tower
@every_kind
def test_a_trained_block_changes_what_comes_after_it_and_maps_agree(model: dict[str, Any], size: tuple[int, int], kind: str) -> None:
    plain = tower(model, size)
    extended = stirred(with_context_block(plain, kind, seed=1))
    x = torch.randn(2, 3, *size)
    (last, pooled, projected), before = extended(x), plain(x)
    assert torch.equal(last, before.last)
    assert not torch.allclose(pooled, before.pooled, atol=1e-3) and not torch.allclose(projected, before.projected, atol=1e-3)
    maps, (features, places) = extended.forward_tokens(x), extended.forward_places(x)
    for one, other, third in zip((last, pooled, projected), maps.features, features, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        assert torch.equal(one, third)
    assert places.shape == (2, extended.config.grid[0] * extended.config.grid[1], extended.pooled_width)
    if extended.config.is_resnet:
        torch.testing.assert_close(places.mean(1), pooled)
    else:
        torch.testing.assert_close(extended.ln_post(places).transpose(1, 2), maps.pooled.flatten(2))  # type: ignore[operator]


@every_kind
def test_runs_on_the_meta_device(kind: str) -> None:
    """Where operations are counted without being done."""
    encoder = with_context_block(tower(*TOWERS[0]), kind, seed=1).to("meta")
    assert encoder(torch.empty(2, 3, 32, 16, device="meta")).projected.shape == (2, 12)


@every_tower
def test_a_clip_has_the_places_of_all_its_frames(model: dict[str, Any], size: tuple[int, int]) -> None:
    encoder = stirred(with_context_block(tower(model, size), "nonlocal", seed=1))
    clips = torch.randn(2, 3, 3, *size)
    features, places = encoder.forward_places(clips, torch.tensor([0, 1]))
    for clip, of_clip, own_places in zip(clips, zip(*features, strict=True), places, strict=True):
        frames, of_frames = encoder.forward_places(clip)
        torch.testing.assert_close(own_places, of_frames.flatten(0, 1), atol=1e-5, rtol=1e-5)
        for got, expected in zip(of_clip, frames, strict=True):
            torch.testing.assert_close(got, expected.mean(0), atol=1e-5, rtol=1e-5)


@every_tower
def test_places_come_from_a_call_of_the_encoder(model: dict[str, Any], size: tuple[int, int]) -> None:
    """Hooks see it, and so does `torch.nn.Module.compile`, which replaces what a call runs."""
    encoder = stirred(with_context_block(tower(model, size), "nonlocal", seed=1))
    calls: list[int] = []
    encoder.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    encoder.forward_places(torch.randn(2, 3, *size))
    encoder.forward_places(torch.randn(2, 3, 3, *size))
    assert calls == [2, 6]


@every_kind
def test_every_parameter_of_a_block_is_trained(kind: str) -> None:
    encoder = stirred(with_context_block(tower(*TOWERS[0]), kind, seed=1))
    encoder(torch.randn(2, 3, 32, 16)).projected.square().sum().backward()
    for name, parameter in encoder.context_block.named_parameters():  # type: ignore[union-attr]
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_gradients() -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(4).double()
    torch.nn.init.normal_(block.norm.weight)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


@settings(deadline=None, max_examples=20)
@given(st.floats(-2, 3), st.integers(0, 10_000))
def test_what_nonlocal_adds_is_as_long_as_its_scale_however_long_features_are(exponent: float, seed: int) -> None:
    """Without a norm it would grow with the cube of its input, and training on its own output runs away."""
    torch.manual_seed(seed)
    block = NonLocalBlock(4).double()
    torch.nn.init.normal_(block.norm.weight)
    x = 10**exponent * torch.randn(2, 5, 4, dtype=torch.float64)
    added = block(x) - x
    variance = block.w_z(dot_product_context(block.theta(x), block.phi(x), block.g(x))).var((0, 1), unbiased=False)
    expected = block.norm.weight.square() * variance / (variance + block.norm.eps)
    torch.testing.assert_close(added.square().mean((0, 1)), expected, rtol=1e-6, atol=1e-12)


def test_nonlocal_sums_survive_half_precision_until_they_are_normed() -> None:
    """Under autocast to float16 sums of 1e7 become numbers of the scale's size."""
    torch.manual_seed(0)
    block = NonLocalBlock(8)
    torch.nn.init.ones_(block.norm.weight)
    x = 300 * torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.float16):
        assert bool(block(x).isfinite().all())


def test_seed_alone_decides_and_no_other_random_state_moves() -> None:
    plain = tower(*TOWERS[0])
    state = torch.get_rng_state()
    blocks = [with_context_block(plain, "nonlocal", seed).context_block for seed in (1, 1, 2)]
    assert torch.equal(state, torch.get_rng_state())
    first, again, other = (block.theta.weight for block in blocks)  # type: ignore[union-attr]
    assert isinstance(first, Tensor) and torch.equal(first, again) and not torch.equal(first, other)  # type: ignore[arg-type]


@every_tower
@every_kind
def test_survives_saving(model: dict[str, Any], size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    encoder = InferenceEncoder(stirred(with_context_block(tower(model, size), kind, seed=1))).eval()
    encoder.save(tmp_path)
    assert json.loads((tmp_path / "encoder.json").read_text())["encoder"]["context_block"] == kind
    x = torch.randn(2, 3, *size)
    assert torch.equal(InferenceEncoder.load(tmp_path).features(x), encoder.features(x))


def test_encoders_without_one_are_stored_as_before() -> None:
    document = tower(*TOWERS[0]).config.to_json()
    assert "context_block" not in document  # readers that know none would refuse it
    assert EncoderConfig.from_json(document).context_block is None


def test_unknown_kinds_and_unfit_encoders_are_refused() -> None:
    with pytest.raises(UserError, match=r"no context block 'non-local'") as caught:
        make_context_block("non-local", 8)
    assert "Did you mean 'nonlocal'?" in caught.value.remedy
    config = {**tower(*TOWERS[0]).config.to_json(), "context_block": "window"}
    with pytest.raises(UserError, match=r"no context block 'window'"):
        make_image_encoder(EncoderConfig.from_json(config))
    with pytest.raises(UserError, match=r"takes no context block"):
        with_context_block(make_image_encoder(trunk_config((64, 32))), "nonlocal", 0)
