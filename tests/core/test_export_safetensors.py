"""Weights for open_clip and timm: loaded by these libraries alone, the vectors are the encoder's."""

from __future__ import annotations

import ast
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file

from reidclip.clip.context_block import with_context_block
from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from reidclip.errors import UserError
from reidclip.export.safetensors_format import EXPORTER, SafetensorsSettings
from reidclip.export.verify import cosines
from reidclip.interfaces import ExportPlan
from tests.tiny_clip import TINY_RESNET, tiny_clip
from tests.towers import stirred, tower_spec

PLAN = ExportPlan(SafetensorsSettings())
TOWERS: dict[str, Callable[[], ImageEncoder]] = {
    "vit": lambda: tiny_clip().image_encoder,
    "resnet": lambda: tiny_clip(TINY_RESNET, image_size=(64, 32)).image_encoder,
    "resnet, stride 32": lambda: tiny_clip(TINY_RESNET, image_size=(64, 64), stride=32).image_encoder,
    "student": lambda: make_student(load_clip("random:timm:test_resnet", image_size=(64, 32)).image_encoder, width=24),
    "student of one layer": lambda: make_student(
        load_clip("random:timm:test_vit", image_size=(64, 32)).image_encoder, width=24, hidden=0, activation="gelu"
    ),
    "timm, with a head that is not passed": lambda: load_clip("random:timm:test_convnext", image_size=(64, 32)).image_encoder,
}


def encoder_of(tower: ImageEncoder, neck: bool = True) -> InferenceEncoder:
    """Mirrored, and behind BatchNorms that have seen something where there are two."""
    heads = ReidHeads(tower.pooled_width, tower.joint_width, 1) if tower.joint_width and neck else None
    stirred(tower)
    for norm in () if heads is None else (heads.pooled.bottleneck, heads.projected.bottleneck):
        stirred(norm)
        norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    return InferenceEncoder(tower, InferenceOptions(flip=True, neck="after" if heads else "before"), heads).eval()


def pictures_of(encoder: InferenceEncoder) -> torch.Tensor:
    return torch.randn(3, 3, *encoder.image_encoder.config.image_size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", TOWERS)
def test_the_folder_gives_the_encoders_vectors(name: str, tmp_path: Path) -> None:
    encoder = encoder_of(TOWERS[name]())
    x = pictures_of(encoder)
    found = EXPORTER.load(EXPORTER.export(encoder, PLAN, tmp_path))(x.numpy())
    assert cosines(found, encoder.features(x).numpy()).min() >= 0.999999


def test_open_clip_loads_it_by_itself(tmp_path: Path) -> None:
    encoder = encoder_of(TOWERS["vit"](), neck=False)
    EXPORTER.export(encoder, PLAN, tmp_path)
    clip = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    x = pictures_of(encoder)
    with torch.no_grad():
        assert torch.allclose(clip.encode_image(x), encoder.image_encoder(x).projected, atol=1e-6)
    assert clip.visual.preprocess_cfg["mean"] == [0.5, 0.5, 0.5] and tuple(clip.visual.preprocess_cfg["size"]) == (32, 16)


def test_timm_loads_it_by_itself(tmp_path: Path) -> None:
    encoder = encoder_of(TOWERS["timm, with a head that is not passed"]())
    EXPORTER.export(encoder, PLAN, tmp_path)
    net = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = pictures_of(encoder)
    with torch.no_grad():
        assert torch.allclose(net.forward_features(x).mean((2, 3)), encoder.image_encoder(x).pooled, atol=1e-6)
    assert (net.num_classes, list(net.pretrained_cfg["input_size"])) == (0, [3, 64, 32])


STANDARD = {"__future__", "json", "logging", "pathlib", "typing"}


def test_load_py_needs_nothing_of_this_toolkit(tmp_path: Path) -> None:
    encoder = encoder_of(TOWERS["student"]())
    EXPORTER.export(encoder, PLAN, tmp_path)
    source = (tmp_path / "load.py").read_text()
    names = [
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    ]
    assert {n.partition(".")[0] for n in names} == STANDARD | {"torch", "safetensors", "open_clip", "timm"}
    x = pictures_of(encoder)
    network = runpy.run_path(str(tmp_path / "load.py"))["load"](tmp_path)
    assert cosines(network(x).numpy(), encoder.features(x).numpy()).min() >= 0.999999


def test_what_a_configuration_cannot_say_is_told(tmp_path: Path) -> None:
    path = EXPORTER.export(encoder_of(TOWERS["resnet"]()), PLAN, tmp_path)
    assert json.loads((tmp_path / "vectors.json").read_text())["changes"] == {"last_stage_stride_1": True, "positions": [4, 2]}
    assert EXPORTER.facts(path)["loads_without_load_py"] is False


def test_text_that_is_no_text_is_zeros(tmp_path: Path) -> None:
    weights = load_file(EXPORTER.export(encoder_of(TOWERS["vit"]()), PLAN, tmp_path))
    assert all(not value.any() for key, value in weights.items() if not key.startswith("visual."))


@pytest.mark.parametrize(
    ("tower", "what"),
    [
        (lambda folder: tiny_clip(stride=6).image_encoder, "overlapping patches (stride 6, patches of 8 pixels)"),
        (lambda folder: tiny_clip(sie_cameras=3).image_encoder, "embeddings of 3 cameras"),
        (lambda folder: with_context_block(tiny_clip().image_encoder, "self-attention", 1), "a context block (self-attention)"),
        (lambda folder: load_clip(tower_spec(folder, "siglip")).image_encoder, "a tower of another kind (TimmEncoder)"),
    ],
)
def test_what_the_libraries_cannot_build_is_refused(tower: Callable[[Path], ImageEncoder], what: str, tmp_path: Path) -> None:
    encoder = InferenceEncoder(tower(tmp_path), InferenceOptions()).eval()
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(UserError) as told:
        EXPORTER.export(encoder, PLAN, folder)
    assert what in told.value.what and "--format onnx" in told.value.remedy
    assert not list(folder.iterdir())
