"""Heads, and the encoder as inference uses it and stores it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reidclip.clip.heads import BNNeck, ReidHeads, published_key
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.errors import UserError
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip


def test_bnneck_normalises_without_shift_and_classifies_without_bias() -> None:
    torch.manual_seed(0)
    head = BNNeck(64, 500).train()
    x = torch.randn(32, 64) * 3 + 5
    output = head(x)
    torch.testing.assert_close(output.feature, (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.scores, output.feature @ head.classifier.weight.T)
    assert {name for name, p in head.named_parameters() if p.requires_grad} == {"bottleneck.weight", "classifier.weight"}
    assert float(head.classifier.weight.detach().std()) == pytest.approx(0.001, rel=0.03)


def test_heads_take_their_own_features_and_carry_the_published_names() -> None:
    heads = ReidHeads(3, 2, 7).eval()
    features = ImageFeatures(torch.zeros(4, 9), torch.randn(4, 3), torch.randn(4, 2))
    on_pooled, on_projected = heads(features)
    assert on_pooled.feature.shape == (4, 3)
    assert on_projected.feature.shape == (4, 2)
    assert on_pooled.scores.shape == on_projected.scores.shape == (4, 7)
    assert {published_key(key) for key in heads.state_dict()} >= {
        "classifier.weight",
        "classifier_proj.weight",
        "bottleneck_proj.running_var",
    }


def pictures(size: tuple[int, int] = (32, 16)) -> torch.Tensor:
    return torch.randn(4, 3, *size, generator=torch.Generator().manual_seed(5))


def test_feature_is_pooled_and_projected_joined_at_unit_length() -> None:
    tower = tiny_clip().image_encoder
    encoder = InferenceEncoder(tower).eval()
    feature = encoder.features(pictures())
    vectors = tower(pictures())
    joined = torch.cat([vectors.pooled, vectors.projected], 1)
    torch.testing.assert_close(feature, joined / joined.norm(dim=1, keepdim=True))
    assert feature.shape == (4, encoder.width) == (4, 28)
    assert not feature.requires_grad


@pytest.mark.parametrize("neck", ["before", "after"])
def test_half_precision_ends_before_the_length_is_divided_out(neck: Any) -> None:
    tower = tiny_clip().image_encoder
    options = InferenceOptions(neck=neck, flip=True)
    encoder = InferenceEncoder(tower, options, ReidHeads(tower.pooled_width, tower.joint_width, 3)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        feature = encoder.features(pictures())
    assert feature.dtype == torch.float32
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(4), atol=1e-6, rtol=0)


def test_flip_makes_a_picture_and_its_mirror_image_equal() -> None:
    encoder = InferenceEncoder(tiny_clip().image_encoder, InferenceOptions(flip=True, normalise=False)).eval()
    mirrored = encoder.features(pictures().flip(-1))
    torch.testing.assert_close(encoder.features(pictures()), mirrored)
    encoder.options = replace(encoder.options, flip=False)
    assert not torch.allclose(encoder.features(pictures()), mirrored, atol=1e-4)


def test_neck_after_takes_the_batch_norms_of_the_heads() -> None:
    tower = tiny_clip().image_encoder
    heads = ReidHeads(tower.pooled_width, tower.joint_width, 3)
    for head in (heads.pooled, heads.projected):
        torch.nn.init.uniform_(head.bottleneck.weight, 1, 2)
        head.bottleneck.running_mean = torch.randn(head.bottleneck.num_features)
    encoder = InferenceEncoder(tower, InferenceOptions(neck="after", normalise=False), heads).eval()
    heads.eval()
    on_pooled, on_projected = heads(tower(pictures()))
    torch.testing.assert_close(encoder.features(pictures()), torch.cat([on_pooled.feature, on_projected.feature], 1))
    with pytest.raises(ValueError, match="need the heads"):
        InferenceEncoder(tower, InferenceOptions(neck="after"))


@pytest.mark.parametrize(
    ("model", "geometry", "options"),
    [
        (TINY_VIT, {}, InferenceOptions()),
        (
            TINY_VIT,
            {"stride": 5, "sie_cameras": 2, "sie_coefficient": 0.5, "image_size": (40, 24)},
            InferenceOptions(resize="bicubic", flip=True),
        ),
        (TINY_RESNET, {"image_size": (64, 32)}, InferenceOptions(mean=(0.4, 0.5, 0.6), neck="after", normalise=False)),
    ],
    ids=["vit", "vit-stride-camera", "resnet-after"],
)
def test_a_saved_encoder_needs_nothing_else(
    tmp_path: Path, model: dict[str, Any], geometry: dict[str, Any], options: InferenceOptions
) -> None:
    tower = tiny_clip(model, seed=8, **geometry).image_encoder
    heads = ReidHeads(tower.pooled_width, tower.joint_width, 3)
    tower.train()(pictures(tower.config.image_size))  # moves the running statistics of a ResNet
    encoder = InferenceEncoder(tower, options, heads).eval()
    encoder.save(tmp_path)
    again = InferenceEncoder.load(tmp_path)
    x, camera = pictures(tower.config.image_size), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(again.features(x, camera), encoder.features(x, camera))
    assert (again.options, again.image_encoder.config) == (encoder.options, tower.config)
    assert not again.training
    assert sorted(f.name for f in tmp_path.iterdir()) == ["encoder.json", "encoder.safetensors"]


def saved(folder: Path) -> Path:
    InferenceEncoder(tiny_clip().image_encoder).save(folder)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "encoder.json"
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "encoder.json").unlink(), "encoder.json"),
        (lambda f: (f / "encoder.safetensors").unlink(), "encoder.safetensors"),
        (lambda f: (f / "encoder.safetensors").write_bytes(b"half a fi"), "No readable encoder"),
        (lambda f: (f / "encoder.json").write_text("[]"), "not an encoder's configuration"),
        (lambda f: edit(f, format=2), "format 2 is not known"),
        (lambda f: edit(f, mean=None), "'mean'"),
        (lambda f: edit(f, encoder=tiny_clip(image_size=(64, 16)).image_encoder.config.to_json()), "does not fit"),
        (lambda f: edit(f, encoder={"image_size": 7}), "Not an image encoder's configuration"),
    ],
)
def test_a_broken_encoder_is_told(tmp_path: Path, harm: Any, words: str) -> None:
    harm(saved(tmp_path))
    with pytest.raises(UserError, match=words) as error:
        InferenceEncoder.load(tmp_path)
    assert error.value.remedy
