"""Programs of torch.export: nothing but weights and a graph in the file, any number of pictures, and what cannot be traced."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.errors import UserError
from reidclip.export.torch_export import EXPORTER, TorchExportSettings
from reidclip.interfaces import ExportPlan
from tests.tiny_clip import tiny_clip

PLAN = ExportPlan(TorchExportSettings())


def test_torch_alone_runs_it_with_cameras(tmp_path: Path) -> None:
    encoder = InferenceEncoder(tiny_clip(sie_cameras=3).image_encoder, InferenceOptions(flip=True)).eval()
    path = EXPORTER.export(encoder, PLAN, tmp_path)
    program = torch.export.load(path).module()
    for count in (1, 5):
        x, camera = torch.randn(count, 3, 32, 16), torch.arange(count) % 3
        with torch.no_grad():
            assert torch.allclose(program(x, camera), encoder(x, camera), atol=1e-6)
    x, camera = np.ones((2, 3, 32, 16), np.float32), np.array([0, 2])
    given = EXPORTER.load(path, threads=1)(x, camera)
    assert np.abs(given - encoder.features(torch.from_numpy(x), torch.from_numpy(camera)).numpy()).max() < 1e-6
    assert np.abs(given[0] - given[1]).max() > 1e-4  # same picture, another camera


def test_nothing_is_pickled_and_no_path_is_told(tmp_path: Path) -> None:
    path = EXPORTER.export(InferenceEncoder(tiny_clip().image_encoder).eval(), PLAN, tmp_path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert all(not data for name, data in contents.items() if name.endswith((".pt", ".pkl")))
    assert not [name for name, data in contents.items() if data[:2] in (b"PK", b"\x80\x02") and "/weights/" not in name]
    graph = b"".join(data for name, data in contents.items() if name.endswith(".json"))
    assert b'"nodes"' in graph and b".py" not in graph and str(Path(__file__).parents[2]).encode() not in graph


class Capricious(InferenceEncoder):
    """Branches on what it computes."""

    def forward(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        return images.flatten(1) if images.mean().item() > 0 else -images.flatten(1)


def test_what_cannot_be_traced_is_told_in_one_sentence(tmp_path: Path) -> None:
    encoder = Capricious(tiny_clip().image_encoder).eval()
    with pytest.raises(UserError, match=r"^torch.export cannot trace this encoder: .+\.\n") as told:
        EXPORTER.export(encoder, PLAN, tmp_path)
    assert "\n" not in told.value.what and not list(tmp_path.iterdir())


def test_resizing_inside_is_refused(tmp_path: Path) -> None:
    encoder = InferenceEncoder(tiny_clip().image_encoder).eval()
    with pytest.raises(UserError, match="cannot resize inside"):
        EXPORTER.export(encoder, ExportPlan(TorchExportSettings(), preprocessing=True, resize=True), tmp_path)
