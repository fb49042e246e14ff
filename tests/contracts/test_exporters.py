"""What every exporter must do, run over the registry with a tiny encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reidclip import registry
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.transforms import normalise
from reidclip.errors import UserError, WorkError
from reidclip.export.verify import BOUNDS, cosines
from reidclip.interfaces import Exporter, ExportPlan
from reidclip.settings import Settings
from tests.fakes import SIZE, tiny_clip

GROUP = "reidclip.exporters"
NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]


@pytest.fixture(params=NAMES)
def exporter(request: pytest.FixtureRequest) -> Exporter:
    found: Exporter = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture
def encoder() -> InferenceEncoder:
    return InferenceEncoder(tiny_clip().image_encoder, InferenceOptions(flip=True)).eval()


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)


def plan_for(exporter: Exporter, pictures: np.ndarray, **asked: Any) -> ExportPlan:
    return ExportPlan(exporter.settings(), calibration=lambda: iter([normalised(pictures)]), **asked)


def normalised(pictures: np.ndarray) -> torch.Tensor:
    return normalise(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()), InferenceOptions().normalisation)


def test_the_bundled_one_is_registered() -> None:
    assert "onnx" in NAMES


def test_fulfils_the_protocol(exporter: Exporter) -> None:
    assert isinstance(exporter, Exporter)
    assert exporter.title and issubclass(exporter.settings, Settings)
    assert all(field.description for field in exporter.settings.model_fields.values())
    assert "fp32" in exporter.precisions and set(exporter.precisions) <= set(BOUNDS)


def test_the_file_gives_the_encoders_vectors(exporter: Exporter, encoder: InferenceEncoder, pictures: np.ndarray, tmp_path: Path) -> None:
    wanted = encoder.features(normalised(pictures)).numpy()
    for precision in exporter.precisions:
        folder = tmp_path / precision
        folder.mkdir()
        path = exporter.export(encoder, plan_for(exporter, pictures, precision=precision), folder)
        assert path.is_file() and path.is_relative_to(folder)
        session = exporter.load(path, threads=1)
        assert session.name
        x = normalised(pictures).numpy()
        for size in (7, 1, 2):
            given = session(x[:size])
            assert given.dtype == np.float32 and given.shape == (size, encoder.width)
            assert cosines(given, wanted[:size]).min() >= (BOUNDS[precision] if exporter.exact else 0.9)


def test_pre_processing_inside(exporter: Exporter, encoder: InferenceEncoder, pictures: np.ndarray, tmp_path: Path) -> None:
    if not getattr(exporter, "preprocesses", True):
        pytest.skip("writes weights and no function")
    session = exporter.load(exporter.export(encoder, plan_for(exporter, pictures, preprocessing=True), tmp_path), threads=1)
    wanted = encoder.features(normalised(pictures)).numpy()
    assert cosines(session(pictures), wanted).min() >= (BOUNDS["fp32"] if exporter.exact else 0.9)


def test_a_file_that_is_none_is_refused(exporter: Exporter, encoder: InferenceEncoder, pictures: np.ndarray, tmp_path: Path) -> None:
    path = exporter.export(encoder, plan_for(exporter, pictures), tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises((UserError, WorkError)) as told:
        exporter.load(path, threads=1)
    assert str(path) in told.value.what and told.value.remedy
