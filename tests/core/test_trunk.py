"""The ResNet-50 trunk as an encoder: shapes, poolings, and an artifact that stands alone. Its numbers are in tests/parity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.trunk import TrunkEncoder, trunk_config
from reidclip.errors import UserError

SIZE = (70, 33)


def pictures() -> Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return make_image_encoder(trunk_config(SIZE)).eval()


@torch.no_grad()
def test_at_stride_32_it_is_torchvisions_network(encoder: ImageEncoder) -> None:
    trunk = make_image_encoder(trunk_config(SIZE, stride=32)).eval()
    trunk.load_state_dict(encoder.state_dict())
    net = torchvision.models.resnet50().eval()
    net.load_state_dict(trunk.state_dict(), strict=False)
    net.fc = nn.Identity()
    features = trunk(pictures())
    torch.testing.assert_close(features.pooled[:, 2048:], net(pictures()))
    assert isinstance(trunk, TrunkEncoder)
    assert trunk.forward_tokens(pictures()).pooled.shape[-2:] == trunk.config.grid == (3, 2)


@torch.no_grad()
def test_outputs_and_their_maps(encoder: ImageEncoder) -> None:
    maps = encoder.forward_tokens(pictures())
    features = encoder(pictures())
    assert (encoder.last_width, encoder.pooled_width, encoder.joint_width) == (1024, 4096, 0)
    assert [f.shape for f in features] == [(2, 1024), (2, 4096), (2, 0)]
    assert maps.pooled.shape == (2, 2048, *encoder.config.grid) == (2, 2048, 5, 3)
    assert maps.projected.shape == (2, 0, 5, 3)
    cells = maps.pooled.flatten(2)
    torch.testing.assert_close(features.pooled, torch.cat([cells.max(2).values, cells.mean(2)], 1))
    torch.testing.assert_close(features.last, maps.last.flatten(2).mean(2))
    for one, other in zip(features, maps.features, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("pooling", "part"), [("max", slice(2048)), ("avg", slice(2048, None))])
def test_one_pooling_is_half_of_both(encoder: ImageEncoder, pooling: Any, part: slice) -> None:
    single = make_image_encoder(trunk_config(SIZE, pooling=pooling)).eval()
    single.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(single(pictures()).pooled, encoder(pictures()).pooled[:, part])


@torch.no_grad()
def test_features_leave_half_precision(encoder: ImageEncoder) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert {f.dtype for f in encoder(pictures())} == {torch.float32}


@pytest.mark.parametrize("neck", ["before", "after"])
def test_a_saved_trunk_needs_nothing_else(encoder: ImageEncoder, tmp_path: Path, neck: Any) -> None:
    bottleneck = nn.BatchNorm1d(4096)
    bottleneck.running_mean = torch.randn(4096)
    saved = InferenceEncoder(encoder, InferenceOptions(neck=neck, flip=True), bottleneck).eval()
    saved.save(tmp_path)
    again = InferenceEncoder.load(tmp_path)
    torch.testing.assert_close(again.features(pictures()), saved.features(pictures()))
    assert (again.options, again.image_encoder.config, again.width) == (saved.options, encoder.config, 4096)
    with torch.no_grad():
        plain = encoder(pictures()).pooled
    again.options = replace(again.options, flip=False, normalise=False)
    torch.testing.assert_close(again.features(pictures()), bottleneck.eval()(plain) if neck == "after" else plain)


def test_a_trunk_trains(encoder: ImageEncoder) -> None:
    trunk = make_image_encoder(trunk_config(SIZE)).train()
    trunk(pictures()).pooled.square().mean().backward()
    assert [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: trunk_config(SIZE, stride=8), "16 or 32, not 8"),
        (lambda: trunk_config(SIZE, pooling="gem"), "no pooling 'gem'"),  # type: ignore[arg-type]
        (lambda: trunk_config((0, 4)), "0x4 pixels"),
        (lambda: make_image_encoder(EncoderConfig({"trunk": "vgg"}, SIZE, 16)), "no trunk 'vgg'"),
    ],
)
def test_what_it_cannot_be_is_told(make: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        make()
    assert error.value.remedy


def test_pictures_of_another_size_are_told(encoder: ImageEncoder) -> None:
    with pytest.raises(ValueError, match="built for 70x33"):
        encoder(torch.zeros(1, 3, 33, 70))
