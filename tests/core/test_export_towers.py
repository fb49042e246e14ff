"""Every kind of image encoder as ONNX: mirror images, cameras, necks and context blocks included."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reidclip.clip.context_block import with_context_block
from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from reidclip.data.transforms import normalise
from reidclip.errors import UserError
from reidclip.export.onnx_format import EXPORTER, OnnxSettings
from reidclip.interfaces import ExportPlan
from tests.tiny_clip import TINY_RESNET, tiny_clip
from tests.towers import stirred, tower_spec

Build = Callable[[Path], ImageEncoder]


def resnet() -> ImageEncoder:
    return tiny_clip(TINY_RESNET, image_size=(64, 32)).image_encoder


TOWERS: dict[str, Build] = {
    "vit": lambda folder: tiny_clip().image_encoder,
    "vit with cameras": lambda folder: tiny_clip(sie_cameras=3).image_encoder,
    "vit, self-attention block": lambda folder: with_context_block(tiny_clip().image_encoder, "self-attention", 1),
    "resnet": lambda folder: resnet(),
    "resnet, non-local block": lambda folder: with_context_block(resnet(), "nonlocal", 1),
    "student": lambda folder: make_student(load_clip("random:timm:test_resnet@1", image_size=(64, 32)).image_encoder, width=48),
    "timm": lambda folder: load_clip("random:timm:test_vit", image_size=(64, 32)).image_encoder,
    **{
        family: (lambda folder, family=family: load_clip(tower_spec(folder, family)).image_encoder)  # type: ignore[misc]
        for family in ("siglip", "class-token", "mobileclip", "convnext", "relpos", "clipa", "coca", "blip")
    },
}


def neck_of(encoder: ImageEncoder) -> ReidHeads | nn.BatchNorm1d:
    return ReidHeads(encoder.pooled_width, encoder.joint_width, 1) if encoder.joint_width else nn.BatchNorm1d(encoder.pooled_width)


def pictures_of(encoder: ImageEncoder, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *encoder.config.image_size, 3), dtype=np.uint8)


def by_torch(encoder: InferenceEncoder, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
    x = normalise(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()), encoder.options.normalisation)
    found: np.ndarray = encoder.features(x, None if camera is None else torch.from_numpy(camera)).numpy()
    return found


SLOW = ("class-token", "convnext", "relpos", "coca", "blip")  # what they are made of is in the others too


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in TOWERS])
def test_a_tower_gives_the_same_vectors(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = TOWERS[name](tmp_path)
    options = InferenceOptions(flip=True, neck="after", per_picture=name == "vit", normalise=name != "resnet")
    encoder = stirred(InferenceEncoder(tower, options, neck_of(tower)))
    assert isinstance(encoder, InferenceEncoder)
    path = EXPORTER.export(encoder, ExportPlan(OnnxSettings(), preprocessing=True), tmp_path)
    pictures = pictures_of(tower)
    camera = np.arange(5) % 3 if tower.config.sie_cameras else None
    given = EXPORTER.load(path, threads=1)(pictures, camera)
    wanted = by_torch(encoder, pictures, camera)
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_another_camera_is_another_vector(tmp_path: Path) -> None:
    encoder = InferenceEncoder(tiny_clip(sie_cameras=3, sie_coefficient=3.0).image_encoder).eval()
    session = EXPORTER.load(EXPORTER.export(encoder, ExportPlan(OnnxSettings(), preprocessing=True), tmp_path), threads=1)
    one = pictures_of(encoder.image_encoder, 1)
    vectors = [session(one, np.array([camera])) for camera in (0, 1, 2)]
    assert min(np.abs(a - b).max() for a, b in pairwise(vectors)) > 1e-3


class Strange(nn.Module):
    """In a place of the encoder that is passed, an operator that no format but torch's own has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.special.bessel_j0(x)
        return found


def test_an_operator_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    encoder = InferenceEncoder(tiny_clip().image_encoder).eval()
    encoder.image_encoder.ln_pre = Strange()
    with pytest.raises(UserError, match=r"has no operator for torch's aten::special_bessel_j0, which this encoder uses") as told:
        EXPORTER.export(encoder, ExportPlan(OnnxSettings()), tmp_path)
    assert len(str(told.value).splitlines()) == 2


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    encoder = InferenceEncoder(load_clip("random:timm:test_vit", image_size=(64, 32)).image_encoder).eval()
    sizes = {}
    for precision in ("fp32", "fp16"):
        (tmp_path / precision).mkdir()
        path = EXPORTER.export(encoder, ExportPlan(OnnxSettings(), precision=precision), tmp_path / precision)  # type: ignore[arg-type]
        sizes[precision] = path.stat().st_size
    assert 0.4 < sizes["fp16"] / sizes["fp32"] < 0.6
