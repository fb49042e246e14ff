"""What every exporter must do, run over the registry with a tiny encoder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch

from reidclip import registry
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.transforms import normalise
from reidclip.errors import UserError, WorkError
from reidclip.export.registered import ONNX, ONNX_INT8, SAFETENSORS, TORCH_EXPORT, LazyExporter
from reidclip.export.verify import BOUNDS, cosines
from reidclip.interfaces import Exporter, ExportPlan
from reidclip.settings import Settings, tomllib
from tests.fakes import REPOSITORY, SIZE, tiny_clip

GROUP = "reidclip.exporters"
NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]


@pytest.fixture(params=NAMES)
def exporter(request: pytest.FixtureRequest) -> Exporter:
    found: Exporter = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@lru_cache
def encoder() -> InferenceEncoder:
    return InferenceEncoder(tiny_clip().image_encoder, InferenceOptions(flip=True)).eval()


def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)


def plan_for(exporter: Exporter, **asked: Any) -> ExportPlan:
    return ExportPlan(exporter.settings(), calibration=lambda: iter([normalised(pictures())]), **asked)


def normalised(given: np.ndarray) -> torch.Tensor:
    return normalise(torch.from_numpy(given.transpose(0, 3, 1, 2).copy()), InferenceOptions().normalisation)


def test_the_bundled_one_is_registered() -> None:
    assert "onnx" in NAMES


def test_fulfils_the_protocol(exporter: Exporter) -> None:
    assert isinstance(exporter, Exporter)
    assert exporter.title and issubclass(exporter.settings, Settings)
    assert all(field.description for field in exporter.settings.model_fields.values())
    assert "fp32" in exporter.precisions and set(exporter.precisions) <= set(BOUNDS)


@lru_cache
def exported(exporter: Exporter, precision: str) -> Path:
    """The file of one export; exporters are compared by being the same object."""
    folder = Path(mkdtemp(dir=FOLDER[0]))
    return exporter.export(encoder(), plan_for(exporter, precision=precision), folder)


FOLDER: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    FOLDER[:] = [tmp_path_factory.mktemp("exports")]
    yield
    exported.cache_clear()


@pytest.mark.parametrize("facts", [ONNX, ONNX_INT8, TORCH_EXPORT, SAFETENSORS], ids=lambda facts: facts.name)
def test_registered_facts_are_those_of_the_work(facts: LazyExporter) -> None:
    work = import_module(facts.module).EXPORTER
    assert (work.name, work.title, tuple(work.precisions), work.exact) == (facts.name, facts.title, facts.precisions, facts.exact)
    assert work.settings is facts.settings
    assert getattr(work, "calibrates", False) == facts.calibrates and getattr(work, "preprocesses", True) == facts.preprocesses


def test_the_extra_asks_for_nothing_that_no_exporter_imports() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=!~ \[]", text)[0] for text in project["optional-dependencies"]["onnx"]}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "reidclip" / "export").glob("*.py"))
    assert {"onnx", "onnxruntime"} <= wanted
    assert {name for name in wanted if not re.search(rf"^\s*(import|from) {name}\b", sources, re.MULTILINE)} == set()


def test_the_file_gives_the_encoders_vectors(exporter: Exporter) -> None:
    wanted = encoder().features(normalised(pictures())).numpy()
    for precision in exporter.precisions:
        session = exporter.load(exported(exporter, precision), threads=1)
        assert session.name
        x = normalised(pictures()).numpy()
        for size in (7, 1, 2):
            given = session(x[:size])
            assert given.dtype == np.float32 and given.shape == (size, wanted.shape[1])
            assert cosines(given, wanted[:size]).min() >= (BOUNDS[precision] if exporter.exact else 0.9)


def test_pre_processing_inside(exporter: Exporter, tmp_path: Path) -> None:
    if not getattr(exporter, "preprocesses", True):
        pytest.skip("writes weights and no function")
    session = exporter.load(exporter.export(encoder(), plan_for(exporter, preprocessing=True), tmp_path), threads=1)
    wanted = encoder().features(normalised(pictures())).numpy()
    assert cosines(session(pictures()), wanted).min() >= (BOUNDS["fp32"] if exporter.exact else 0.9)


def test_a_file_that_is_cut_off_is_refused(exporter: Exporter, tmp_path: Path) -> None:
    whole = exported(exporter, "fp32")
    shutil.copytree(whole.parent, tmp_path, dirs_exist_ok=True)
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    with pytest.raises((UserError, WorkError)) as told:
        exporter.load(path, threads=1)
    assert path.name in told.value.what and told.value.remedy
