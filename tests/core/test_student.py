"""Students: backbone and identity head, what of them is saved, and what reaches what."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import StudentEncoder, make_student
from reidclip.clip.trunk import pooled_as
from reidclip.errors import UserError
from tests.tiny_clip import tiny_clip

SIZE = (64, 32)
WIDTHS = {"random:timm:test_resnet@1": 96, "random:timm:test_vit@1": 64}


def pictures(rows: int = 2) -> Tensor:
    return torch.randn(rows, 3, *SIZE, generator=torch.Generator().manual_seed(5))


def student(spec: str, **options: Any) -> StudentEncoder:
    torch.manual_seed(0)
    return make_student(load_clip(spec, image_size=SIZE).image_encoder, **{"width": 48, **options})


@pytest.fixture(scope="module", params=WIDTHS)
def trained(request: pytest.FixtureRequest) -> tuple[str, StudentEncoder]:
    return request.param, student(request.param).eval()


@torch.no_grad()
def test_the_head_reads_the_mean_of_the_final_map(trained: tuple[str, StudentEncoder]) -> None:
    spec, encoder = trained
    features, places = encoder.forward_places(pictures())
    h, w = encoder.config.grid
    assert places.shape == (2, h * w, WIDTHS[spec]) and encoder.places_width == WIDTHS[spec]
    assert [f.shape[1] for f in features] == [WIDTHS[spec], 48, 0] == [encoder.last_width, encoder.pooled_width, encoder.joint_width]
    head = dict(encoder.head.named_parameters())
    hidden = (places.mean(1) @ head["hidden.weight"].T + head["hidden.bias"]).clamp_min(0)
    torch.testing.assert_close(features.pooled, hidden @ head["output.weight"].T + head["output.bias"])
    torch.testing.assert_close(features.last, places.mean(1))
    tokens = encoder.forward_tokens(pictures())
    torch.testing.assert_close(tokens.pooled.flatten(2).transpose(1, 2), places)
    torch.testing.assert_close(tokens.features.pooled, features.pooled)


@pytest.mark.parametrize("neck", ["before", "after"])
def test_saved_and_loaded_it_gives_the_same_bits(trained: tuple[str, StudentEncoder], tmp_path: Path, neck: Any) -> None:
    bottleneck = nn.BatchNorm1d(48)
    bottleneck.running_mean = torch.randn(48)
    saved = InferenceEncoder(trained[1], InferenceOptions(neck=neck), bottleneck).eval()
    saved.save(tmp_path)
    again = InferenceEncoder.load(tmp_path)
    assert torch.equal(again.features(pictures()), saved.features(pictures()))
    assert (again.width, again.image_encoder.config) == (48, trained[1].config)


@pytest.mark.parametrize("spec", WIDTHS)
def test_a_gradient_reaches_every_parameter(spec: str) -> None:
    encoder = student(spec).train()
    for name, parameter in encoder.named_parameters():  # some begin at zero, which stops the gradient of what is before them
        if parameter.dim() == 1 and not name.endswith("bias"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    encoder(pictures(8)).pooled.square().mean().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_of_clips_it_is_the_mean_over_frames(trained: tuple[str, StudentEncoder]) -> None:
    frames = pictures(4)
    with torch.no_grad():
        clip, places = trained[1].forward_places(frames.unflatten(0, (2, 2)))
        torch.testing.assert_close(clip.pooled, trained[1](frames).pooled.unflatten(0, (2, 2)).mean(1), rtol=1e-4, atol=1e-5)
    assert places.shape[:2] == (2, 2 * trained[1].config.grid[0] * trained[1].config.grid[1])


def test_the_backbone_keeps_its_weights_and_is_a_copy() -> None:
    """A ResNet-50, whose means and maxima are joined where it is no student."""
    backbone = load_clip("random:resnet50@1", image_size=SIZE).image_encoder.eval()
    encoder = make_student(backbone, 48).eval()
    assert (encoder.places_width, encoder.config.stride) == (2048, 16)
    with torch.no_grad():
        torch.testing.assert_close(encoder(pictures()).last, pooled_as(backbone, "avg").eval()(pictures()).pooled)  # type: ignore[arg-type]
        before = backbone(pictures()).pooled
        for parameter in encoder.parameters():
            parameter.zero_()
        assert torch.equal(backbone(pictures()).pooled, before)


def test_widths_of_the_head_and_its_random_weights() -> None:
    plain = student("random:timm:test_resnet")
    assert [tuple(p.shape) for p in plain.head.parameters()] == [(96, 96), (96,), (48, 96), (48,)]
    wide = student("random:timm:test_resnet", width=512, hidden=33, activation="gelu")
    assert [tuple(p.shape) for p in wide.head.parameters()] == [(33, 96), (33,), (512, 33), (512,)]
    assert torch.equal(student("random:timm:test_resnet").head.output.weight, plain.head.output.weight)
    torch.manual_seed(1)
    other = make_student(plain.backbone, 48)
    assert not torch.equal(other.head.output.weight, plain.head.output.weight)


def test_it_can_be_copied_between_passes_of_evaluation() -> None:
    """TinyViT keeps tables between such passes, made from weights that may be others by then."""
    encoder = student("random:timm:tiny_vit_5m_224@1").eval()
    encoder(pictures())
    other = copy.deepcopy(encoder)
    assert torch.equal(other(pictures()).pooled, encoder(pictures()).pooled)
    fresh = student("random:timm:tiny_vit_5m_224@2").eval()
    other.load_state_dict(fresh.state_dict())
    assert torch.equal(other(pictures()).pooled, fresh(pictures()).pooled)


def test_what_is_no_student_is_told() -> None:
    with pytest.raises(UserError, match="is no student"):
        make_student(tiny_clip().image_encoder)
    with pytest.raises(UserError, match="is no student"):
        make_student(student("random:timm:test_resnet"))
    with pytest.raises(UserError, match="widths 96 and 0"):
        student("random:timm:test_resnet", width=0)
    with pytest.raises(UserError, match="no activation 'tanh'"):
        student("random:timm:test_resnet", activation="tanh")
