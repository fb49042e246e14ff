"""The image towers against open_clip's own, and what re-identification adds to them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.clip.architecture import build_towers, encoder_config
from reidclip.clip.geometry import grid_of_table, patch_grid, resize_positions, resnet_grid
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.errors import UserError
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip

QK_NORM_VIT = {**TINY_VIT, "vision_cfg": {**TINY_VIT["vision_cfg"], "qk_norm": True, "ls_init_value": 0.5}}


def encoder_and_original(model: dict[str, Any], size: tuple[int, int], stride: int | None) -> tuple[ImageEncoder, Any]:
    torch.manual_seed(3)
    towers = build_towers(model)
    for name, parameter in towers.named_parameters():
        if name.endswith("bn3.weight"):  # open_clip starts them at 0, which would hide the residual branches
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return make_image_encoder(encoder_config(model, size, stride), copy.deepcopy(towers.visual)).eval(), towers.visual.eval()


@pytest.mark.parametrize(
    ("model", "size", "stride"),
    [(TINY_VIT, (32, 16), None), (QK_NORM_VIT, (32, 16), None), (TINY_RESNET, (64, 64), 32)],
    ids=["vit", "custom", "rn"],
)
def test_projected_feature_and_its_gradients_are_open_clips(model: dict[str, Any], size: tuple[int, int], stride: int | None) -> None:
    encoder, original = encoder_and_original(model, size, stride)
    x = torch.randn(3, 3, *size)
    ours, theirs = encoder(x).projected, original(x)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    expected = {name: p.grad for name, p in original.named_parameters()}
    assert {name for name, _ in encoder.named_parameters()} == set(expected)
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("model", "size"), [(TINY_VIT, (32, 16)), (QK_NORM_VIT, (32, 16)), (TINY_RESNET, (64, 32))], ids=["vit", "custom", "rn"]
)
def test_maps_come_with_the_same_vectors(model: dict[str, Any], size: tuple[int, int]) -> None:
    encoder = tiny_clip(model, image_size=size).image_encoder.eval()
    x = torch.randn(2, 3, *size)
    vectors, maps = encoder(x), encoder.forward_tokens(x)
    for vector, from_maps in zip(vectors, maps.features, strict=True):
        torch.testing.assert_close(vector, from_maps, atol=1e-5, rtol=1e-5)
    assert [v.shape[1] for v in vectors] == [encoder.last_width, encoder.pooled_width, encoder.joint_width]
    assert maps.pooled.shape == (2, encoder.pooled_width, *encoder.config.grid)
    assert maps.projected.shape == (2, encoder.joint_width, *encoder.config.grid)


def test_vit_map_cells_are_places_of_the_picture() -> None:
    """Without attention (values set to 0) a cell depends on its own patch alone."""
    encoder = tiny_clip().image_encoder.eval()
    for block in encoder.transformer.resblocks:  # type: ignore[union-attr]
        torch.nn.init.zeros_(block.attn.out_proj.weight)  # type: ignore[union-attr, arg-type]
    x = torch.randn(1, 3, 32, 16)
    changed = x.clone()
    changed[:, :, 16:24, 0:8] += 1  # row 2, column 0 of the 4x2 grid
    moved = (encoder.forward_tokens(x).pooled - encoder.forward_tokens(changed).pooled).abs().sum(1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[2, 0]]


def test_resnet_final_stage_keeps_stride_one_by_default() -> None:
    x = torch.randn(1, 3, 64, 32)
    assert tiny_clip(TINY_RESNET, image_size=(64, 32)).image_encoder.forward_tokens(x).pooled.shape[-2:] == (4, 2)
    assert tiny_clip(TINY_RESNET, image_size=(64, 32), stride=32).image_encoder.forward_tokens(x).pooled.shape[-2:] == (2, 1)


def test_overlapping_patches_make_a_finer_grid() -> None:
    encoder = tiny_clip(stride=4).image_encoder
    assert encoder.config.grid == (7, 3)
    assert encoder.forward_tokens(torch.randn(1, 3, 32, 16)).last.shape[-2:] == (7, 3)


def test_camera_embedding_is_added_to_the_class_token_with_its_coefficient() -> None:
    encoder = tiny_clip(sie_cameras=3, sie_coefficient=2.0).image_encoder.eval()
    x = torch.randn(3, 3, 32, 16)
    cameras = torch.tensor([0, 2, 1])
    with torch.no_grad():
        with_camera = encoder(x, cameras).projected
        assert not torch.allclose(with_camera, encoder(x).projected, atol=1e-4)
        for i, camera in enumerate(cameras.tolist()):
            by_hand = copy.deepcopy(encoder)
            by_hand.class_embedding += 2.0 * encoder.camera_embedding[camera]  # type: ignore[operator, index]
            torch.testing.assert_close(by_hand(x[i : i + 1]).projected, with_camera[i : i + 1], atol=1e-5, rtol=1e-5)


def test_camera_is_ignored_by_an_encoder_without_camera_embedding() -> None:
    encoder = tiny_clip().image_encoder.eval()
    x = torch.randn(2, 3, 32, 16)
    assert torch.equal(encoder(x, torch.tensor([5, 6])).pooled, encoder(x).pooled)


def test_copies_are_independent() -> None:
    encoder = tiny_clip().image_encoder.eval()
    x = torch.randn(1, 3, 32, 16)
    before = encoder(x).projected.detach()
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        twin.proj.mul_(2)  # type: ignore[operator, union-attr]
    assert torch.equal(encoder(x).projected, before)
    torch.testing.assert_close(twin(x).projected, 2 * before)


def test_autocast_gives_full_precision_tensors_close_to_the_exact_ones() -> None:
    for model, size in ((TINY_VIT, (32, 16)), (TINY_RESNET, (64, 32))):
        encoder = tiny_clip(model, image_size=size).image_encoder.eval()
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            exact = encoder(x)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                reduced = encoder(x)
        for a, b in zip(exact, reduced, strict=True):
            assert b.dtype == torch.float32
            assert float((a - b).norm() / a.norm()) < 0.03


def test_wrong_picture_size_is_told() -> None:
    with pytest.raises(ValueError, match="16x16 but the encoder was built for 32x16"):
        tiny_clip().image_encoder(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("model", "geometry", "words"),
    [
        (TINY_RESNET, {"image_size": (64, 32), "sie_cameras": 4}, "no class token"),
        (TINY_RESNET, {"image_size": (64, 32), "stride": 12}, "16 or 32"),
        (TINY_VIT, {"image_size": (4, 4)}, "leave no token"),
        (TINY_VIT, {"stride": -3}, "stride -3"),
    ],
)
def test_impossible_geometry_is_refused(model: dict[str, Any], geometry: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        tiny_clip(model, **geometry)
    assert error.value.remedy


# --------------------------------------------------------------------------------------------------------------------------- geometry
def test_grids_named_in_the_papers() -> None:
    assert patch_grid((256, 128), (16, 16), 16) == (16, 8)
    assert patch_grid((256, 128), (16, 16), 12) == (21, 10)
    assert patch_grid((224, 224), (32, 32), 32) == (7, 7)
    assert resnet_grid((256, 128), 16) == (16, 8)
    assert resnet_grid((256, 128), 32) == (8, 4)
    assert resnet_grid((224, 224), 32) == (7, 7)


@settings(deadline=None, max_examples=15)
@given(st.integers(32, 90), st.integers(32, 90), st.sampled_from([16, 32]))
def test_resnet_grid_is_the_grid_of_its_map(height: int, width: int, stride: int) -> None:
    encoder = tiny_clip(TINY_RESNET, image_size=(height, width), stride=stride).image_encoder.eval()
    with torch.no_grad():
        assert encoder.forward_tokens(torch.zeros(1, 3, height, width)).pooled.shape[-2:] == encoder.config.grid


sides = st.integers(1, 9)


@settings(deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 10_000))
def test_resized_positions_keep_class_row_constants_and_range(h: int, w: int, new_h: int, new_w: int, seed: int) -> None:
    table = torch.randn(1 + h * w, 3, generator=torch.Generator().manual_seed(seed))
    table[1:, 0] = 4.0
    resized = resize_positions(table, (h, w), (new_h, new_w))
    assert resized.shape == (1 + new_h * new_w, 3)
    assert torch.equal(resized[0], table[0])
    torch.testing.assert_close(resized[1:, 0], torch.full((new_h * new_w,), 4.0))
    assert resized[1:].max() <= table[1:].max() + 1e-5
    assert resized[1:].min() >= table[1:].min() - 1e-5


def test_halving_a_row_of_positions_takes_the_middle_between_neighbours() -> None:
    table = torch.tensor([9.0, 0.0, 1.0, 2.0, 3.0])[:, None]
    assert resize_positions(table, (1, 4), (1, 2)).flatten().tolist() == [9.0, 0.5, 2.5]


def test_grid_of_a_table() -> None:
    table = torch.zeros(129, 2)
    assert grid_of_table(table, [(14, 14), (16, 8)]) == (16, 8)
    assert grid_of_table(torch.zeros(50, 2), [(16, 8)]) == (7, 7)
    assert grid_of_table(torch.zeros(48, 2), [(16, 8)]) is None
